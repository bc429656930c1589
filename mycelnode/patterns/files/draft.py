"""A draft: all that a pattern says but who says it, and when; and the files that travel with it. What a file holds is one.

In files a pattern is one flat map, of the fields of the pattern and of its solution; see docs/pattern-files.md. Whatever the
format, it is `read_said` that reads this map, and `say` that writes it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mycelnode.errors import EncodingError, PatternFileRefused, PatternRefused
from mycelnode.patterns import dagcbor
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.files import front
from mycelnode.patterns.files.plain import from_plain, parse_cid, to_plain
from mycelnode.patterns.pattern import FORMAT, KEY_BYTES, MAJOR, MINOR, Pattern
from mycelnode.patterns.solutions import SLOT

OF_KIND: Final[Mapping[str, tuple[str, ...]]] = {
    "prompt": ("template", "variables"),
    "code": ("code", "code_language", "dependencies"),
    "adapter": ("base_model", "adapter_cid", "adapter_hash"),
    "workflow": ("steps",),
}
COMMON: Final = ("title", "description", "kind", "domain", "language", "trigger", "requires", "price", "version")
_RARE: Final = ("format", "quality", "derived_from", "supersedes", "files")
KEYS: Final = (*COMMON, *_RARE, *(key for keys in OF_KIND.values() for key in keys), "extra", "extra_solution")
_INNER: Final = {
    "variables": ("name", "description", "default"),
    "steps": ("instruction", "pattern"),
    "quality": ("uses", "successes", "models"),
}
_OF_CREATOR: Final = ("creator", "created")
_SOLUTION: Final = frozenset(key for keys in OF_KIND.values() for key in keys)
_NEAR: Final = re.compile(r"(0|[1-9][0-9]{0,14})(?:\.([0-9]{1,24}))? ?NEAR")
_YOCTO_DIGITS: Final = 24  # a yoctoNEAR is 10^-24 NEAR
_WHOLE: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_NOBODY: Final[Mapping[str, Any]] = {"creator": bytes(KEY_BYTES), "created": 0}


@dataclass(frozen=True, slots=True)
class Draft:
    """``said`` is the map of a pattern without creator and created, within its bounds; ``files`` are paths with ``/`` and bytes.

    Where ``files`` are at hand, the link to them is made anew of what they are now, and not said here.

    ``left_out``: what a folder held beside, and was not read.
    """

    said: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)
    left_out: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def of(cls, pattern: Pattern, files: Mapping[str, bytes] | None = None) -> Draft:
        """The draft that ``pattern`` comes of, with what its link ``files`` leads to, if that is at hand."""
        left = (*_OF_CREATOR, "files") if files else _OF_CREATOR
        return cls({name: value for name, value in pattern.write().items() if name not in left}, dict(files or {}))

    @classmethod
    def read(cls, said: Mapping[str, Any], files: Mapping[str, bytes] | None = None) -> Draft:
        """Of a map from outside. Raises `PatternRefused`, also if it would be larger than a block."""
        pattern = Pattern.read({**said, **_NOBODY})
        try:
            dagcbor.decode(dagcbor.encode(pattern.write()))
        except EncodingError as error:
            raise PatternFileRefused(f"this cannot be published as a pattern: {error}") from error
        return cls.of(pattern, files)

    def pattern(self, creator: bytes, created: int, files: Cid | None = None) -> Pattern:
        """The pattern: by whom, when (Unix ms), and ``files``, the link to the folder that its files were written to.

        Raises `PatternRefused`; also if there are files and no link to them.
        """
        pattern = Pattern.read({**self.said, "creator": creator, "created": created})
        if self.files and files is None:
            raise PatternRefused("the files that travel with this pattern must be kept before it is made")
        return pattern if files is None else replace(pattern, files=files)

    @property
    def title(self) -> str:
        """Its title."""
        return str(self.said["title"])

    @property
    def kind(self) -> str:
        """prompt, code, adapter or workflow."""
        return str(self.said["kind"])


def read_said(said: Mapping[str, Any], files: Mapping[str, bytes] | None = None) -> Draft:
    """The draft of a map that a file says: scalars may be text (`front.Bare` among it) where numbers are wanted.

    Raises `PatternFileRefused` or `PatternRefused`, a sentence that names the field.
    """
    given = {key: value for key, value in said.items() if not front.empty(value)}
    for key in given:
        _known(key, KEYS)
    kind = given["kind"] = kind_of(given)
    for key in given:
        if key in _SOLUTION and key not in OF_KIND[kind]:
            owner = next(name for name, keys in OF_KIND.items() if key in keys)
            raise PatternFileRefused(
                f"{key!r} is a field of the kind {owner}, and this is a pattern of the kind {kind}"
            )
    for name in ("title", "domain"):
        if name not in given:
            raise PatternFileRefused(f"the field {name!r} is missing: say {_WHY[name]}")
    solution = {key: _READ.get(key, front.texts)(given[key]) for key in OF_KIND[kind] if key in given}
    if kind == "prompt":
        solution = _declared(solution)
    pattern = {
        key: _READ.get(key, front.texts)(value)
        for key, value in given.items()
        if key not in _SOLUTION and key not in ("extra", "extra_solution")
    }
    whole = _with_extra(solution, given, "extra_solution", OF_KIND[kind])
    made = {"format": f"{FORMAT}/{MAJOR}.{MINOR}", **pattern, "solution": whole}
    return Draft.read(_with_extra(made, given, "extra", (*COMMON, *_RARE, *_OF_CREATOR, "solution")), files)


def kind_of(given: Mapping[str, Any]) -> str:
    """The kind that a map says, or the only one that has such fields, or else prompt. Raises `PatternFileRefused`."""
    if "kind" not in given:
        return next((kind for kind, keys in OF_KIND.items() if any(key in given for key in keys)), "prompt")
    kind = str(given["kind"])
    if kind not in OF_KIND:
        raise PatternFileRefused(f"'kind' must be one of {', '.join(OF_KIND)}")
    return kind


def say(draft: Draft) -> dict[str, Any]:
    """The map that says a draft in a file: text, whole numbers, lists and maps, and what JSON has in ``extra``."""
    pattern = Pattern.read({**draft.said, **_NOBODY})
    solution = dict(draft.said["solution"])
    said: dict[str, Any] = {key: draft.said[key] for key in COMMON if key in draft.said}
    if said["version"] == 1:
        del said["version"]
    if pattern.minor != MINOR:
        said = {"format": draft.said["format"], **said}
    for key in OF_KIND[draft.kind]:
        if key in solution:
            said[key] = _SAY.get(key, to_plain)(solution.pop(key))
    if draft.kind == "prompt" and said.get("variables", []) == _automatic(said["template"]):
        said.pop("variables", None)
    if "quality" in draft.said:
        said["quality"] = _nested(draft.said["quality"], "quality")
    for key in ("derived_from", "supersedes", "files"):
        if key in draft.said:
            said[key] = _cid_text(draft.said[key])
    if pattern.extra:
        said["extra"] = to_plain(pattern.extra)
    if solution:
        said["extra_solution"] = to_plain(solution)
    return said


# --- reading -----------------------------------------------------------------------------------------------------------------

_WHY: Final = {
    "title": "in one line what the pattern does",
    "domain": "what it is about, in one word such as mail or writing, by which others find it",
}


def _known(key: str, keys: tuple[str, ...]) -> None:
    if key in keys:
        return
    if key in _OF_CREATOR:
        raise PatternFileRefused(f"{key!r} is not said in a file: it is whoever publishes it, and when")
    near = difflib.get_close_matches(key[:64].lower(), keys, 1)
    hint = f"did you mean {near[0]!r}?" if near else "put a field that mycelnode does not know into the map 'extra'"
    raise PatternFileRefused(f"there is no field {key[:64]!r}: {hint}")


def _with_extra(known: Mapping[str, Any], given: Mapping[str, Any], name: str, keys: tuple[str, ...]) -> dict[str, Any]:
    """With the fields of the map ``given[name]``, none of which may be one of ``keys``."""
    extra = from_plain(front.typed(given.get(name, {})))
    if type(extra) is not dict:
        raise PatternFileRefused(f"{name!r} must be a map of the fields that mycelnode does not know")
    if mine := sorted(extra.keys() & set(keys)):
        raise PatternFileRefused(f"in {name!r}, {mine[0]!r} is a field of its own: put it outside")
    return {**extra, **known}


def _each(key: str, read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def each(value: Any) -> Any:
        if type(value) is not list:
            raise PatternFileRefused(f"{key!r} must be a list")
        return [read(item) for item in value]

    return each


def _inner(key: str, **readers: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Reads a map inside of a field."""

    def read(value: Any) -> Any:
        if type(value) is not dict:
            return front.texts(value)
        given = {name: item for name, item in value.items() if not front.empty(item)}
        for name in given:
            try:
                _known(name, (*_INNER[key], "extra"))
            except PatternFileRefused as error:
                raise PatternFileRefused(f"in {key!r}, {error}") from error
        known = {name: readers.get(name, front.texts)(item) for name, item in given.items() if name != "extra"}
        return _with_extra(known, given, "extra", _INNER[key])

    return read


