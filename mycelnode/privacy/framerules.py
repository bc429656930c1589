"""One way of saying for all that mean the same: from an action and a thing to the frame that both are in a key. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mycelnode.privacy.frametables import tables
from mycelnode.privacy.lists import words

# What is proofread, or summarized, is a text, whatever it is about: these say no more. But for what a summary is made for.
_LOOSE: Final = words("concept option list idea task")
_MADE: Final = words("report post cover_letter description speech resume")
_CHOSEN: Final = words(
    "general home leisure food travel work learning computer"
)  # where what is compared makes no difference
# With code below, and nothing else said, it is about that.
_CODED: Final = words("make improve how fix why check review explain proofread")
_REVIEWED: Final = words("api component page test bug pull_request docs algorithm")
_WHOLE: Final = words("story poem presentation resume cover_letter speech")  # is made, and made again
_ON_A_TEXT: Final = words("shorten expand")  # and on nothing else
_CODE: Final = words("code component test")
_CODING: Final = words("coding data")


@dataclass(frozen=True, slots=True)
class Frame:
    """What is done (an action of the tables), to what (a thing of them), and what that belongs to."""

    action: str
    thing: str
    domain: str


def made(one: Frame) -> bool:
    """Can a request come to this?"""
    known = one.thing in tables().about and one.action in tables().about[one.thing].actions
    return known and any(settled(one.action, one.thing, code=code) == one for code in (False, True))


def settled(action: str, thing: str, *, code: bool) -> Frame | None:
    """One way of saying for all that mean the same."""
    known = tables()
    if not thing and code and (not action or action in _CODED):
        action, thing = action or "review", "code"
    if code and not action and thing and known.about[thing].domain not in _CODING:
        action = "review"  # code, and something about it in other words
    if code and action == "review":
        thing = "code"
    if action == "check":
        mine = not thing or (known.about[thing].domain == "writing" and thing not in _MADE)
        action = "proofread" if mine else "review"
    if action == "why":
        fixed = thing and "fix" in known.about[thing].actions
        action = "fix" if fixed else "explain"
    if action == "explain" and thing == "code" and not code:
        thing = "concept"  # of programming
    if action == "compare" and (not thing or known.about[thing].domain in _CHOSEN):
        thing = "option"
    if code and action == "proofread":
        action = "fix"
    if action in ("translate", "proofread"):
        thing = "text"
    thing = thing or known.usual.get(action, "")
    if not thing or (thing not in known.about):
        return None
    may = known.about[thing].actions
    if thing in _CODE and action in ("improve", "rewrite", "recommend"):
        action, thing = ("refactor" if action == "rewrite" else "review"), "code"
    elif thing == "text" and action == "fix":
        action = "proofread"
    elif action == "review" and known.about[thing].domain == "writing" and "review" not in may and thing not in _MADE:
        thing = "text"
    elif action in _ON_A_TEXT and thing not in _WHOLE:
        action, thing = ("refactor", "code") if thing == "code" else (action, "text")
    elif action == "explain" and thing == "bug":
        action = "fix"
    elif action == "recommend" and thing == "book":
        thing = "next_book"
    elif action == "review" and thing in _REVIEWED:
        thing = "code"
    elif action == "explain" and action not in may and thing in _REVIEWED:
        thing = "code" if code else "concept"
    elif action in ("improve", "rewrite") and "rewrite" in may:
        action, thing = "rewrite", "text"
    elif action == "summarize" and (known.about[thing].domain == "writing" or thing in _LOOSE) and thing not in _MADE:
        thing = "text"
    elif action == "fix" and thing == "code":
        thing = "bug"
    elif action == "document" and thing == "code":
        action, thing = "write", "docs"
    elif action not in may:
        action = "write" if action == "make" and "write" in may and thing != "text" else may[0]
    if action == "reply":
        thing = "email"  # whoever wrote it
    return Frame(action, thing, tables().about[thing].domain)
