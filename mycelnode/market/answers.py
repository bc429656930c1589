"""What a search answers of the registry: facts of patterns that name the account which registered them, and sentences on all."""

from __future__ import annotations

from dataclasses import replace

from mycelnode.chain.copied import MAX_OTHERS, Record, Said
from mycelnode.collective.answers import FoundPattern, PatternInfo, RegisteredPattern
from mycelnode.patterns.ranking import MAX_REPUTATION, Part
from mycelnode.patterns.search import Found


def found_pattern(pattern: PatternInfo, found: Found, said: Said | None) -> FoundPattern:
    """A pattern that was found, with what the registry says of it."""
    parts = tuple(_part(part, said, explored=found.explored) for part in found.score.parts)
    if said is None or said.record is None:
        return FoundPattern(pattern, found.score.value, parts)
    record = said.record
    registered = RegisteredPattern(
        record.id, record.creator, record.price, record.version, record.retired is not None, said.score
    )
    return FoundPattern(pattern, found.score.value, parts, registered)


def _part(part: Part, said: Said | None, *, explored: bool) -> Part:
    """The part on reputation in the registry's words; any other as it is."""
    if part.what != "reputation" or (said is None and not explored):
        return part
    sentences = [part.sentence] if said is None else _sentences(said)
    if explored:
        sentences.append("one place is kept for those whom nobody has rated, and this is it")
    return replace(part, sentence="; ".join(sentences))


def _sentences(said: Said) -> list[str]:
    record = said.record
    found = [_others(said) if record is None else _standing(record, said)]
    if record is not None and said.others:
        found.append(f"{_accounts(said.others)} registered it too, which counts nothing")
    if record is not None and record.retired is not None:
        found.append("it is retired: nobody can buy it any more")
    return found


def _standing(record: Record, said: Said) -> str:
    who = f"{record.creator} registered it and is paid"
    if said.score is not None:
        return f"{who}, and is rated {said.score} of {MAX_REPUTATION:,} by those who paid"
    return f"{who}; {'nobody has rated that account' if said.is_asked else 'its rating is not known here'} yet"


def _others(said: Said) -> str:
    named = f"it names {said.near}" if said.near else "it names no account"
    return f"{_accounts(said.others)} registered it, and {named}: that counts nothing"


def _accounts(count: int) -> str:
    if count >= MAX_OTHERS:
        return f"{MAX_OTHERS} other accounts or more"
    return "another account" if count == 1 else f"{count} other accounts"
