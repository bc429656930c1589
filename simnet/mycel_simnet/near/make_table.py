"""Write the fees and limits of a protocol version into ``protocol_86.json``, as the network's own crate tells them.

    python -m mycel_simnet.near.make_table FOLDER/near-parameters-0.37.4

The crate (MIT or Apache-2.0, crates.io) carries each version's whole configuration, as `EXPERIMENTAL_protocol_config` shows it.
Version 86 changed no parameter, so the file of 85 is its configuration. Which virtual machine it is, the crate hides there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

SNAPSHOT = "src/snapshots/near_parameters__config_store__tests__85.json.snap"
TABLE = Path(__file__).with_name("protocol_86.json")


def main(crate: Path) -> None:
    """Read the crate's snapshot, write the table."""
    config = json.loads((crate / SNAPSHOT).read_text().split("\n---\n", 1)[1])
    config["wasm_config"]["vm_kind"] = "Wasmtime"
    TABLE.write_text(json.dumps(config, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
