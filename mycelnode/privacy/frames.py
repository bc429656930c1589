"""From the words of one request to what is done to what: the frame of a habit's key. Pure.

What it is about is the thing of the tables that has the most weight: a word counts more in what is asked than in what was pasted,
and more before a "for" or an "about" than after it. What is done is the first thing that is asked for, if it may be done to that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from mycelnode.privacy.framehits import Hit, hits, weighed
from mycelnode.privacy.framerules import Frame, settled
from mycelnode.privacy.frametables import STRONG, tables
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
# Before the language that something is translated into.
INTO_TONGUE: Final = words("to into in good proper formal polite simple")
# What is done to a text that is pasted: what that is about makes no difference.
ON_TEXT: Final = words("translate proofread shorten expand summarize rewrite improve reply review check")

# With these, a text that is wanted in another language is translated.
SAID: Final = ("", "make", "rewrite", "reply", "how")
LETTERS: Final = ("", "text", "email", "letter", "customer")
AT_FAULT: Final = ("why", "fix", "explain", "how", "check")  # with these, what failed is to be mended
# The weight of what a program says that failed, and of an answer's form: a word that means one thing has 1,800.
FAILED, FORM = 1_200, 900


@dataclass(frozen=True, slots=True)
class Answer:
    """What is looked at of an answer: its ``clauses``; the thing that it has the ``form`` of; is it in a ``foreign`` language?"""

    clauses: Sequence[Clause] = ()
    form: str = ""
    foreign: bool = False


NOTHING: Final = Answer()


def frame(clauses: Sequence[Clause], answer: Answer = NOTHING, *, code: bool, failed: bool = False) -> Frame | None:
    """Of the clauses of a request, and of its answer. ``code``: there is code below; ``failed``: what a program says that
    failed is there. None if nothing is asked for."""
    rows = [(clause, list(hits(clause.words))) for clause in clauses]
    asked = _asked(rows)
    action = _done(asked)
    weights = _weights(rows, asked, action)
    if failed and (action in AT_FAULT or not weights):
        weights["bug"] = weights.get("bug", 0) + FAILED
    if answer.form:
        weights[answer.form] = weights.get(answer.form, 0) + FORM
    if not weights and action not in ON_TEXT and not code:
        weights = _answered(answer.clauses)
    best = max(weights.values(), default=0)
    thing = next((thing for thing, weight in weights.items() if weight == best), "")
    if action in SAID and thing in LETTERS and (answer.foreign or _spoken(clauses)):
        action = "translate"
    if not action and not thing:
        return Frame("explain", "concept", tables().about["concept"].domain) if _question(clauses) else None
    return settled(action, thing, code=code)


def _answered(answer: Sequence[Clause]) -> dict[str, int]:
    """What an answer is about, if that is beyond doubt: the weight of each thing in it, where a word counts once."""
    found = {
        tuple(clause.words[hit.place : hit.end]): hit for clause in answer for hit in hits(clause.words) if hit.thing
    }
    weights: dict[str, int] = {}
    for hit in found.values():
        weights[hit.thing] = weights.get(hit.thing, 0) + hit.weight
    return {thing: weight for thing, weight in weights.items() if weight >= STRONG}


def _spoken(clauses: Sequence[Clause]) -> bool:
    """Is something that was pasted to be in another language: to German, please?"""
    pasted = any(clause.detail or clause.paragraph for clause in clauses)
    for number, clause in enumerate(clauses):
        for before, word in pairwise(clause.words):
            if word in tables().tongues and before in INTO_TONGUE and not clause.detail:
                return pasted or (clause.words[0] == before and number + 1 < len(clauses))
    return False


_Row = tuple[Clause, list[Hit]]


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
        for clause, found in asked
        for hit in found
        if hit.action and not _told(clause.words, hit) and not (hit.size == 1 and _is_noun(clause.words, hit))
    ]
    telling = [action for action in done if action not in ("make", "how")]
    if telling and telling[0] in ("check", "review", "fix") and "proofread" in telling:
        return "proofread"
    if telling and telling[0] in ("explain", "why"):  # whatever else there is says more
        return next((action for action in telling if action in ("summarize", "fix")), telling[0])
    return next(iter([*telling, *done]), "")


def _told(row: Sequence[str], hit: Hit) -> bool:
    """Does somebody tell what was done, and asks for something else?"""
    place = hit.place - 1
    while place >= 0 and row[place] in AUX:
        place -= 1
    if place < 0 or row[place] not in TELLING or hit.size > 1 or hit.action == "make":
        return False
    return not (place > 0 and row[place - 1] in ASKING)


def _is_noun(row: Sequence[str], hit: Hit) -> bool:
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


def _weights(rows: Sequence[_Row], asked: Sequence[_Row], action: str) -> dict[str, int]:
    """The weight of each thing that is named. Elsewhere than in what is asked one is looked for only if there is none, and if what
    is pasted is not just what something is done to."""
    weights: dict[str, int] = {}
    for clause, found in asked:
        for hit, weight in weighed(clause.words, found):
            had = weights.get(hit.thing, 0)
            weights[hit.thing] = max(had, weight) + min(had, weight) // 4  # said again, it counts a little more
    if not weights and action not in ON_TEXT:
        for clause, found in rows:
            for hit, weight in weighed(clause.words, found):
                if hit.weight >= STRONG or not clause.detail:
                    weights[hit.thing] = max(weights.get(hit.thing, 0), weight)
    return weights
