"""Patterns of every kind, and what is not one, for properties."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from mycelnode.patterns import dagpb
from mycelnode.patterns import pattern as p
from mycelnode.patterns.cid import CODECS, Cid
from mycelnode.patterns.solutions import Adapter, Code, Prompt, Solution, Step, Variable, Workflow

CIDS = st.builds(Cid, st.sampled_from(sorted(CODECS)), st.binary(min_size=32, max_size=32))
SHOWN = st.characters(exclude_categories=("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))
SPACED = st.one_of(SHOWN, st.sampled_from("\n\t"))
SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(-(1 << 64), (1 << 64) - 1), st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=20), st.binary(max_size=40), CIDS,
)  # fmt: skip
KEYS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
EXTRA = st.dictionaries(st.sampled_from(("x_new", "later", "ünknown")), VALUES, max_size=2)


def line(most: int = 40) -> st.SearchStrategy[str]:
    """A line that says something."""
    return st.text(SHOWN, min_size=1, max_size=most).filter(str.strip)


def text(most: int = 80) -> st.SearchStrategy[str]:
    """The same, with lines in it."""
    return st.text(SPACED, min_size=1, max_size=most).filter(str.strip)


def _prompt(names: list[str], between: str, extra: dict[str, Any]) -> Prompt:
    template = between + between.join("{{" + name + "}}" for name in names)
    return Prompt(
        template, tuple(Variable(name, default="" if number % 2 else None) for number, name in enumerate(names)), extra
    )


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,10}", fullmatch=True)
PROMPTS = st.builds(
    _prompt, st.lists(NAMES, max_size=4, unique=True), text().filter(lambda said: not {"{", "}"} & set(said)), EXTRA
)
CODE = st.builds(
    Code, text(), st.sampled_from(("python", "c++", "c#", "rust")), st.lists(line(), max_size=3).map(tuple), EXTRA
)
ADAPTERS = st.builds(Adapter, line(), CIDS, st.binary(min_size=32, max_size=32).map(bytes.hex), EXTRA)
STEPS = st.builds(Step, text(), st.none() | CIDS, EXTRA)
WORKFLOWS = st.builds(Workflow, st.lists(STEPS, min_size=1, max_size=3).map(tuple), EXTRA)
SOLUTIONS: st.SearchStrategy[Solution] = st.one_of(PROMPTS, CODE, ADAPTERS, WORKFLOWS)


@st.composite
def _qualities(draw: st.DrawFn) -> p.Quality:
    uses = draw(st.integers(0, p.MAX_COUNT))
    return p.Quality(uses, draw(st.integers(0, uses)), tuple(draw(st.lists(line(), max_size=2))), draw(EXTRA))


PATTERNS = st.builds(
    p.Pattern,
    title=line(),
    domain=st.from_regex(r"[a-z0-9_-]{1,32}", fullmatch=True),
    solution=SOLUTIONS,
    creator=st.binary(min_size=32, max_size=32),
    created=st.integers(0, p.MAX_CREATED_MS),
    description=st.just("") | text(),
    language=st.sampled_from(("en", "pt-BR", "zh-Hant-TW")),
    trigger=st.just("") | text(),
    requires=st.lists(line(), max_size=3).map(tuple),
    price=st.integers(0, p.MAX_YOCTO),
    version=st.integers(1, p.MAX_VERSION),
    quality=_qualities(),
    derived_from=st.lists(CIDS, max_size=2).map(tuple),
    supersedes=st.none() | CIDS,
    files=st.none() | CIDS,
    minor=st.integers(0, 9999),
    extra=EXTRA,
)

LINKS = st.builds(
    dagpb.Link,
    CIDS,
    st.none() | st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
    st.none() | st.integers(0, (1 << 64) - 1),
)
NODES = st.builds(dagpb.Node, st.lists(LINKS, max_size=6).map(tuple), st.none() | st.binary(max_size=20))
