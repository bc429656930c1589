"""The program, killed where it would write into the journal: ``python -m tests.chain.deployer STEP …`` as `mycelnode …`."""

from __future__ import annotations

import sys

from mycelnode.chain import service
from mycelnode.cli import main
from tests.chain.payer import Dying

if __name__ == "__main__":
    Dying.step = sys.argv.pop(1)
    service.Journal = Dying  # type: ignore[misc]
    main()
