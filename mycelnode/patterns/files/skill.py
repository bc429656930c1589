"""Agent Skills (https://agentskills.io/specification): a folder with `SKILL.md`, and scripts, references and assets beside it.

A skill that was made of a pattern says in its `metadata`, under `mycel-…`, what a skill has no field for, so it comes back exactly.
A skill of anybody else becomes a prompt, whose template is the body as it is; what stands above the body is kept in the pattern as
its field `skill`, `{front: text}`, and written again as it was while it still says what the pattern says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from mycelnode.errors import PatternFileRefused, PatternRefused
from mycelnode.patterns import dagcbor
from mycelnode.patterns.fields import Fields
from mycelnode.patterns.files import bodies, front
from mycelnode.patterns.files.draft import Draft, kind_of, read_said, say
from mycelnode.patterns.files.plain import read_json, write_json
from mycelnode.patterns.files.texts import naming_lines
from mycelnode.patterns.pattern import MAX_TITLE_CHARS

MAIN: Final = "SKILL.md"
MAX_NAME_CHARS: Final = 64
MAX_DESCRIPTION_CHARS: Final = 1024
DOMAIN: Final = "skills"  # of a skill that says none
_NAME: Final = re.compile(r"(?=.{1,64}\Z)[a-z0-9]+(-[a-z0-9]+)*")
_OURS: Final = "mycel-"
_KEPT: Final = "skill"
_DEFAULTS: Final = {"kind": "prompt", "domain": DOMAIN, "language": "en", "price": "0"}
# fields that are text; all others stand as JSON
_TEXT: Final = frozenset((
    "format", "title", "description", "kind", "domain", "language", "trigger", "price", "template", "code", "code_language",
    "base_model", "adapter_cid", "adapter_hash", "supersedes", "files",
))  # fmt: skip


def read_skill(text: str, files: Mapping[str, bytes] | None = None) -> Draft:
    """The draft of the text of `SKILL.md`, and of the ``files`` beside it. Raises `PatternRefused`."""
    top, body = front.split(text)
    fields, lines = front.load(top)
    with naming_lines(lines):
        name = _line(fields, "name")
        draft = read_said(_said(fields, name, body), files)
        if front.split(_generated(draft, name))[0] == top:
            return draft
        head = text.removesuffix(body)
        kept = Fields({"front": head}, "the top of a skill").text("front", front.MAX_CHARS)
        return Draft.read({**draft.said, _KEPT: {"front": kept}}, draft.files)


def write_skill(draft: Draft, name: str | None = None) -> str:
    """The text of `SKILL.md`; its files stand beside it. ``name``, of the folder and the skill, is `name_of` it if not given.

    Raises `PatternFileRefused` for a name that a skill cannot have, or if this skill came with another.
    """
    if name is not None and not _NAME.fullmatch(name):
        raise PatternFileRefused(
            f"{name[:64]!r} is no name for a skill and its folder, which has small letters, digits and single hyphens: call it"
            f" {name_of(draft)}"
        )
    kept = _kept(draft)
    if kept is not None:
        head, fields = kept
        text = head + front.split(_generated(draft, name_of(draft)))[1]
        if _reads_as(text, draft):
            if name not in (None, fields["name"]):
                raise PatternFileRefused(
                    f"this skill is called {name_of(draft)}, and its folder must be called the same"
                )
            return text
    text = _generated(draft, name or name_of(draft))
    if len(text) - len(front.split(text)[1]) > front.MAX_CHARS:
        raise PatternFileRefused("this pattern is too long for the top of a skill: write it as JSON")
    return text


def name_of(draft: Draft) -> str:
    """The name that the skill came with, or one made of its title."""
    kept = _kept(draft)
    if kept is not None and _NAME.fullmatch(kept[1]["name"]):
        return str(kept[1]["name"])
    words = re.findall(r"[a-z0-9]+", draft.title.lower())
    return "-".join(words)[:MAX_NAME_CHARS].strip("-") or "pattern"


# --- reading -----------------------------------------------------------------------------------------------------------------


def _said(fields: Mapping[str, Any], name: str, body: str) -> dict[str, Any]:
    """The map that is said by the fields at the top of a skill and its body."""
    said: dict[str, Any] = {"title": name, "domain": DOMAIN, "description": _text(fields, "description")}
    said |= _ours(_metadata(fields))
    said["description"] = _described(said, _text(fields, "description"), _metadata(fields))
    kind = said["kind"] = kind_of(said)
    if kind == "prompt" and "template" not in said:
        if not body.strip():
            raise PatternFileRefused(
                "a skill must have instructions below its fields: what is to be done when it is of use"
            )
        return {**said, "template": body}
    text = bodies.unwrap(body)
    if kind == "adapter" and text == _adapter_note(said):
        return said
    return {**said, **bodies.read_body(kind, text, said)}


def _ours(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a pattern among the metadata of a skill."""
    found: dict[str, Any] = {}
    for key, value in metadata.items():
        if not key.startswith(_OURS):
            continue
        if not isinstance(value, str):
            raise PatternFileRefused(f"in 'metadata', {key[:64]!r} must be text, as all metadata of a skill")
        name = key.removeprefix(_OURS).replace("-", "_")
        if name in _TEXT:
            found[name] = str(value)
            continue
        try:
            found[name] = read_json(value)
        except PatternFileRefused as error:
            raise PatternFileRefused(
                f"in 'metadata', {key[:64]!r} must be JSON in single quotes, such as '[\"git\"]': {error}"
            ) from error
    return found