def _whole(value: Any) -> Any:
    """A whole number; text stays what it is, to be refused."""
    return int(value) if type(value) is front.Bare and _WHOLE.fullmatch(value) else front.texts(value)


def _cid(value: Any) -> Any:
    return parse_cid(value) if isinstance(value, str) else value


def _price(value: Any) -> Any:
    """YoctoNEAR as decimal text; also of a whole number, and of an amount with NEAR behind it."""
    if type(value) is int:
        return str(value) if 0 <= value < 1 << 128 else "-"
    if not isinstance(value, str):
        raise PatternFileRefused(
            "'price' must stand in quotes, so that it is exact: \"0.1 NEAR\", or an amount in yoctoNEAR"
        )
    if found := _NEAR.fullmatch(value):
        return str(int(found[1]) * 10**_YOCTO_DIGITS + int((found[2] or "").ljust(_YOCTO_DIGITS, "0")))
    if not value.isascii() or not value.isdigit():
        raise PatternFileRefused(
            f"'price' must be an amount such as \"0.1 NEAR\", or whole yoctoNEAR, and is {value[:40]!r}"
        )
    return str(value)


def _variable(value: Any) -> Any:
    return _inner("variables")({"name": value} if isinstance(value, str) else value)


def _declared(solution: Mapping[str, Any]) -> dict[str, Any]:
    """With variables that the template uses and nobody declared."""
    template = solution.get("template")
    if type(template) is not str:
        return dict(solution)
    variables = solution.get("variables", [])
    names = [str(variable.get("name")) for variable in variables if type(variable) is dict]
    used = _automatic(template)
    if unused := sorted(set(names) - {one["name"] for one in used}):
        raise PatternFileRefused(
            f"the template does not use {', '.join(repr(name[:64]) for name in unused[:10])} of 'variables': write"
            f" {{{{{unused[0][:64]}}}}} where it belongs, or take it out"
        )
    declared = set(names)
    return {**solution, "variables": [*variables, *(one for one in used if one["name"] not in declared)]}


