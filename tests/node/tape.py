"""What drivers tell the machines of a node, and what these answer: taken down while real nodes run, played again without them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from mycel_simnet.virtual.disk import Disk
from mycelnode.crdt.changelog import Sign
from mycelnode.crdt.document import Document
from mycelnode.identity import verify
from mycelnode.protocols.admission import Admission
from mycelnode.protocols.replica import Batch, Replica
from mycelnode.protocols.state_transfer import Draft, Partial, StateSource
from mycelnode.protocols.sync import SyncSession

TOLD = {
    Replica: "load write declare accept learn worth_learning take rollback durable tick start_from clock_reads",
    SyncSession: "receive progress tick close ping mark reached refuse over next_frame next_due lacking ponged",
    Admission: "request respond conclude",
}


@dataclass(slots=True)
class Call:
    """One call of a machine, and what came of it: an answer, or the class of what was raised."""

    machine: int  # its place among the machines
    method: str  # "" makes the machine
    arguments: tuple[Any, ...]
    named: dict[str, Any]
    answer: Any = None
    raised: type[BaseException] | None = None


@dataclass(slots=True)
class Tape:
    """All calls of one node's machines, in order. What machines call of each other is not on it: it follows."""

    kinds: list[type] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    within: bool = False

    def __str__(self) -> str:
        return f"{len(self.calls)} calls of {len(self.kinds)} machines"

    def note(self, kind: type, arguments: Iterable[Any], named: dict[str, Any]) -> int:
        """A machine is made; returns its number."""
        self.kinds.append(kind)
        self.calls.append(Call(len(self.kinds) - 1, "", tuple(arguments), named))
        return len(self.kinds) - 1

    def take_down(self, machine: int, method: str, inner: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call, and keep the call unless it is one machine's of another."""
        if self.within:
            return inner(*arguments, **named)
        call = Call(machine, method, tuple(map(_kept, arguments)), {key: _kept(item) for key, item in named.items()})
        self.calls.append(call)
        self.within = True
        try:
            call.answer = inner(*arguments, **named)
        except Exception as error:
            call.raised = type(error)
            raise
        finally:
            self.within = False
        return call.answer


def _kept(argument: Any) -> Any:
    """An argument as it is now: documents change later, and iterators are read once."""
    if isinstance(argument, Document):
        return _State(argument.encode_state())
    return list(argument) if isinstance(argument, Iterator) else argument


class _State(bytes):
    """A document's encoded state."""


class Recorder:
    """Puts recorded machines in the place of the real ones: ``recorder.machine(Replica)`` is a class to use instead."""

    def __init__(self) -> None:
        self.tapes: dict[bytes, Tape] = {}  # device key → its tape

    def machine(self, kind: type) -> type:
        """``kind`` with a tape running; machines of one device share one."""
        recorder = self

        def make(self: Any, *arguments: Any, **named: Any) -> None:
            if kind is Replica:
                self._tape = recorder.tapes[arguments[1]] = Tape()
                self._number = self._tape.note(kind, arguments[:2], {})
            else:
                self._tape = arguments[0]._tape
                with_partial = len(arguments) > 3 and arguments[3] is not None
                self._number = self._tape.note(kind, (arguments[1], with_partial), named)
            kind.__init__(self, *arguments, **named)  # type: ignore[misc]

        def method(name: str) -> Callable[..., Any]:
            inner = getattr(kind, name)

            def call(self: Any, *arguments: Any, **named: Any) -> Any:
                return self._tape.take_down(
                    self._number, name, lambda *a, **n: inner(self, *a, **n), *arguments, **named
                )

            return call

        methods = {name: method(name) for name in TOLD[kind].split()}
        return type(f"Recorded{kind.__name__}", (kind,), {"__init__": make, **methods})


def play(tape: Tape, sign: Sign, least: int) -> Iterator[str]:
    """Tell new machines the same; yields every answer that differs. They have no network, no disk, no clock and no randomness."""
    store, machines = Disk(), list[Any]()
    source, partial, replica, batch = (
        StateSource(lambda: Draft.of(replica.document, replica.logs), least),
        Partial(),
        None,
        Batch(),
    )
    for number, call in enumerate(tape.calls):
        if not call.method:
            kind = tape.kinds[call.machine]
            if kind is Replica:
                replica = Replica(*call.arguments, sign, verify, store)
                machines.append(replica)
            elif kind is Admission:
                machines.append(Admission(replica, call.arguments[0]))
            else:
                peer, with_partial = call.arguments
                machines.append(SyncSession(replica, peer, source, partial if with_partial else None, **call.named))
            continue
        if call.method == "durable":
            store.store(store.pages(batch, 0))
        arguments = [Document.decode_state(a) if isinstance(a, _State) else a for a in call.arguments]
        answer, raised = None, None
        try:
            answer = getattr(machines[call.machine], call.method)(*arguments, **call.named)
        except Exception as error:
            raised = type(error)
        if call.method == "take":
            batch = answer
        if (answer, raised) != (call.answer, call.raised):
            name = f"{tape.kinds[call.machine].__name__}.{call.method}"
            yield f"call {number}, {name}: {raised or answer!r} instead of {call.raised or call.answer!r}"
