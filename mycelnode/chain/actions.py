"""What mycelnode does on chain, as intents: each with how to tell that it is done, and whether the contract refuses it twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mycelnode.chain.gas import SUCCEED, gas_of
from mycelnode.chain.registry import Quote, Receipt, Registered
from mycelnode.protocols.payment_journal import Check, Intent, json_args

USE_MS: Final = 3600 * 1000  # then a use is wanted no more: whoever asked for it has gone
ONE_CALL, TWO_CALLS = 1, 2  # yoctoNEAR, by each of which a contract sees a full-access key
CHANGE_MS: Final = 30 * 24 * 3600 * 1000  # the same of what waits for a network


@dataclass(frozen=True, slots=True)
class Signer:
    """Who acts where: the chain, the account, and the public half of its key."""

    network: str
    account: str
    key: str


@dataclass(frozen=True, slots=True)
class Actions:
    """``now``: Unix ms."""

    signer: Signer
    registry: str
    now: int

    def use(self, pattern: Registered, quote: Quote) -> Intent:
        """Buy the next use of a pattern, as it was quoted."""
        args = json_args(id=pattern.id, expected_hash=quote.hash, max_price=str(quote.price), nth=quote.nth)
        check = Check("receipt", json_args(id=pattern.id, account=self.signer.account), "uses", least=quote.nth)
        name = f"use:{pattern.id}:{quote.nth}"
        return self._call(name, "use_pattern", args, quote.total, check, again=True, milliseconds=USE_MS)

    def register(self, digest: str, cid: str, domain: str, price: int, deposit: int) -> Intent:
        """Register a pattern; ``deposit`` for its storage, and what is held."""
        args = json_args(pattern_hash=digest, metadata_cid=cid, domain=domain, price_per_use=str(price))
        check = Check("pattern_by_hash", json_args(creator=self.signer.account, hash=digest), "id", least=0)
        return self._call(f"register:{digest}", "register_pattern", args, deposit, check, again=True)

    def update(self, pattern: Registered, digest: str, cid: str) -> Intent:
        """Put another manifest in the place of a pattern's."""
        args = json_args(id=pattern.id, pattern_hash=digest, metadata_cid=cid)
        check = Check("get_pattern", json_args(id=pattern.id), "pattern_hash", equals=digest)
        return self._call(f"update:{pattern.id}:{pattern.seq}:{digest}", "update_pattern", args, 1, check, again=True)

    def succeed(self, pattern: Registered, digest: str, cid: str, price: int) -> Intent:
        """Put another manifest in the place of a pattern's, and another price, both or neither: nobody buys one at the price of the
        other. It is done when the manifest is there, as nothing puts that there without the price."""
        args = json_args(
            id=pattern.id,
            set_price={"price_per_use": str(price)},
            update_pattern={"pattern_hash": digest, "metadata_cid": cid},
        )
        check = Check("get_pattern", json_args(id=pattern.id), "pattern_hash", equals=digest)
        return self._call(f"succeed:{pattern.id}:{pattern.seq}:{digest}", SUCCEED, args, TWO_CALLS, check, again=True)

    def price(self, pattern: Registered, price: int) -> Intent:
        """Ask another price."""
        args = json_args(id=pattern.id, price_per_use=str(price))
        check = Check("get_pattern", json_args(id=pattern.id), "price_per_use", equals=str(price))
        return self._call(f"price:{pattern.id}:{pattern.seq}:{price}", "set_price", args, 1, check, again=True)

    def retire(self, pattern: Registered) -> Intent:
        """Sell it no more."""
        args = json_args(id=pattern.id)
        return self._call(
            f"retire:{pattern.id}",
            "retire_pattern",
            args,
            1,
            Check("get_pattern", args, "retired_at", least=0),
            again=True,
        )

    def release(self, pattern: Registered) -> Intent:
        """Take back what was held, 30 days after it was retired."""
        return self._call(f"release:{pattern.id}", "release_deposit", json_args(id=pattern.id), 1)

    def rate(self, pattern: int, receipt: Receipt, *, success: bool, rating: int) -> Intent:
        """Rate a use that was paid for. Signed anew, it might rate two uses, which cost as much as one."""
        args = json_args(id=pattern, success=success, rating=rating)
        check = Check("receipt", json_args(id=pattern, account=self.signer.account), "rated", least=receipt.rated + 1)
        return self._call(f"rate:{pattern}:{receipt.rated + 1}", "rate_pattern", args, 0, check)

    def claim(self) -> Intent:
        """Take what could not be paid out."""
        check = Check("claimable", json_args(account=self.signer.account), "", equals="0")
        return self._call(f"claim:{self.now}", "claim", json_args(), 0, check, again=True)

    def transfer(self, receiver: str, amount: int) -> Intent:
        """Send yoctoNEAR."""
        return self._intent(f"transfer:{receiver}:{self.now}", receiver, "", b"", amount, milliseconds=USE_MS)

    def _call(
        self,
        name: str,
        method: str,
        args: bytes,
        deposit: int,
        check: Check | None = None,
        *,
        again: bool = False,
        milliseconds: int = CHANGE_MS,
    ) -> Intent:
        """A call of the registry."""
        name = f"{self.registry}:{name}"
        return self._intent(name, self.registry, method, args, deposit, check, again=again, milliseconds=milliseconds)

    def _intent(
        self,
        name: str,
        receiver: str,
        method: str,
        args: bytes,
        deposit: int,
        check: Check | None = None,
        *,
        again: bool = False,
        milliseconds: int,
    ) -> Intent:
        who = self.signer
        return Intent(
            f"{who.network}:{who.account}:{name}",
            who.network,
            who.account,
            who.key,
            receiver,
            method,
            args,
            deposit,
            gas_of(method),
            self.now + milliseconds,
            check,
            again,
        )
