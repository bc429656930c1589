"""The turns in a conversation as ChatGPT and Claude export it: only what a person asked in words, and what was answered in words.

Neither format is documented by who makes it; docs/interactions.md says what is read here. Nothing is believed to be there, or to
be of the kind that it should be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mycelnode.errors import TurnRefused
from mycelnode.privacy.interactions import Influence, Turn, moment

CHATGPT: Final = "chatgpt"
CLAUDE: Final = "claude"

_OWN_WORDS = "user_editable_context"  # what the person told ChatGPT about themselves, once for all conversations
_AUDIO = "audio_transcription"
_SILENT = frozenset(("thoughts", "reasoning_recap", "model_editable_context"))  # kinds of content that nobody is shown
_WEB = ("browser", "web", "tether", "sonic")  # how names of tools and kinds of content of the web begin
_CITED = (
    "citations",
    "content_references",
    "search_result_groups",
    "_cite_metadata",
)  # in metadata: an answer from the web


def turns_of(conversation: Mapping[str, Any]) -> Iterator[Turn | TurnRefused] | None:
    """The turns of a conversation, and what is left out of it and why; None if this is no conversation."""
    if isinstance(conversation.get("mapping"), dict):
        return _paired(_chatgpt(conversation), CHATGPT)
    if isinstance(conversation.get("chat_messages"), list):
        return _paired(_claude(conversation), CLAUDE)
    return None


@dataclass(slots=True)
class _Said:
    """One message, of the person or of the assistant. ``context``: what else came into the conversation before it or with it, and
    stays; ``alone``: what touches this turn only."""

    by_person: bool
    text: str
    time: int | None
    context: Influence = Influence.NONE
    alone: Influence = Influence.NONE


@dataclass(slots=True)
class _Open:
    """A request, and what was answered so far."""

    request: _Said
    answers: list[str] = field(default_factory=list)
    influenced: Influence = Influence.NONE


def _paired(said: Iterable[_Said], source: str) -> Iterator[Turn | TurnRefused]:
    """What came into a conversation stays in it: an answer may repeat what was read three turns ago."""
    context, asked = Influence.NONE, None
    for one in said:
        if one.by_person:
            if asked is not None:
                yield _turn(asked, source)
            asked = _Open(one)
        elif asked is not None and one.text.strip():
            asked.answers.append(one.text)
        context |= one.context
        if asked is not None:
            asked.influenced |= context | one.alone
    if asked is not None:
        yield _turn(asked, source)


def _turn(asked: _Open, source: str) -> Turn | TurnRefused:
    if not asked.request.text.strip():
        return TurnRefused("a request without words, such as a picture", "empty")
    if not asked.answers:
        return TurnRefused("a request that has no answer in words", "unanswered")
    answer = "\n\n".join(asked.answers)
    return Turn(asked.request.text, answer, asked.request.time, source, influenced=asked.influenced)


def _time(*candidates: object) -> int | None:
    for candidate in candidates:
        try:
            found = moment(candidate)
        except TurnRefused:
            continue
        if found is not None and found > 0:
            return found
    return None


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


# --- ChatGPT -----------------------------------------------------------------------------------------------------------------


def _chatgpt(conversation: Mapping[str, Any]) -> Iterator[_Said]:
    """The messages on the path that the person sees: of answers that were made anew, the one that they ended with."""
    begun = conversation.get("create_time")
    if conversation.get("gizmo_id") or conversation.get("conversation_template_id"):
        yield _Said(False, "", None, context=Influence.SYSTEM)  # somebody's GPT, with instructions of its own
    for message in _path(conversation):
        role = _text(_object(message.get("author")).get("role"))
        content, metadata = _object(message.get("content")), _object(message.get("metadata"))
        kind = _text(content.get("content_type"))
        text, other = _words(content)
        if kind == _OWN_WORDS or metadata.get("is_user_system_message"):
            continue
        if role == "user":
            if metadata.get("is_visually_hidden_from_conversation"):
                continue
            files = Influence.FILE if other or metadata.get("attachments") else Influence.NONE
            yield _Said(True, text, _time(message.get("create_time"), begun), context=files)
        elif role == "assistant":
            yield _Said(False, *_answered(message, kind, text, metadata))
        elif role == "tool":
            yield _Said(False, "", None, context=_tool(_text(_object(message.get("author")).get("name")), kind))
        elif text.strip():  # of the system, or of whom nobody knows
            yield _Said(False, "", None, context=Influence.SYSTEM)


def _path(conversation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """From the root to the current node; where that is not named, to the last child of each."""
    mapping = _object(conversation.get("mapping"))
    current = conversation.get("current_node")
    if not isinstance(current, str) or current not in mapping:
        current = _last(mapping)
    found, seen = [], set[str]()
    while isinstance(current, str) and current in mapping and current not in seen:
        seen.add(current)
        node = _object(mapping[current])
        message = _object(node.get("message"))
        if message and message.get("weight") != 0:
            found.append(message)
        current = node.get("parent")
    return found[::-1]


def _last(mapping: Mapping[str, Any]) -> str | None:
    current = next((key for key, node in mapping.items() if _text(_object(node).get("parent")) not in mapping), None)
    seen = set[str]()
    while current is not None and current not in seen:
        seen.add(current)
        children = [
            key for key in _list(_object(mapping[current]).get("children")) if isinstance(key, str) and key in mapping
        ]
        if not children:
            break
        current = children[-1]
    return current


def _words(content: Mapping[str, Any]) -> tuple[str, bool]:
    """The words in a message, and whether there is something else in it."""
    words, other = [], False
    parts = _list(content.get("parts"))
    if not parts and isinstance(content.get("text"), str):
        parts = [content["text"]]
    for part in parts:
        if isinstance(part, str):
            words.append(part)
        elif _object(part).get("content_type") == _AUDIO:
            words.append(_text(_object(part).get("text")))
        elif not _text(_object(part).get("content_type")).startswith(
            "audio"
        ):  # the sound of what is transcribed beside it
            other = True
    return "\n".join(word for word in words if word), other


def _answered(
    message: Mapping[str, Any], kind: str, text: str, metadata: Mapping[str, Any]
) -> tuple[str, None, Influence]:
    recipient = message.get("recipient") or "all"
    if recipient != "all":  # not to the person, but to a tool
        return "", None, _tool(_text(recipient), kind)
    if kind in _SILENT:
        return "", None, Influence.NONE
    web = Influence.WEB if any(metadata.get(name) for name in _CITED) else Influence.NONE
    return text, None, web


def _tool(name: str, kind: str) -> Influence:
    return Influence.WEB if name.startswith(_WEB) or kind.startswith(_WEB) else Influence.TOOL


# --- Claude ------------------------------------------------------------------------------------------------------------------


def _claude(conversation: Mapping[str, Any]) -> Iterator[_Said]:
    begun = conversation.get("created_at")
    for message in _branch([one for one in conversation["chat_messages"] if isinstance(one, dict)]):
        text, context = _blocks(message)
        if message.get("attachments") or message.get("files"):
            context |= Influence.FILE
        by_person = message.get("sender") == "human"
        time = _time(message.get("created_at"), begun) if by_person else None
        if by_person or message.get("sender") == "assistant":
            yield _Said(by_person, text, time, context=context)
        else:
            yield _Said(False, "", None, context=context | Influence.SYSTEM)


def _branch(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages on the way to the last one; where none names its parent, all, and of answers in a row the last."""
    by_id = {one["uuid"]: one for one in messages if isinstance(one.get("uuid"), str)}
    if not any(
        one.get("parent_message_uuid") in by_id for one in messages if isinstance(one.get("parent_message_uuid"), str)
    ):
        return [
            one
            for one, after in zip(messages, [*messages[1:], None], strict=False)
            if one.get("sender") != "assistant" or _object(after).get("sender") != "assistant"
        ]
    found, seen, current = [], set[int](), messages[-1] if messages else None
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        found.append(current)
        parent = current.get("parent_message_uuid")
        current = by_id.get(parent) if isinstance(parent, str) else None
    return found[::-1]


def _blocks(message: Mapping[str, Any]) -> tuple[str, Influence]:
    words, context = [], Influence.NONE
    for block in _list(message.get("content")):
        kind = _text(_object(block).get("type"))
        if kind == "text":
            words.append(_text(block.get("text")))
            if block.get("citations"):
                context |= Influence.WEB
        elif kind in ("tool_use", "tool_result"):
            context |= _tool(_text(block.get("name")), "")
        elif kind not in ("thinking", "redacted_thinking", "token_budget", "flag"):
            context |= Influence.TOOL  # nobody knows what that is
    return "\n\n".join(word for word in words if word) or _text(message.get("text")), context
