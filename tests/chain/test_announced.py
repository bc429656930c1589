"""Which code of a contract was announced and not put in yet, as the journal of whoever deploys has it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mycelnode.chain.deploy import Deployer
from mycelnode.chain.deploy_plan import STAGE
from mycelnode.chain.gas import UPGRADE
from mycelnode.chain.journal import Line
from mycelnode.protocols.payment_journal import Entry, Intent, Outcome, State, json_args


class Told(Deployer):
    """A deployer that has done some things, the last one first."""

    def __init__(self, *done: tuple[str, State]) -> None:
        self._done = done

    def _lines(self, contract: str) -> Iterator[Line]:
        for method, state in self._done:
            intent = Intent("id", "net/1", "owl.near", "k", contract, method, json_args(code_hash="ab"), 0, 30, 1 << 50)
            entry = Entry(intent, state, outcome=Outcome("hash", state is State.DONE, b'"17"', "", 1, 1))
            yield Line(1, "deploy", None, 0, 0, 0, entry)


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
def test_an_upgrade_that_came_to_nothing_leaves_what_was_announced(state: State) -> None:
    assert Told((UPGRADE, state), (STAGE, State.DONE))._announced("c.near") == ("ab", 17)
    assert Told((STAGE, state), (STAGE, State.DONE))._announced("c.near") == ("ab", 17)


def test_an_upgrade_that_is_done_has_put_it_in() -> None:
    assert Told((UPGRADE, State.DONE), (STAGE, State.DONE))._announced("c.near") == ("", 0)
    assert Told((STAGE, State.FAILED))._announced("c.near") == ("", 0)
