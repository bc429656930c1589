"""Steps that change who belongs to the mesh: pairing, the phrase, revocations, leaving."""

from __future__ import annotations

from mycel_simnet.virtual.basis import Steps
from mycel_simnet.virtual.committer import Moment
from mycel_simnet.virtual.disk import INVITES, Disk
from mycel_simnet.virtual.pairing import Joining
from mycelnode.crdt.statements import AWAY, FENCE, REVOKE
from mycelnode.protocols.pairing import Invite


class MembershipSteps(Steps):
    """See the module."""

    def do_enrol(self, by: int) -> None:
        """A new device, and nothing goes wrong on the way."""
        if self._room():
            self._enrol(by, Disk())

    def do_pair(self, by: int, budget: int | None, dies: bool, fuse: tuple[Moment, bool] | None = None) -> None:
        """A new device joins with an invite; the line may break, the joiner die, the inviter crash."""
        node, world = self._at(by), self.world
        if not self._room():
            return
        key = world.key()
        joining = Joining(f"d{len(world.nodes)}", key, Disk())

        def opened(invite: Invite) -> None:
            world.network.join([(node, joining)])
            node.device.fuse = fuse
            joining.ask(node, invite, budget=budget, dies=dies)

        world.inviting[node].invite(world.rng.randbytes(16), opened)
        world.rest()
        world.network.join([])
        self._arrived(joining)

    def _arrived(self, joining: Joining) -> None:
        world = self.world
        if joining in world.joining:
            world.joining.remove(joining)
        if joining.joined:
            world.add(joining.key, joining.disk)
        elif joining.invite is not None and not joining.refused.startswith("this invite"):
            world.joining.append(joining)

    def do_ask_again(self, which: int) -> None:
        """Who was interrupted while joining tries again with the same invite."""
        world = self.world
        if not world.joining:
            return
        joining = world.joining[which % len(world.joining)]
        assert joining.invite is not None
        for node in world.nodes:
            if node.device.id == joining.invite.inviter:
                world.boot(node)
                world.network.join([(node, joining)])
                joining.refused = ""
                joining.ask(node, joining.invite, budget=None, dies=False)
                world.rest()
                world.network.join([])
                self._arrived(joining)
                return
        world.joining.remove(joining)

    def do_recover(self, at: int, whom: int, back: int, only: bool, backup: int | None = None) -> None:
        """A new device by the phrase, which syncs with a peer or loads a backup, and then puts somebody out."""
        world = self.world
        if not self._room():
            return
        subject, key, disk = self._at(whom).device.id, world.key(), Disk()
        if backup is not None and self.backups:
            disk = self.backups[backup % len(self.backups)].image()
            disk.tables[INVITES].clear()
        peer = self._at(at)
        node = world.add(key, world.founded([world.enrolled_by_root(key)], disk))
        if backup is None:
            world.meet(node, peer)
        if not only and node.device.up:
            self._say(node, REVOKE, subject, back)

    def do_revoke(self, by: int, whom: int, back: int, kind: str = REVOKE) -> None:
        """One device puts another out."""
        node, subject = self._at(by), self._at(whom).device.id
        device = node.device
        if device.id != subject and subject in device.replica.membership.enrolled:
            head = self._head_of(node, subject, back)
            device.commit(lambda replica: replica.declare(kind, subject, head, {}, device.now))

    def do_fence(self, by: int, whom: int, back: int) -> None:
        """One device closes the log of another."""
        self.do_revoke(by, whom, back, FENCE)

    def do_root(self, kind: str, at: int, whom: int, back: int) -> None:
        """The phrase is used on a device."""
        self._say(self._at(at), kind, self._at(whom).device.id, back)

    def do_leave(self, who: int) -> None:
        """As `mycelnode leave`: a device puts itself out."""
        device = self._at(who).device
        head = device.replica.head
        if len(device.replica.membership.members) > 2:
            device.commit(lambda replica: replica.declare(REVOKE, device.id, head, {"reason": "left"}, device.now))

    def do_away(self, at: int, whom: int) -> None:
        """The phrase calls a device away."""
        self._say(self._at(at), AWAY, self._at(whom).device.id, 0)
