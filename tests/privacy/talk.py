"""Conversations as ChatGPT and Claude export them, and turns in our own form, made up for tests."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

AT = 1_767_225_600  # 2026-01-01


def turn(number: int, **more: Any) -> dict[str, Any]:
    """Of our own form."""
    return {
        "request": f"question {number}",
        "answer": f"answer {number}",
        "time": f"2026-01-{1 + number % 28:02}T08:00:00Z",
        **more,
    }


def lines(path: Path, turns: Iterable[Any]) -> Path:
    """A file of JSON Lines."""
    path.write_text("".join(json.dumps(one) + "\n" for one in turns))
    return path


def message(role: str, text: str, number: int = 0, **more: Any) -> dict[str, Any]:
    """A message of ChatGPT's; a ``name`` is that of its author."""
    author = {"role": role, "name": more.pop("name", None), "metadata": {}}
    content = {"content_type": "text", "parts": [text]}
    return {
        "author": author,
        "create_time": AT + number,
        "content": content,
        "recipient": "all",
        "metadata": {},
        **more,
    }


def chatgpt(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A conversation of ChatGPT's, its messages in one line below the root and the empty message of the system."""
    mapping: dict[str, Any] = {"root": {"id": "root", "message": None, "parent": None, "children": ["m0"]}}
    chain = [message("system", "", weight=0), *messages]
    for number, one in enumerate(chain):
        below = [f"m{number + 1}"] if number + 1 < len(chain) else []
        parent = f"m{number - 1}" if number else "root"
        mapping[f"m{number}"] = {"id": f"m{number}", "message": one, "parent": parent, "children": below}
    return {
        "title": "Bread",
        "create_time": AT,
        "mapping": mapping,
        "current_node": f"m{len(chain) - 1}",
        "conversation_id": "c",
        **more,
    }


def said(sender: str, text: str, **more: Any) -> dict[str, Any]:
    """A message of Claude's."""
    content = [{"type": "text", "text": text, "citations": []}]
    return {
        "sender": sender,
        "text": text,
        "content": content,
        "created_at": "2026-01-02T08:00:00.000000Z",
        "attachments": [],
        **more,
    }


def claude(*messages: dict[str, Any]) -> dict[str, Any]:
    """A conversation of Claude's."""
    return {"uuid": "c", "name": "Bread", "created_at": "2026-01-02T07:59:00Z", "chat_messages": list(messages)}


def zipped(path: Path, files: dict[str, Any]) -> Path:
    """A zip file of JSON."""
    path.write_bytes(zip_bytes({name: json.dumps(value).encode() for name, value in files.items()}))
    return path


def zip_bytes(files: dict[str, bytes]) -> bytes:
    """A zip file."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return made.getvalue()


def pairs(conversation: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Messages of ChatGPT's from what was asked and answered."""
    return [one for asked, answered in conversation for one in (message("user", asked), message("assistant", answered))]
