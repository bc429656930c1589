"""What the recovery phrase says about releases: who decides them, at first, and once that device is lost."""

from __future__ import annotations

from functools import partial

from mycelnode.crdt.changelog import DeviceId
from mycelnode.errors import PhraseError
from mycelnode.identity import RootKey, verify
from mycelnode.mesh import Mesh
from mycelnode.privacy import budget
from mycelnode.privacy.accounting import DEFAULT
from mycelnode.protocols.release import Part
from mycelnode.protocols.release_ledger import Ledger
from mycelnode.protocols.release_records import Plan
from mycelnode.protocols.release_steps import Kept
from mycelnode.protocols.release_window import quarter_of


def first_plan(root: RootKey, device: DeviceId, now: int) -> Plan:
    """A mesh begins: its first device decides, quarter by quarter, from the one on that ``now`` (Unix ms) lies in."""
    plan = Plan(root.public, now // 1000, quarter_of(now), 1, DEFAULT, device, None)
    return plan.signed(root.public, root.sign)


async def let_decide(mesh: Mesh, root: RootKey, *, anyway: bool = False) -> Plan | None:
    """The plan that holds; if the device that decides is out of the mesh, a new one: this device does, from the next window on.

    None if nobody here has heard who decides: whoever has only the phrase has not met the others yet, and one of them may well do
    it, by terms that a plan of ours would end. ``anyway``: a new one in all cases.

    On disk when this returns. Raises `PhraseError` if the phrase is another mesh's, `BudgetBroken`, and what `Database.write`
    raises.
    """
    if root.public != mesh.root:
        raise PhraseError("this recovery phrase belongs to another mesh")
    records = await mesh.database.scan(partial(budget.read, root=mesh.root, verify=verify))
    me, membership = mesh.identity, mesh.replica.membership
    part = Part(mesh.root, me.device, me.sign, verify, Ledger(mesh.root, records), Kept(), bytes)
    part.membership(frozenset(membership.members), frozenset(membership.enrolled))
    last = part.ledger.last_plan
    if (last is None or last.releaser in membership.members) and not anyway:
        return last
    now = mesh.clock.wall()
    plan = part.plan_of_root(now, root.sign, releaser=me.device)
    await mesh.database.write(partial(budget.keep, records=[plan], now=now))
    return plan
