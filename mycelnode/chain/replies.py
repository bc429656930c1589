"""What a server of NEAR's JSON-RPC answers, read: a result, a refusal of the network, or a fault of the server. Pure."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

from mycelnode.errors import NearRefused, shown

KIND_CHARS: Final = 80
SHOWN_ITEMS: Final = 8  # of what is shown of an object

# Another server may do better. https://docs.near.org/api/rpc/introduction has the names.
PASSING: Final = frozenset(
    ("TIMEOUT_ERROR", "NO_SYNCED_BLOCKS", "NOT_SYNCED_YET", "UNAVAILABLE_SHARD", "INTERNAL_ERROR", "UNKNOWN_BLOCK")
)
NAMED: Final = frozenset(
    ("HANDLER_ERROR", "REQUEST_VALIDATION_ERROR", "INTERNAL_ERROR")
)  # by nodes, whatever the status
OFTEN: Final = 429
BUSY: Final = frozenset((408, 425, OFTEN))


class Passing(Exception):
    """A server is silent, busy, broken or ``behind``, or nobody is there (``absent``).

    ``pause``: seconds to leave it alone; ``kind``: the network's word.
    """

    def __init__(
        self,
        said: str,
        *,
        busy: bool = False,
        pause: float = 0.0,
        kind: str = "",
        behind: bool = False,
        absent: bool = False,
    ) -> None:
        super().__init__(said)
        self.busy, self.pause, self.kind, self.behind, self.absent = busy, pause, kind, behind, absent


def read_reply(
    data: bytes, number: str, method: str, *, status: int = 200, kind: str = "", retry_after: str = ""
) -> Any:
    """The result. ``number``: of the request; ``kind``: the type of the body. Raises `Passing`, `NearRefused`."""
    told = _parsed(data)
    error = told.get("error") if told else None
    fields = error if isinstance(error, dict) else {}
    if error is not None and status != OFTEN and (status < 500 or fields.get("name") in NAMED):
        _refuse(error, fields, method)
    if status != 200:
        busy, wait = status in BUSY or status >= 500, retry_after
        pause = float(wait) if wait.isascii() and wait.isdigit() and len(wait) < 6 else 0.0
        raise Passing(_said(status), busy=busy, pause=pause)
    if told is None:
        page = kind.partition(";")[0].strip().lower() == "text/html"
        what = "a web page" if page else "nothing" if not data.strip() else "no JSON"
        raise Passing(f"answers with {what}, as no RPC server does")
    if told.get("id") != number or "result" not in told:
        raise Passing("answers something else than it was asked")
    return told["result"]


def words(value: Any) -> str:
    """What is said, fit to be shown: a text, or the beginning of whatever it is."""
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, dict):
        value = dict(list(value.items())[:SHOWN_ITEMS])
    try:
        return shown(json.dumps(value))
    except RecursionError:
        return "something nested too deeply to be shown"


def _parsed(data: bytes) -> dict[str, Any] | None:
    try:
        told = json.loads(data, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def _no_number(_: str) -> NoReturn:
    raise ValueError("no number of JSON")


def _said(status: int) -> str:
    if status == OFTEN:
        return "says that it was asked too often (429)"
    if 300 <= status < 400:
        return "sends us elsewhere; set near.rpc to the address itself"
    return f"says {status}"


def _refuse(error: Any, fields: dict[str, Any], method: str) -> NoReturn:
    """Raise what an error of JSON-RPC means, in the new form (name, cause, info), the old one (code, message, data), or another."""
    cause = fields.get("cause")
    kind = cause.get("name") if isinstance(cause, dict) else fields.get("name")
    kind = shown(kind)[:KIND_CHARS] if isinstance(kind, str) else ""
    info = cause.get("info") if isinstance(cause, dict) else None
    vm = [info.get("vm_error"), info.get("error_message")] if isinstance(info, dict) else []
    said = _first(*vm, fields.get("data"), info, fields.get("message"), error)
    if kind in PASSING:
        raise Passing(f"says {kind}: {said}", busy=True, kind=kind)
    if kind == "INVALID_TRANSACTION":
        kind = _transaction_error(fields.get("data"), info) or kind
    raise NearRefused(f"the network refused {method}: {kind + ': ' if kind else ''}{said}", kind)


def _first(*said: Any) -> str:
    """The first that says anything."""
    return next((words(one) for one in said if one and words(one)), "no reason given")


def _transaction_error(*places: Any) -> str:
    """What is wrong with a transaction: {"TxExecutionError": {"InvalidTxError": {"InvalidNonce": {…}}}} is InvalidNonce."""
    for found in places:
        for wrapper in ("TxExecutionError", "InvalidTxError"):
            found = found.get(wrapper, found) if isinstance(found, dict) else found
        name = next(iter(found), None) if isinstance(found, dict) and len(found) == 1 else found
        if isinstance(name, str) and re.fullmatch(r"[A-Z][A-Za-z]{1,60}", name):
            return name
    return ""