def _described(said: Mapping[str, Any], shown: str, metadata: Mapping[str, Any]) -> str:
    """The description of a pattern, of that of the skill, which ends with the trigger."""
    if f"{_OURS}description" in metadata:
        return str(said["description"])
    trigger = str(said.get("trigger", ""))
    return shown.removesuffix(f" {trigger}") if trigger else shown


def _metadata(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = fields.get("metadata", {})
    if front.empty(metadata):
        return {}
    if type(metadata) is not dict:
        raise PatternFileRefused("'metadata' must be a map of names and texts")
    return metadata


def _text(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not value.strip():
        raise PatternFileRefused(f"a skill must have a field {key!r}, of text")
    return str(value)


def _line(fields: Mapping[str, Any], key: str) -> str:
    return Fields({key: _text(fields, key)}, "a skill").line(key, MAX_TITLE_CHARS)


# --- writing -----------------------------------------------------------------------------------------------------------------


def _generated(draft: Draft, name: str) -> str:
    """The text of a skill, with the fields that it came with, if it came as one."""
    said = say(draft)
    theirs = dict((_kept(draft) or ("", {}))[1])
    body = _body(draft, said)
    metadata = {key: value for key, value in _metadata(theirs).items() if not key.startswith(_OURS)}
    ours = {key: value for key, value in said.items() if value != _DEFAULTS.get(key)}
    if ours["title"] == name:
        del ours["title"]
    shown = _shown(said)
    ours.pop("description", None)
    if _described(ours, shown, {}) != said.get("description", ""):
        ours["description"] = said.get("description", "")
    metadata |= {
        _OURS + key.replace("_", "-"): value if key in _TEXT else write_json(value) for key, value in ours.items()
    }
    fields: dict[str, Any] = {**theirs, "name": name, "description": shown}
    fields.pop("metadata", None)
    ordered = {"name": name, "description": shown, **fields, **({"metadata": metadata} if metadata else {})}
    return front.join(front.dump(ordered.items()), body)


def _body(draft: Draft, said: dict[str, Any]) -> str:
    """The body; what it says is taken out of ``said``."""
    if draft.kind == "prompt":
        return str(said.pop("template"))
    if draft.kind == "adapter":
        return bodies.wrap(_adapter_note(said))
    body = bodies.write_body(draft.kind, said)
    if body is None:
        return ""
    for key in ("code", "code_language", "steps"):
        said.pop(key, None)
    return bodies.wrap(body)


def _shown(said: Mapping[str, Any]) -> str:
    """What a skill does and when to use it, which is its description."""
    shown = " ".join(part for part in (said.get("description"), said.get("trigger")) if part) or str(said["title"])
    return shown if len(shown) <= MAX_DESCRIPTION_CHARS else shown[: MAX_DESCRIPTION_CHARS - 1] + "…"


def _adapter_note(said: Mapping[str, Any]) -> str:
    return (
        f"Load the model adapter {said.get('adapter_cid')} onto {said.get('base_model')}. The sha2-256 of its file is"
        f" {said.get('adapter_hash')}."
    )


def _kept(draft: Draft) -> tuple[str, dict[str, Any]] | None:
    """What stood above the body of the skill that this was, and the fields that it says."""
    kept = draft.said.get(_KEPT)
    head = kept.get("front") if type(kept) is dict and kept.keys() == {"front"} else None
    if type(head) is not str:
        return None
    try:
        top, rest = front.split(head)
        fields, _ = front.load(top)
        return None if rest else (head, {**fields, "name": _text(fields, "name"), "metadata": _metadata(fields)})
    except PatternFileRefused:
        return None


def _reads_as(text: str, draft: Draft) -> bool:
    try:
        return dagcbor.encode(read_skill(text, draft.files).said) == dagcbor.encode(draft.said)
    except PatternRefused:
        return False
