"""The contracts' code that comes with mycelnode: in the wheel beside this module, in a checkout under contracts/res."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mycelnode.errors import Unsupported

REGISTRY: Final = "registry"
REPUTATION: Final = "reputation"
NAMES: Final = (REGISTRY, REPUTATION)
STATE_VERSION: Final = 2  # of the state that this code makes, and migrates older ones to
MIN_PROTOCOL: Final = 85  # of the network: before, gas and accounts were paid for in another way than is counted here
MAX_BYTES: Final = 400 << 10  # of one contract: what is signed with it must fit into the journal
_SUMS: Final = "sha256"
_HERE: Final = Path(__file__).parent / "wasm"
_CHECKOUT: Final = Path(__file__).parents[2] / "contracts" / "res"


@dataclass(frozen=True, slots=True)
class Code:
    """A contract's wasm, and its sha2-256 in hex, which is also what the network calls its code hash."""

    name: str
    data: bytes = field(repr=False)
    sha256: str

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.data)


def shipped(name: str, *, folder: Path | None = None) -> Code:
    """The code of ``registry`` or ``reputation``, which is what its checksum says. Raises `Unsupported`."""
    place = folder or (_HERE if _HERE.is_dir() else _CHECKOUT)
    try:
        with open(place / f"{name}.wasm", "rb") as file:
            data = file.read(MAX_BYTES + 1)
        sums = _sums((place / _SUMS).read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise Unsupported(
            f"the contracts are not in this installation of mycelnode ({error}); install it again"
        ) from None
    digest = hashlib.sha256(data).hexdigest()
    if len(data) > MAX_BYTES or sums.get(f"{name}.wasm") != digest:
        raise Unsupported(f"{place / name}.wasm is damaged: its checksum is another one; install mycelnode again")
    return Code(name, data, digest)


def _sums(text: str) -> Mapping[str, str]:
    """File name → checksum, as sha256sum writes them."""
    pairs = [line.split(maxsplit=1) for line in text.splitlines()]
    return {pair[1].strip(): pair[0] for pair in pairs if len(pair) == 2}
