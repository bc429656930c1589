"""From the words of one request to what is done to what: the frame of a habit's key. Pure.

A word is known by its form in the tables, or by a regular form of it (tests, testing, tested); so no list of forms has to ship. The
first clause that asks for something counts; in it, the first thing done, and the thing that it is done to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from mycelnode.privacy.frametables import (
    CODE_THINGS,
    LONGEST,
    MAKING,
    OF_TOOL,
    TEXT_THINGS,
    USUAL,
    tables,
)
from mycelnode.privacy.lists import words

IRREGULAR: Final = {
    "wrote": "write", "written": "write", "writes": "write", "made": "make", "found": "find", "gave": "give", "given": "give",
    "went": "go", "thought": "think", "taught": "teach", "chose": "choose", "chosen": "choose", "drew": "draw", "drawn": "draw",
    "built": "build", "sent": "send", "got": "get", "broke": "break", "broken": "broken", "cvs": "cv", "prs": "pr",
    "children": "child", "people": "person", "analyses": "analysis", "indices": "index", "quizzes": "quiz", "movies": "movie",
    "leaves": "leaf", "taxes": "tax", "expenses": "expense", "savings": "savings", "clothes": "clothes",
}  # fmt: skip
# Before these a word that is both something done and a thing is something done.
LEADS: Final = words(
    "please you to me just then and also help quickly kindly now let s us so but plz pls ok okay hey hi"
)
NOUNS_AFTER: Final = words("""a an the this that these those my your our his her their its some any another each every no of in
    on for with from about into new good short quick nice following below above whole first second last next more""")
NOMINAL: Final = (
    words("""summary summaries synopsis overview digest recap gist takeaways explanation comparison conversion translation
    suggestion suggestions recommendation recommendations proofreading rewrite feedback critique review""")
)  # done, though nouns
TELLING: Final = words("i we he she they it")  # who is told about did that, and asks for nothing
AUX: Final = words("have has had am is are was were ve re m just already been also still")
HOW: Final = ("how do i", "how can i", "how to", "how would i", "how should i", "how do you", "how could i", "what s the command",
              "what is the command", "what s the formula", "what is the formula", "is there a way", "best way to")  # fmt: skip
WANTS: Final = words("need want like looking love")


@dataclass(frozen=True, slots=True)
class Frame:
    """What is done (an action of the tables), to what (a thing of them), and what that belongs to."""

    action: str
    thing: str
    domain: str


@dataclass(frozen=True, slots=True)
class _Hit:
    place: int
    size: int
    action: str  # or ""
    thing: str  # or ""


@cache
def forms(word: str) -> tuple[str, ...]:
    """The word, and what it may be a form of."""
    found = [word]
    if word in IRREGULAR:
        found.append(IRREGULAR[word])
    american = (
        word.replace("isation", "ization").replace("ising", "izing").replace("ised", "ized").replace("ise", "ize")
    )
    if american != word:
        found.append(american)
    if word.endswith("s") and len(word) > 3:
        found.append(word[:-1])
        if word.endswith("es"):
            found.append(word[:-2])
        if word.endswith("ies"):
            found.append(word[:-3] + "y")
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            stem = word[: -len(ending)]
            found += [stem, stem + "e"]
            if stem[-1] == stem[-2]:
                found.append(stem[:-1])
            if ending == "ed" and stem.endswith("i"):
                found.append(stem[:-1] + "y")
    if word.endswith("ation") and len(word) > 8:  # a translation, a summarization
        found += [word[:-5] + "e", word[:-5]]
    if word.endswith("ion") and len(word) > 6:
        found += [word[:-3], word[:-3] + "e"]
    return tuple(dict.fromkeys(found))


def _hits(words: Sequence[str]) -> Iterator[_Hit]:
    known = tables()
    place = 0
    while place < len(words):
        found = _longest(words, place)
        if found is None:
            place += 1
            continue
        size, entry = found
        yield _Hit(place, size, known.actions.get(entry, ""), known.things.get(entry, ""))
        place += size


def _longest(words: Sequence[str], place: int) -> tuple[int, tuple[str, ...]] | None:
    known = tables()
    if not any(form in known.first for form in forms(words[place])):
        return None
    for size in range(min(LONGEST, len(words) - place), 0, -1):
        part = words[place : place + size]
        heads = [tuple(part[:-1])] if size > 1 else [()]
        if size > 1:
            heads += [(form, *part[1:-1]) for form in forms(part[0])[1:]]
        for head in heads:
            for form in forms(part[-1]):
                entry = (*head, form)
                if entry in known.actions or entry in known.things:
                    return size, entry
    return None


def frame(clauses: Sequence[Sequence[str]], tool: str) -> Frame | None:
    """Of the clauses of a request. ``tool``: the family of tools that it names, or "". None if nothing is asked for."""
    rows = [(clause, list(_hits(clause))) for clause in clauses]
    best: Frame | None = None
    for number, (clause, hits) in enumerate(rows):
        action = _action(clause, hits)
        thing = _thing(clause, hits, action)
        if action is None and thing is None:
            continue
        near = [_thing(*rows[other], None) for other in (number + 1, number - 1, number + 2) if 0 <= other < len(rows)]
        found = _settled(
            action.action if action else "", thing or next(filter(None, near), "") if action else thing or "", tool
        )
        if found is not None and (action is not None or _asks(clause)):
            return found
        best = best or found
    return best


def _asks(clause: Sequence[str]) -> bool:
    return bool({"please", "can", "could", "would", "need", "want", "help", "give", "plz", "pls"} & set(clause))


def _action(clause: Sequence[str], hits: Sequence[_Hit]) -> _Hit | None:
    said = " ".join(clause)
    if any(how in said for how in HOW):
        made = next((hit for hit in hits if hit.action and hit.action != "explain" and not _told(clause, hit)), None)
        return made or _Hit(0, 0, "how", "")
    first: _Hit | None = None
    for hit in hits:
        if not hit.action or _told(clause, hit) or (hit.size == 1 and _is_noun(clause, hit)):
            continue
        if hit.action not in MAKING:
            wanted = first is None and _wanted_before(clause, hits, hit)
            return _Hit(hit.place, 0, "write", "") if wanted else hit if first is None else first
        first = first or hit
    return first


def _wanted_before(clause: Sequence[str], hits: Sequence[_Hit], action: _Hit) -> bool:
    """I need a script that …: what the script does is not what is asked for."""
    for hit in hits:
        if hit.place >= action.place:
            return False
        before = clause[max(0, hit.place - 4) : hit.place]
        if hit.thing and set(before) & (MAKING | WANTS) and set(before) & NOUNS_AFTER:
            return True
    return False


def _told(clause: Sequence[str], hit: _Hit) -> bool:
    """Does somebody tell what was done, and asks for something else?"""
    place = hit.place - 1
    while place >= 0 and clause[place] in AUX:
        place -= 1
    if place < 0 or clause[place] not in TELLING or hit.size > 1:
        return False
    return not (place > 0 and clause[place - 1] in ("can", "could", "should", "do", "would", "if"))


def _is_noun(clause: Sequence[str], hit: _Hit) -> bool:
    """Is a word that may be both a thing here, or nothing that is done?"""
    before = clause[hit.place - 1] if hit.place else ""
    if before in NOUNS_AFTER:
        return not (clause[hit.place].endswith("ion") or clause[hit.place] in NOMINAL)
    return bool(hit.thing) and before not in LEADS and hit.place > 0


def _thing(clause: Sequence[str], hits: Sequence[_Hit], action: _Hit | None) -> str | None:
    """The thing that it is done to: the last of the first row of things after it; else the first in the clause."""
    after = [hit for hit in hits if hit.thing and (action is None or hit.place >= action.place + action.size)]
    row: list[_Hit] = []
    for hit in after:
        if row and hit.place != row[-1].place + row[-1].size:
            break
        row.append(hit)
    if row:
        return row[-1].thing
    before = [hit for hit in hits if hit.thing and hit is not action]
    if before:
        return before[0].thing
    return action.thing if action is not None and action.thing else None


def _settled(action: str, thing: str, tool: str) -> Frame | None:
    """One way of saying for all that mean the same."""
    known = tables()
    if action == "how":
        thing = thing if thing and not tool else OF_TOOL.get(tool, thing or ("usage" if tool else ""))
        if not thing:
            return None
        action = known.about[thing].action if thing != "usage" else "explain"
    if not thing:
        thing = OF_TOOL.get(tool, "code" if tool else "") if action in ("", *MAKING) else ""
        thing = thing or known.usual.get(action, "")
    if not thing or thing not in known.about:
        return None
    usual = known.about[thing].action
    if action in ("", *MAKING):
        action = usual if usual in USUAL or not action else "write"
    if action in ("fix", "explain", "analyze", "review", "find") and thing in ("bug", "conflict"):
        action, thing = "fix", "bug"
    if action == "fix" and thing in CODE_THINGS:
        thing = "bug"
    if action in ("fix", "proofread", "review") and thing in TEXT_THINGS:
        action = "proofread"
    if action in ("review", "refactor", "optimize", "document", "explain") and thing in (
        CODE_THINGS | {"pull_request", "bug"}
    ):
        thing = "code"
    if action in ("translate", "proofread", "rewrite", "shorten", "expand") and thing != "resume":
        thing = "text"
    if action == "summarize" and thing in TEXT_THINGS | {
        "concept",
        "option",
        "idea",
        "question",
        "task",
        "list",
        "name",
    }:
        thing = "text"
    if action == "reply" and thing in TEXT_THINGS:
        thing = "email"
    return Frame(action, thing, known.about[thing].domain)