def _automatic(template: str) -> list[dict[str, str]]:
    """The variables that a template uses, in their order."""
    return [{"name": name} for name in dict.fromkeys(SLOT.findall(template))]


_READ: Final[Mapping[str, Callable[[Any], Any]]] = {
    "price": _price,
    "version": _whole,
    "quality": _inner("quality", uses=_whole, successes=_whole),
    "derived_from": _each("derived_from", _cid),
    "supersedes": _cid,
    "files": _cid,
    "adapter_cid": _cid,
    "variables": _each("variables", _variable),
    "steps": _each("steps", _inner("steps", pattern=_cid)),
}


# --- writing -----------------------------------------------------------------------------------------------------------------


def _cid_text(value: Any) -> Any:
    return [str(item) for item in value] if type(value) is list else str(value)


def _nested(value: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A map inside of a field, with what is unknown of it apart."""
    known = {name: value[name] for name in _INNER[key] if name in value}
    extra = {name: item for name, item in value.items() if name not in known}
    said = {name: str(item) if type(item) is Cid else item for name, item in known.items()}
    return {**said, "extra": to_plain(extra)} if extra else said


_SAY: Final[Mapping[str, Callable[[Any], Any]]] = {
    "adapter_cid": _cid_text,
    "variables": lambda value: [_nested(item, "variables") for item in value],
    "steps": lambda value: [_nested(item, "steps") for item in value],
}
