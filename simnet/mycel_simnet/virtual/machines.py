"""Steps that happen to machines: crashes, copies, disks put back, backups, devices that are gone or come back with a new key."""

from __future__ import annotations

from mycel_simnet.virtual.basis import Steps
from mycel_simnet.virtual.committer import Moment
from mycel_simnet.virtual.disk import FACTS, INVITES
from mycel_simnet.virtual.node import Node


class MachineSteps(Steps):
    """See the module."""

    def do_crash(self, who: int, power: bool, moment: Moment | None = None) -> None:
        """Now, or in the middle of the next transaction."""
        device = self._at(who).device
        if moment is None:
            device.crash(power=power)
        else:
            device.fuse = (moment, power)

    def do_restart(self, who: int) -> None:
        """A clean end, and a start."""
        node = self._at(who)
        self.world.rest()
        if node.device.up:
            node.device.stop()
        self.world.boot(node)

    def do_keep_state(self, who: int) -> None:
        """The folded state is kept while the node runs."""
        device = self._at(who).device
        if not device.busy:
            device.keep_state()

    def do_clone(self, who: int) -> None:
        """A second machine with a copy of the disk."""
        node = self._at(who)
        if self._room():
            self.world.ledger.copied.add(node.device.id)
            self.world.add(node.device.key, node.device.disk.image(), like=node.device)  # type: ignore[arg-type]

    def do_image(self, who: int) -> None:
        """Somebody keeps a copy of the disk."""
        device = self._at(who).device
        self.images.setdefault(self._at(who), []).append((device.id, device.disk.image()))

    def do_put_back(self, who: int, which: int) -> None:
        """The machine gets an old copy of its disk back."""
        node = self._at(who)
        found = [image for key, image in self.images.get(node, ()) if key == node.device.id]
        if found:
            self.world.ledger.copied.add(node.device.id)
            node.device.crash(power=False)
            self._lose(node)
            node.device.disk = found[which % len(found)].image()
            self.world.boot(node)

    def _lose(self, node: Node) -> None:
        self.world.ledger.lost(node.device.disk, [n.device.disk for n in self.world.nodes if n is not node])

    def do_destroy(self, who: int) -> None:
        """The machine is gone for good."""
        node = self._at(who)
        if len(self.world.nodes) > 3:
            node.device.crash(power=True)
            self._lose(node)
            self.world.nodes.remove(node)

    def do_backup(self, who: int) -> None:
        """As `mycelnode.backup.create`: beside the running node."""
        self.backups.append(self._at(who).device.disk.image())

    def do_restore(self, which: int, by: int) -> None:
        """As `mycelnode.backup.restore`, then a join: an old disk under a new key."""
        if self.backups and self._room():
            disk = self.backups[which % len(self.backups)].image()
            disk.tables[INVITES].clear()
            self._enrol(by, disk)

    def do_come_back(self, who: int, by: int) -> None:
        """As `mycelnode.returning.make_ready`: a device that is out joins again with a new key and its old data."""
        node = self._at(who)
        replica, device = node.device.replica, node.device
        out = device.id not in replica.membership.members or device.id in replica.membership.fences or replica.cloned
        inviter = self._at(by)
        if (out or replica.clock_ran_ahead(device.now)) and inviter is not node and not device.busy:
            device.stop()
            device.disk.tables[FACTS]["clock"] = 0
            device.disk.tables[INVITES].clear()
            self.world.nodes.remove(node)
            if not self._enrol(self.world.nodes.index(inviter), device.disk):
                self.world.nodes.append(node)
