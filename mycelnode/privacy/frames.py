"""From the words of one request to what is done to what: the frame of a habit's key. Pure.

What it is about is the thing of the tables that has the most weight: a word counts more in what is asked than in what was pasted,
and more before a "for" or an "about" than after it. What is done is the first thing that is asked for, if it may be done to that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

from mycelnode.privacy.frametables import FAINT, LONGEST, STRONG, TONGUE, tables
from mycelnode.privacy.inflection import KEPT, forms
from mycelnode.privacy.instruction import Clause
from mycelnode.privacy.lists import words

# Before these a word that is both something done and a thing is something done.
LEADS: Final = words("please you to me just then and also help quickly kindly now let s us so but ok okay hey hi hello")
NOUNS_AFTER: Final = words("""a an the this that these those my your our his her their its some any another each every no of in on
    for with from about into new good short quick nice following below above whole first second last next more""")
# What a question begins with, and how many words it has at least more than that.
QUESTION: Final = words("who whom whose what which when where why how is are was were do does did can could will")
SHORTEST: Final = 2
TELLING: Final = words("i we he she they it")  # who is told about did that, and asks for nothing
AUX: Final = words("have has had am is are was were ve re m just already been also still")
ASKING: Final = words("can could should do did would if may how where when what which must need to")
# After these comes what the thing is about, or made of, or for.
ABOUT: Final = words("""about for from in on with of that who which where when and or by using to at between after before under over
    because without instead per i we my our""")
INTO: Final = ("into", "as")  # what it is to become
MAKING: Final = words("write make create generate build code draft compose produce develop implement need give program")
FIRST_MADE: Final = 3  # how much more the thing counts that is to be made
WITH: Final = words("in with using")  # with which tool
ARTICLES: Final = words("a an the")
# What is done to a text that is pasted: what that is about makes no difference.
ON_TEXT: Final = words("translate proofread shorten expand summarize rewrite improve reply review check")

# What is proofread, or summarized, is a text, whatever it is about: these say no more. But for what a summary is made for.
_LOOSE: Final = words("concept option list idea task")
_MADE: Final = words("report post cover_letter description speech resume")
_CHOSEN: Final = words(
    "general home leisure food travel work learning computer"
)  # where what is compared makes no difference
# With code below, and nothing else said, it is about that.
_CODED: Final = words("make improve how fix why check review explain proofread")
_CODE: Final = words("code component test")


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
    weight: int

    @property
    def end(self) -> int:
        return self.place + self.size


def _hits(row: Sequence[str]) -> Iterator[_Hit]:
    """The longest entries of either kind, from left to right."""
    place = 0
    while place < len(row):
        found = _longest(row, place)
        if found is None:
            place += 1
        else:
            yield found
            place = found.end


def _longest(row: Sequence[str], place: int) -> _Hit | None:
    known = tables()
    starts = _starts(row[place])
    if not starts:
        return None
    for size in range(min(LONGEST, len(row) - place), 0, -1):
        part = row[place + 1 : place + size]
        ends = _forms(part[-1]) if part else ("",)
        for start in starts:
            for end in ends:
                entry = (start, *part[:-1], end) if part else (start,)
                if part and TONGUE not in (start, end) and any(word in known.tongues for word in entry):
                    entry = tuple(TONGUE if word in known.tongues else word for word in entry)
                action = known.actions.get(entry, "")
                thing, weight = known.things.get(entry, ("", 0))
                if action or thing:
                    return _Hit(place, size, action, thing, weight)
    return None


@lru_cache(KEPT)
def _starts(word: str) -> tuple[str, ...]:
    """The forms of a word that an entry of the tables begins with."""
    return tuple(form for form in _forms(word) if form in tables().first)


def _forms(word: str) -> tuple[str, ...]:
    return (*forms(word), TONGUE) if word in tables().tongues else forms(word)


def frame(clauses: Sequence[Clause], *, code: bool) -> Frame | None:
    """Of the clauses of a request. ``code``: there is code below, or a tool for it is named. None if nothing is asked for."""
    rows = [(clause, list(_hits(clause.words))) for clause in clauses]
    asked = _asked(rows)
    if not asked:
        return Frame("explain", "concept", tables().about["concept"].domain) if _question(clauses) else None
    action = _done(asked)
    thing = _about(rows, asked, action)
    return _settled(action, thing, code=code)


_Row = tuple[Clause, list[_Hit]]


def _question(clauses: Sequence[Clause]) -> bool:
    """Is something asked, whatever it is about?"""
    rows = [clause.words for clause in clauses if not clause.detail]
    return any(row[0] in QUESTION and len(row) > SHORTEST for row in rows)


def _asked(rows: Sequence[_Row]) -> list[_Row]:
    """The clauses that ask: of the first paragraph that has something in it; if nothing is done in it, of the last one as well."""
    there = [row for row in rows if row[1] and not row[0].detail] or [row for row in rows if row[1]]
    if not there:
        return []
    first, last = there[0][0].paragraph, there[-1][0].paragraph
    asked = [row for row in there if row[0].paragraph == first]
    if last != first and not _done(asked):
        asked += [row for row in there if row[0].paragraph == last]
    return asked


def _done(asked: Sequence[_Row]) -> str:
    """The first thing that is done. Making something says the least, as the thing says more; checking it says little."""
    done = [
        hit.action
        for clause, hits in asked
        for hit in hits
        if hit.action and not _told(clause.words, hit) and not (hit.size == 1 and _is_noun(clause.words, hit))
    ]
    telling = [action for action in done if action not in ("make", "how")]
    if telling and telling[0] in ("check", "review", "fix") and "proofread" in telling:
        return "proofread"
    if telling and telling[0] in ("explain", "why"):  # whatever else there is says more
        return next((action for action in telling if action in ("summarize", "fix")), telling[0])
    return next(iter([*telling, *done]), "")


def _told(row: Sequence[str], hit: _Hit) -> bool:
    """Does somebody tell what was done, and asks for something else?"""
    place = hit.place - 1
    while place >= 0 and row[place] in AUX:
        place -= 1
    if place < 0 or row[place] not in TELLING or hit.size > 1 or hit.action == "make":
        return False
    return not (place > 0 and row[place - 1] in ASKING)


def _is_noun(row: Sequence[str], hit: _Hit) -> bool:
    """Is a word that may be both a thing here, and nothing that is done?"""
    before = row[hit.place - 1] if hit.place else ""
    if row[hit.place].endswith(("ion", "ary")) or hit.action in (
        "proofread",
        "check",
        "review",
        "summarize",
        "shorten",
        "reply",
    ):
        return False
    return before in NOUNS_AFTER or (bool(hit.thing) and before not in LEADS and hit.place > 0)


def _about(rows: Sequence[_Row], asked: Sequence[_Row], action: str) -> str:
    """The thing of the most weight, and of equals the first. Elsewhere than in what is asked one is looked for only if there is
    none, and if what is pasted is not just what something is done to."""
    weights: dict[str, int] = {}
    for clause, hits in asked:
        for hit, weight in _weighed(clause.words, hits):
            had = weights.get(hit.thing, 0)
            weights[hit.thing] = max(had, weight) + min(had, weight) // 4  # said again, it counts a little more
    if not weights and action not in ON_TEXT:
        for clause, hits in rows:
            for hit, weight in _weighed(clause.words, hits):
                if hit.weight >= STRONG or not clause.detail:
                    weights[hit.thing] = max(weights.get(hit.thing, 0), weight)
    best = max(weights.values(), default=0)
    return next((thing for thing, weight in weights.items() if weight == best), "")


def _weighed(row: Sequence[str], hits: Sequence[_Hit]) -> Iterator[tuple[_Hit, int]]:
    """Each thing with its weight, of 100 a point: half of it after a word such as "about", two thirds before another thing."""
    things = [hit for hit in hits if hit.thing]
    share = 100
    end = 0
    for number, hit in enumerate(things):
        between = row[end : hit.place]
        if number and not ABOUT.isdisjoint(between):
            share = max(share // 2, 25)
        if number and _becomes(between):
            share = 120
        if hit.place and row[hit.place - 1] in WITH and row[hit.place] in tables().tools:
            share = 120
        made = FIRST_MADE if number == 0 and hit.weight > FAINT and _made(row, hit) else 0
        end = hit.end
        compound = number + 1 < len(things) and things[number + 1].place == hit.end
        yield hit, (hit.weight + made) * share * (2 if compound else 3) // 3


def _made(row: Sequence[str], thing: _Hit) -> bool:
    """Is it what is to be made: write a …, I need a …?"""
    before = row[: thing.place]
    return any(form in MAKING for word in before for form in forms(word)) and ABOUT.isdisjoint(before[-3:])


def _becomes(between: Sequence[str]) -> bool:
    return any(one in INTO and other in ARTICLES for one, other in pairwise(between)) or "into" in between[-2:]


def made(one: Frame) -> bool:
    """Can a request come to this?"""
    known = one.thing in tables().about and one.action in tables().about[one.thing].actions
    return known and any(_settled(one.action, one.thing, code=code) == one for code in (False, True))


def _settled(action: str, thing: str, *, code: bool) -> Frame | None:
    """One way of saying for all that mean the same."""
    known = tables()
    if not thing and code and (not action or action in _CODED):
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
    elif action == "reply" and thing != "customer":
        thing = "email"
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
    return Frame(action, thing, known.about[thing].domain)
