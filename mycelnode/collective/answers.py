"""What `Node.patterns` answers. CIDs are text, keys text in hex, prices whole yoctoNEAR."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mycelnode.patterns.files import Draft
from mycelnode.patterns.files.texts import write_markdown
from mycelnode.patterns.pattern import Pattern
from mycelnode.patterns.ranking import Part


@dataclass(frozen=True, slots=True)
class PatternRegistering:
    """What registering a pattern says on a public chain, for ever; ``deposit``: what it takes, in yoctoNEAR.

    ``replaces``: the CID of the version in whose place it comes. ``asked``: a server has said how much it takes. ``number``: it is
    registered already, as this one and at this price, and nothing is taken.

    >>> (await node.patterns.preview("triage.md", register=True)).registering.deposit
    125000000000000000000000
    """

    account: str
    registry: str
    domain: str
    price: int
    deposit: int
    replaces: str | None
    asked: bool
    number: int | None = None


@dataclass(frozen=True, slots=True)
class PatternPreview:
    """What publishing would make public: ``text`` and ``files`` (path → bytes); ``left_out`` of a folder is not read.

    ``creator``: the key that signs, in hex; None: one is made. ``formers``: the keys before it that the pattern names, which says
    that all of them are of one person. ``near``: the NEAR account that it names. ``names``: CIDs of other patterns that it names,
    and what each is here: "public", "private" or "not here". ``digest`` names all of this: given to `Patterns.publish`, nothing
    else is made public.

    >>> preview = await node.patterns.preview("triage.md")
    >>> if input(preview.text) == "yes":
    ...     await node.patterns.publish("triage.md", digest=preview.digest)
    """

    text: str
    files: Mapping[str, int]
    left_out: tuple[str, ...]
    creator: str | None
    formers: tuple[str, ...]
    near: str | None
    names: Mapping[str, str]
    digest: str
    registering: PatternRegistering | None = None


@dataclass(frozen=True, slots=True)
class PublishedPattern:
    """What was made public; ``told`` is a sentence on who knows of it by now.

    ``registered``: it is in the registry, as number ``id``; ``waiting``: the outbox is to see to that. ``registration``: how that
    stands, in a sentence; nothing if nobody wanted it.

    >>> (await node.patterns.publish("triage.md")).cid
    'bafyrei…'
    """

    cid: str
    version: int
    dp: str
    told: str
    id: int | None = None
    registered: bool = False
    waiting: bool = False
    registration: str = ""


@dataclass(frozen=True, slots=True)
class PatternInfo:
    """A pattern in the library. ``price`` is in yoctoNEAR a use, ``creator`` a key in hex, ``created`` what its creator says.

    ``price_now``: what the registry asks, as far as it is known here; None: it is not sold there.
    ``uses``, ``successes``, ``failures``: of this person, on all devices. ``source``: from where it came.
    ``later``: the CID of what its creator has put in its place, if that is known.

    >>> [info.title for info in (await node.patterns.list()).patterns]
    ['Sort the post']
    """

    cid: str
    title: str
    kind: str
    domain: str
    language: str
    price: int
    creator: str
    created: datetime
    version: int
    mine: bool
    published: bool
    kept: bool
    source: str
    uses: int
    successes: int
    failures: int
    later: str | None = None
    price_now: int | None = None


@dataclass(frozen=True, slots=True)
class PatternListing:
    """The library: what is here, and the CIDs of kept patterns that are ``coming`` from the person's other devices.

    ``more``: are there patterns beyond these?

    >>> (await node.patterns.list()).coming
    []
    """

    patterns: list[PatternInfo]
    coming: list[str]
    more: bool = False


@dataclass(frozen=True, slots=True)
class RegisteredPattern:
    """A pattern in the registry on NEAR, registered by the ``account`` that it names itself, which is paid.

    ``price`` is what a use costs now, in yoctoNEAR. ``retired``: nobody can buy it any more. ``score``: of the account, by those
    who paid it, in 0…1000; None: nobody has rated it.

    >>> best = (await node.patterns.search("sort my mail")).found[0]
    >>> print(best.registered and best.registered.account)
    alice.near
    """

    id: int
    account: str
    price: int
    version: int
    retired: bool
    score: int | None


@dataclass(frozen=True, slots=True)
class RetiredPattern:
    """A pattern that is sold no more. What was held for it is ``released``, or can be, by the same call, from ``release_from`` on.

    >>> (await node.patterns.retire(cid)).released
    False
    """

    cid: str
    id: int
    released: bool
    release_from: datetime


@dataclass(frozen=True, slots=True)
class FoundPattern:
    """A pattern that was found; ``score`` is in 0…1, and ``parts`` say in sentences how it came to that.

    ``price``: what a use costs now, in yoctoNEAR: as the registry has it, else as the pattern says.

    >>> best = (await node.patterns.search("sort my mail")).found[0]
    >>> print(best.pattern.title, best.parts[0].sentence)
    """

    pattern: PatternInfo
    score: float
    parts: tuple[Part, ...]
    registered: RegisteredPattern | None = None

    @property
    def price(self) -> int:
        """In yoctoNEAR."""
        return self.pattern.price if self.registered is None else self.registered.price


@dataclass(frozen=True, slots=True)
class PatternSearch:
    """What a search found, the best first; each source it asked → "ok", "off", or why not; and what compared meanings.

    ``registry_as_of``: when the registry was last read, if it ever was.

    >>> (await node.patterns.search("sort my mail")).embedder
    'ollama'
    """

    found: list[FoundPattern]
    sources: Mapping[str, str]
    embedder: str
    registry_as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class PatternContent:
    """All of a pattern: what its creator signed, and the files that travel with it (path → bytes).

    ``price_now``: what the registry asks, in yoctoNEAR, as far as it is known here; None: it is not sold there.
    ``manifest`` is the signed block, whose name is ``cid``; ``dp`` the mechanism behind its promise of privacy, or "none";
    ``near`` the account that is paid; ``formers`` the keys that its creator had before, in hex.

    >>> print((await node.patterns.get(cid)).pattern.solution)
    """

    cid: str
    pattern: Pattern
    files: Mapping[str, bytes] = field(repr=False)
    dp: str
    near: str | None
    formers: tuple[str, ...]
    kept: bool
    source: str
    manifest: bytes = field(repr=False)
    price_now: int | None = None

    @property
    def text(self) -> str:
        """The pattern as Markdown for people."""
        return write_markdown(Draft.of(self.pattern))


@dataclass(frozen=True, slots=True)
class PatternQuote:
    """What the next use costs in yoctoNEAR: ``total`` is the price, and what the record of a first use takes.

    ``creator``: the account that is paid. ``questions``: what the person is to be asked before; whoever calls `Patterns.use` with
    ``yes`` has asked. ``gas_in_advance`` has to be there besides, and comes back but for about ``gas_burnt``. A use that is
    free, or paid already, costs 0.

    >>> quote = await node.patterns.quote(cid)
    >>> if not quote.questions or input(f"{'; '.join(quote.questions)}. Pay? ") == "yes":
    ...     await node.patterns.use(cid, {"letters": "a bill"}, max_price=quote.total, yes=True)
    """

    cid: str
    price: int
    total: int
    creator: str | None
    questions: list[str]
    gas_in_advance: int = 0
    gas_burnt: int = 0


@dataclass(frozen=True, slots=True)
class UsedPattern:
    """What a pattern gave: the template filled in, the code (never run), the steps; and the yoctoNEAR ``paid`` for it.

    ``paid_before``: what the same request has paid for, and was given, before; nothing is ``paid`` again then.
    ``pending``: it is not paid yet, and how that stands; there is no ``output`` then, and the same request again gives it.

    >>> print((await node.patterns.use(cid, {"sender": "Ada"})).output)
    """

    cid: str
    kind: str
    output: str
    paid: int
    pending: str = ""
    paid_before: int = 0


@dataclass(frozen=True, slots=True)
class ImportedPattern:
    """What a CAR held; ``left``: how many of its further roots, of which nothing is kept.

    >>> (await node.patterns.import_car("sort.car")).pattern.title
    'Sort the post'
    """

    pattern: PatternInfo
    left: int


@dataclass(frozen=True, slots=True)
class PatternOutcomes:
    """How often this person used a pattern, on all devices, and how that went as far as it was said.

    ``queued``: it goes on chain, too, and how that stands; nothing for what was not paid for.

    >>> await node.patterns.rate(cid, success=True)
    PatternOutcomes(uses=1, successes=1, failures=0, queued='')
    """

    uses: int
    successes: int
    failures: int
    queued: str = ""
