"""The attacker's program: ``python -I attack.py MODULE.ATTACK ADDRESS [OPTION=VALUE]…``.

Prints ``on`` when the attack is in full swing, keeps it up until its standard input ends, then prints one JSON object with what it
saw. Shares no code with what it attacks: see `wire.alone`.
"""

from __future__ import annotations

import json
import resource
import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import wire.alone  # first of all: from here on mycelnode and libp2p cannot be imported
from attackers.target import Target


def main(name: str, addr: str, *options: str) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    module, _, attack = name.partition(".")
    target = Target(addr, **dict(option.split("=", 1) for option in options))  # type: ignore[arg-type]
    getattr(import_module(f"attackers.{module}"), attack)(target)
    target.on()
    print(json.dumps({**target.saw, "shared": wire.alone.shared()}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
