"""Conflict-free replicated data types, signed logs and membership: pure functions and states, usable on their own.

No I/O, no threads, no clock and no randomness of their own: what they need is passed in.

>>> from mycelnode.crdt import ORSet
>>> here, there = ORSet(), ORSet()
>>> there.apply(here.add("x", b"laptop"))
>>> here.merge(there); "x" in here
True
"""

from mycelnode.crdt.changelog import Head, SignedHead
from mycelnode.crdt.clock import HybridClock
from mycelnode.crdt.context import DotContext
from mycelnode.crdt.counters import PNCounter
from mycelnode.crdt.document import Change, Document
from mycelnode.crdt.registers import LWWMap, LWWRegister, MVRegister
from mycelnode.crdt.sets import GSet, ORSet

__all__ = [
    "Change",
    "Document",
    "DotContext",
    "GSet",
    "Head",
    "HybridClock",
    "LWWMap",
    "LWWRegister",
    "MVRegister",
    "ORSet",
    "PNCounter",
    "SignedHead",
]
