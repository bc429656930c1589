"""Every error a user of mycelnode can meet: one class per broken promise.

The docstring's first line is the sentence shown when no better one was given; ``str(error)`` is always one sentence a person can
act on. Nothing here imports anything else of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SHOWN_CHARS: Final = 300  # of what a stranger says, in a sentence of ours


class MycelError(Exception):
    """Something went wrong in mycelnode."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])


def first(error: BaseException) -> BaseException:
    """The first error inside (nested) groups, for where there is room to tell one; an error in no group is itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def shown(text: str) -> str:
    """What a stranger said, fit to be printed."""
    cut = "".join(char if char.isprintable() else " " for char in text[:SHOWN_CHARS])
    return " ".join(cut.split()) + ("…" if len(text) > SHOWN_CHARS else "")


# --- the data folder -------------------------------------------------------------------------------------------------


class NotInitialised(MycelError):
    """This folder holds no device yet: run `mycelnode init` or `mycelnode join INVITE` first."""


class AlreadyInitialised(MycelError):
    """This folder already holds a device that belongs to a mesh; `mycelnode leave` takes it out."""


class DataDirBusy(MycelError):
    """Another mycelnode process uses this data folder."""


class DataDirUnusable(MycelError):
    """The data folder cannot be read or written."""


class KeyFileError(MycelError):
    """A key file is missing, damaged, or open to other users."""


class ConfigError(MycelError):
    """A setting is unknown, malformed, or may not be set there."""


class DatabaseDamaged(MycelError):
    """The database is damaged; after `mycelnode leave`, restore a backup or join again. Nothing was overwritten."""


class SchemaTooNew(MycelError):
    """The database was written by a newer mycelnode; update this one."""


class DiskFull(MycelError):
    """The disk is full; the change was not made. Free some space and try again."""


class BackupError(MycelError):
    """The backup cannot be read: wrong passphrase or a damaged file."""


class AuditBroken(MycelError):
    """The audit chain does not verify: an event was changed or removed."""


# --- values, logs, membership ----------------------------------------------------------------------------------------


class EncodingError(MycelError):
    """The bytes are not the canonical encoding of an acceptable value."""


class CidRefused(MycelError):
    """What was given is no CID, or one of a kind that is not used here."""


class PatternRefused(MycelError):
    """A pattern is not what one must be; the sentence names the field."""


class BlockRefused(MycelError):
    """A block is not the one that its CID names, or not what the node above it says."""


class BlockMissing(MycelError):
    """A block is not here."""


class StoreFull(MycelError):
    """There is no room for the block: what is pinned fills the store. Unpin something, or give it more."""


class CarRefused(MycelError):
    """The file is no CAR that can be taken; nothing of it was kept."""


class CreatorKeyMissing(MycelError):
    """The key that signs your patterns is on your other devices and has not come to this one yet; `mycelnode sync` brings it."""


class EmbedderUnavailable(MycelError):
    """The model that turns texts into vectors does not answer."""


class PatternFileRefused(PatternRefused):
    """A file that somebody wrote holds no pattern, or cannot be read or written; the sentence names the file and the line."""


class CreatorBlocked(MycelError):
    """This creator is blocked; `mycelnode pattern block CREATOR --undo` takes it back."""


class PaymentNeeded(MycelError):
    """This pattern costs something, and was not paid for."""


class BlockUnavailable(MycelError):
    """No connected peer gave the block in time."""


class DagRefused(MycelError):
    """What a CID names is larger than allowed, or not readable."""


class ValueRefused(MycelError):
    """A value is of a kind or size that the mesh does not carry."""


class LogError(MycelError):
    """A log, head or statement does not verify."""


class ForkDetected(MycelError):
    """One device key has signed two different histories: the identity was cloned."""


class DeviceUnknown(MycelError):
    """No device of this mesh has that name or id."""


class NotAMember(MycelError):
    """This device is not (or no longer) a member of the mesh."""


class ClockWrong(MycelError):
    """The clock of this device is more than a day off; set it and try again."""


class PhraseError(MycelError):
    """The recovery phrase is not 24 valid words, or belongs to another mesh."""


class RecoverRefused(MycelError):
    """Recovering now could put healthy devices out: sync with a peer, load a backup, or say --blind."""


# --- pairing ---------------------------------------------------------------------------------------------------------


class InviteError(MycelError):
    """The invite is damaged, expired, withdrawn or already used."""


class PairingRefused(MycelError):
    """The other device refused to pair."""


# --- network: trio's contract (closed here, broken by the other end or the line, busy) ---------------------------------


class NetworkError(MycelError):
    """A connection failed."""


class ClosedError(NetworkError):
    """This end of the connection was closed."""


class BrokenError(NetworkError):
    """The other end went away or the line broke."""


class BusyError(NetworkError):
    """Too much is under way; try again."""


class PeerUnreachable(NetworkError):
    """No address of the peer answered."""

    def __init__(self, message: str = "", tried: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.tried: Mapping[str, str] = tried or {}  # address → what it answered


class PeerMisbehaved(NetworkError):
    """The other end broke the protocol and was cut off."""


# --- services of other programs ----------------------------------------------------------------------------------------


class KuboUnreachable(NetworkError):
    """No Kubo answers at `kubo.url`, or it stopped answering midway; is its daemon running?"""


class KuboRefused(MycelError):
    """Kubo said no, or what answers at `kubo.url` is no Kubo."""


# --- the chain ---------------------------------------------------------------------------------------------------------


class NearUnreachable(NetworkError):
    """No NEAR RPC server answers; what is to be sent waits, and nothing is sent twice."""


class NearRpcWrong(MycelError):
    """What answers at `near.rpc` is no RPC server of the network that `near.network` names."""


class NearRefused(MycelError):
    """The network, or the server that was asked, said no."""

    def __init__(self, message: str = "", kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind  # as the network calls it, such as UNKNOWN_ACCOUNT or InvalidNonce


class ContractRefused(NearRefused):
    """A contract said no; the sentence has its words."""


class ContractWrong(MycelError):
    """What a contract answers is not what one of ours does."""


class AccountRefused(MycelError):
    """That is no name of a NEAR account."""


class AmountRefused(MycelError):
    """That is no amount of NEAR; one is like 0.5."""


class SpendingRefused(MycelError):
    """Your own limits do not allow that payment; `mycelnode chain policy` shows them. Nothing was spent."""


class DeployRefused(MycelError):
    """The contracts cannot be put there like that; the sentence says why, and nothing was spent on it."""


class OutcomeUnknown(MycelError):
    """What was sent is not known to be done, or not to be; `mycelnode chain outbox` shows it, and goes on asking."""


# --- private turns -----------------------------------------------------------------------------------------------------


class TurnRefused(MycelError):
    """That is no turn that can be kept."""

    def __init__(self, message: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason  # one word, by which what is left out is counted


class MeshSecretMissing(MycelError):
    """What your devices know turns by is on your other devices and has not come to this one yet; `mycelnode sync` brings it."""


class TurnUnknown(MycelError):
    """No turn on this device is called that; `mycelnode interactions list` shows them."""


class ImportRefused(MycelError):
    """The file holds no turns, or cannot be read to its end; the sentence says what was taken in."""


class TurnsLocked(MycelError):
    """The key of the private turns cannot be had, so that none can be read or added."""


class PassphraseNeeded(TurnsLocked):
    """The private turns are locked by a passphrase; set MYCEL_TURNS_PASSPHRASE, or say it on a terminal."""


class PassphraseWanted(TurnsLocked):
    """The private turns are to be locked by a passphrase; set MYCEL_TURNS_PASSPHRASE, or choose one on a terminal."""


class ContactsRefused(MycelError):
    """The file is an address book that cannot be read; the sentence says why."""


class TextRefused(MycelError):
    """That text is too long to be one turn."""


class PlanRefused(MycelError):
    """That is not how releases can be decided."""


class BudgetBroken(MycelError):
    """The record of what was released does not hold, so nothing is released from this device any more."""

    def __init__(self, what: str = "") -> None:
        super().__init__(
            f"{what}: nothing is released from this device any more; the phrase can let another decide" if what else ""
        )


class NoPlan(MycelError):
    """Nobody decides releases in this mesh yet; `mycelnode budget plan --phrase` lets this device do it."""


class ReleaseUnknown(MycelError):
    """Nothing that was released is called so; `mycelnode pattern extract` lists it."""


class BudgetSpent(MycelError):
    """The budget of that window is spent."""


# --- the running node --------------------------------------------------------------------------------------------------


class NodeNotRunning(MycelError):
    """No node is running on this data folder: start it with `mycelnode run`."""


class NodeRunning(MycelError):
    """A node is running on this data folder; stop it first."""


class ControlError(MycelError):
    """The request to the node was malformed, too long, or not known."""


class Unsupported(MycelError):
    """This platform or installation does not support that."""


class NotInStep(MycelError):
    """Some devices could not be reached or were not in step in time."""
