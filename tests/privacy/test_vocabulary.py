"""The public words: what is in them, what is not, and that they are there at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mycelnode.privacy import lists
from mycelnode.privacy.generalise import generalise
from mycelnode.privacy.vocabulary import python_names, vocabulary
from vocabulary.words import Sources, sections, write

KB = 1024


def test_no_word_is_in_two_lists() -> None:
    known = vocabulary()
    parts = [known.plain, known.family, known.given, known.names]
    assert sum(map(len, parts)) == len(frozenset().union(*parts))


def test_ordinary_words_are_public_and_names_are_not() -> None:
    known = vocabulary()
    assert {"write", "table", "house", "python", "the", "don't", "colour", "color"} <= known.words
    assert {"mark", "brown", "may", "rose"} <= known.family | known.given | lists.FUNCTION | known.names
    assert {"rohan", "patel", "paris", "maria", "siemens", "berlin"}.isdisjoint(known.words)
    assert known.plain >= lists.FUNCTION
    assert all(word == word.lower() for word in known.words)


def test_words_of_today_are_public_and_go_beside_a_slot_if_somebody_is_called_so() -> None:
    known = vocabulary()
    assert {"pls", "dont", "docstring", "flashcards"} <= known.plain
    assert {"ok", "im"} <= known.family, "family names, in parts of the world"
    assert generalise("ok pls do it").output == "ok pls do it"
    assert generalise("tell Rohan Im about it").output == "tell [NAME] about it"


def test_python_is_public() -> None:
    assert {"def", "print", "os", "path", "join", "append", "__init__", "defaultdict"} <= python_names()
    assert {"alice", "customer_name"}.isdisjoint(python_names())


def test_what_ships_is_small_and_is_read_when_it_is_asked_for() -> None:
    import mycelnode.privacy as package

    data = Path(package.__file__).parent / "data"
    assert sum(file.stat().st_size for file in data.iterdir()) < 500 * KB
    said = "import sys, mycelnode.privacy.generalise as g; from mycelnode.privacy.vocabulary import vocabulary as v;"
    said += "assert v.cache_info().currsize == 0;"
    said += "assert not {'phonenumbers', 'stdnum', 'sqlglot', 'mnemonic'} & set(sys.modules), 'imported too early';"
    said += "g.generalise('a word'); assert v.cache_info().currsize == 1; assert 'phonenumbers' not in sys.modules"
    subprocess.run([sys.executable, "-c", said], check=True)


def test_it_is_made_from_its_sources(tmp_path: Path) -> None:
    scowl, census = tmp_path / "scowl", tmp_path / "census"
    scowl.mkdir()
    census.mkdir()
    (scowl / "english-words.10").write_text("house\nmark\nhouse's\n", encoding="latin-1")
    (scowl / "english-words.35").write_text("cook\nrose\nEnglish\n", encoding="latin-1")
    (scowl / "english-words.50").write_text("gable\nquay\n", encoding="latin-1")
    (scowl / "american-upper.50").write_text("Paris\n", encoding="latin-1")
    (census / "dist.all.last").write_text("COOK 0.1 0.1 1\nGABLE 0.1 0.1 2\n")
    (census / "dist.male.first").write_text("MARK 0.1 0.1 1\n")
    (census / "dist.female.first").write_text("ROSE 0.1 0.1 1\n")
    names = tmp_path / "index.cjs"
    names.write_text(
        "".join(f'exports.{kind} = [\n\t"Anna-Lena",\n];\n' for kind in ("UNISEX", "FEMALE", "MALE", "FAMILY"))
    )
    made = [sorted(part) for part in sections(Sources(scowl, census, names))]
    assert made == [["house", "quay"], ["cook"], ["mark"], ["anna", "gable", "lena", "paris", "rose"]]
    write(tmp_path / "words.xz", made)
    assert (tmp_path / "words.xz").stat().st_size
