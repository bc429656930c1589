"""How found patterns are ranked: one score of four parts, each of which can be shown and explained. Pure.

`score = Σ weight × value`, each value in 0…1 and the weights adding up to 1, so the score is in 0…1 and grows with each part.

*Success* is the lower end of the Wilson interval (E. B. Wilson, JASA 22 (1927), 209–212) at one standard error, of the person's own
uses with two imagined successes and two imagined failures put in before. Why this: a raw ratio puts 1 of 1 above 95 of 100. The
lower end doesn't, since it counts only what the sample is large enough to show. Without the imagined four, it would put a pattern
that nobody has tried at 0, where only those belong that always failed; with them the unknown stands at 0.276, above what failed
and below what worked, each success raises it and each failure lowers it, whatever came before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

SIMILARITY_WEIGHT: Final = 0.60
SUCCESS_WEIGHT: Final = 0.20
REPUTATION_WEIGHT: Final = 0.15
PRICE_WEIGHT: Final = 0.05
PARTS: Final = ("similarity", "success", "reputation", "price")
WEIGHTS: Final = (SIMILARITY_WEIGHT, SUCCESS_WEIGHT, REPUTATION_WEIGHT, PRICE_WEIGHT)

IMAGINED: Final = 2  # successes, and as many failures, before the first use
Z: Final = 1.0  # standard errors below what was seen
MAX_REPUTATION: Final = 1_000
UNKNOWN_REPUTATION: Final = 300  # as the unknown stands in success: neither praised nor blamed
HALF_PRICE: Final = 10**22  # yoctoNEAR at which the value of the price is a half: 0.01 NEAR
NEAR_DIGITS: Final = 24  # a NEAR has 10^24 yoctoNEAR
PLACES: Final = 10  # the position from which similarity is about a half


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a score: ``contribution`` is ``weight`` × ``value``, ``sentence`` says to a person where the value comes from."""

    what: str
    value: float
    weight: float
    contribution: float
    sentence: str

    def as_json(self) -> dict[str, str | float]:
        """For `pattern search --json`."""
        return {
            "what": self.what,
            "value": round(self.value, 6),
            "weight": self.weight,
            "contribution": round(self.contribution, 6),
            "sentence": self.sentence,
        }


@dataclass(frozen=True, slots=True)
class Score:
    """A score in 0…1, and what it is made of, the heaviest part first."""

    value: float
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a score is made of. Values out of bounds are moved to them.

    ``similarity`` is in 0…1 (see `similarity_at`), ``uses`` and ``successes`` are the person's, ``reputation`` is of others'
    ratings in 0…1000 or None, ``price`` in yoctoNEAR.
    """

    similarity: float
    uses: int
    successes: int
    reputation: int | None
    price: int

    @property
    def values(self) -> tuple[float, float, float, float]:
        """Similarity, success, reputation and price, each in 0…1."""
        return (
            min(max(self.similarity, 0.0), 1.0),
            success_value(self.uses, self.successes),
            reputation_value(self.reputation),
            price_value(self.price),
        )


def score(facts: Facts) -> float:
    """In 0…1."""
    return math.fsum(weight * value for weight, value in zip(WEIGHTS, facts.values, strict=True))


def explain(facts: Facts, found: str) -> Score:
    """The same with its parts; ``found`` is the sentence on the similarity."""
    sentences = (
        found,
        _success_sentence(facts.uses, facts.successes),
        _reputation_sentence(facts.reputation),
        _price_sentence(facts.price),
    )
    parts = tuple(
        Part(what, value, weight, weight * value, sentence)
        for what, value, weight, sentence in zip(PARTS, facts.values, WEIGHTS, sentences, strict=True)
    )
    return Score(score(facts), parts)


def similarity_at(position: int) -> float:
    """Of the pattern at that place of what was found, from 1: 1.00, 0.91, 0.83, … 0.53 at the tenth.

    By place, as the measures of words and of vectors cannot be compared with each other, nor those of two models.
    """
    return PLACES / (PLACES - 1 + position)


def success_value(uses: int, successes: int) -> float:
    """In 0…1, from what the person saw; see the module."""
    uses = max(uses, 0)
    n = uses + 2 * IMAGINED
    p = (min(max(successes, 0), uses) + IMAGINED) / n
    middle = p + Z * Z / (2 * n)
    half = Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    return (middle - half) / (1 + Z * Z / n)


def reputation_value(reputation: int | None) -> float:
    """In 0…1, from 0…1000; the unknown are like those with `UNKNOWN_REPUTATION`."""
    known = UNKNOWN_REPUTATION if reputation is None else reputation
    return min(max(known, 0), MAX_REPUTATION) / MAX_REPUTATION


def price_value(price: int) -> float:
    """In 0…1: 1 for what is free, a half at `HALF_PRICE`."""
    return HALF_PRICE / (HALF_PRICE + max(price, 0))


def _success_sentence(uses: int, successes: int) -> str:
    if uses <= 0:
        return "you have not used it yet"
    return f"it worked in {successes:,} of your {uses:,} use{'s' if uses > 1 else ''}"


def _reputation_sentence(reputation: int | None) -> str:
    return "nobody has rated it yet" if reputation is None else f"others rate it {reputation} of {MAX_REPUTATION:,}"


def _price_sentence(price: int) -> str:
    return f"{near(price)} NEAR a use" if price else "it is free"


def near(price: int) -> str:
    """An amount in yoctoNEAR as NEAR, in decimal digits and exactly."""
    whole, rest = divmod(price, 10**NEAR_DIGITS)
    return f"{whole}.{rest:0{NEAR_DIGITS}d}".rstrip("0").rstrip(".")
