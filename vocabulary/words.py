"""From the sources to the lists in words.xz: what may stay, what of it is also a name, and names that only give a slot its type."""

from __future__ import annotations

import lzma
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

SIZES = (10, 20, 35, 40, 50)  # of SCOWL: 10 are the most common words; beyond 50 they are rare
COMMON = (10,)  # kept, whoever is called so
KNOWN = (10, 20, 35)  # kept, even if it is a family name (but not a given one)
REGIONS = ("english", "american", "british")


@dataclass(frozen=True)
class Sources:
    """Where the unpacked lists are."""

    scowl: Path
    census: Path
    wikidata: Path


def scowl(folder: Path, kinds: Sequence[str], sizes: Sequence[int]) -> set[str]:
    """Words of some lists, without possessives: those follow from the words."""
    found: set[str] = set()
    for region, kind, size in product(REGIONS, kinds, sizes):
        file = folder / f"{region}-{kind}.{size}"
        if file.exists():
            found.update(file.read_text(encoding="latin-1").split())
    return {word for word in found if not word.endswith("'s")}


def census(folder: Path, *lists: str) -> set[str]:
    """Names of the US census, as PyPI's `names` has them."""
    return {
        line.split()[0].lower() for name in lists for line in (folder / f"dist.{name}").read_text().splitlines() if line
    }


def wikidata(file: Path, *kinds: str) -> set[str]:
    """Names of Wikidata, in the parts that a hyphen or a space makes."""
    text = file.read_text()
    found: set[str] = set()
    for kind in kinds:
        block = re.search(rf"exports\.{kind} = \[(.*?)\];", text, re.DOTALL)
        assert block is not None, f"{file} has no {kind}"
        for name in re.findall(r'"([^"\n]+)"', block[1]):
            found.update(re.split(r"[\s-]+", name.lower()))
    return {name for name in found if name.isalpha()}


def sections(sources: Sources) -> list[Iterable[str]]:
    """Four lists without a word in common: plain words, those that are a family or place name too, given names too, and names."""
    words = {word for word in scowl(sources.scowl, ["words", "contractions"], SIZES) if word == word.lower()}
    proper = {word.lower() for word in scowl(sources.scowl, ["upper", "proper-names"], SIZES)}
    given = census(sources.census, "male.first", "female.first") | wikidata(
        sources.wikidata, "FEMALE", "MALE", "UNISEX"
    )
    family = census(sources.census, "all.last") | wikidata(sources.wikidata, "FAMILY") | proper
    kept = words - given - family
    kept |= scowl(sources.scowl, ["words"], COMMON) & words
    kept |= (scowl(sources.scowl, ["words"], KNOWN) & words) - given - proper
    return [kept - given - family, (kept & family) - given, kept & given, (given | family) - kept]


def write(file: Path, lists: Sequence[Iterable[str]]) -> None:
    """Sorted, one word a line, an empty line between lists, compressed."""
    text = "\n\n".join("\n".join(sorted(words)) for words in lists)
    file.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
