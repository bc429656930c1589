"""What the control socket and the command line can ask about putting the contracts on a network: JSON in, JSON out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mycelnode.chain.deploy import Deployer, Wanted
from mycelnode.chain.deploy_plan import Plan, Step
from mycelnode.chain.service import Chain
from mycelnode.chain.shipped import NAMES
from mycelnode.collective.requests import amount, optional
from mycelnode.commands import Handler, Request, flag, rfc3339
from mycelnode.config_keys import parse_value
from mycelnode.errors import ConfigError, ControlError
from mycelnode.protocols.payment_journal import Entry

DEPLOY: Final = "chain.deploy"
PLAN: Final = "chain.deploy.plan"
MAX_AGREED: Final = 100  # steps


def network_of(kind: str, request: Request) -> str | None:
    """The network that a request is about, if that need not be the one of the settings."""
    return parse_value("near.network", request.get("network")) if kind in (DEPLOY, PLAN) else None


class DeployCommands:
    """The commands about the contracts. ``chain`` gives the network, or raises why there is none."""

    def __init__(self, chain: Callable[[], Chain]) -> None:
        self._chain = chain

    def table(self) -> dict[str, Handler]:
        """Command name → handler."""
        return {PLAN: self.plan, DEPLOY: self.deploy}

    async def plan(self, request: Request) -> dict[str, Any]:
        """What is left to be done, and what it costs. Nothing is sent."""
        deployer = self._deployer(request)
        return _answer(deployer, await deployer.plan())

    async def deploy(self, request: Request) -> dict[str, Any]:
        """Do the next step, if it was agreed to; ``action`` is null once there is none, and the settings are written.

        ``agreed``: the ids of steps, each with the yoctoNEAR that it may take at most.
        """
        deployer = self._deployer(request)
        step, entry, plan = await deployer.step(_agreed(request))
        return _answer(deployer, plan) | {"action": None if step is None else _step(step, entry)}

    def _deployer(self, request: Request) -> Deployer:
        chain, network = self._chain(), network_of(DEPLOY, request)
        if network != chain.network:
            raise ConfigError(
                f"the node that is running is on {chain.network}: stop it, or set near.network to {network} and start it again"
            )
        source = optional(request, "from") or chain.get("near.account")
        if not source:
            raise ConfigError("say with --from below which account the contracts are to be, such as fox.testnet")
        wanted = Wanted(
            chain.wallet.find(source),
            optional(request, "owner") or "",
            flag(request, "upgrade"),
            flag(request, "lock"),
            flag(request, "real_money"),
        )
        return Deployer(chain, wanted)


def _agreed(request: Request) -> dict[str, int]:
    found = request.get("agreed")
    if not isinstance(found, dict) or len(found) > MAX_AGREED:
        raise ControlError(f"the request needs an object 'agreed' of at most {MAX_AGREED} steps, with the most of each")
    return {str(name): amount({"agreed": most}, "agreed") or 0 for name, most in found.items()}


def _answer(deployer: Deployer, plan: Plan) -> dict[str, Any]:
    asked = deployer.asked
    given = {"", *(asked.contract(name) for name in NAMES)}  # who signs with what the plan gives it
    signers = sorted({step.signer for step in plan.steps} - given)
    return {
        "network": asked.network,
        "contracts": {name: asked.contract(name) for name in NAMES},
        "wasm": {name: asked.codes[name][1] for name in NAMES},
        "code": {name: plan.codes.get(name) for name in NAMES},
        "owner": asked.owned_by,
        "locks": asked.locks,
        "actions": [_step(step) for step in plan.steps],
        "needed": {signer: str(plan.needed(signer)) for signer in signers},
        "notes": list(plan.notes),
        "until": None if plan.until_ns is None else rfc3339(plan.until_ns // 1_000_000),
    }


def _step(step: Step, entry: Entry | None = None) -> dict[str, Any]:
    """``id`` and ``total`` are what is agreed to; ``burnt``: what its gas cost, once that is known."""
    outcome = None if entry is None else entry.outcome
    return {
        "id": step.id,
        "contract": step.contract,
        "signer": step.signer or None,
        "said": step.said,
        "amount": str(step.amount),
        "account_fee": str(step.fee),
        "gas": str(step.gas),
        "total": str(step.total),
        "burnt": None if outcome is None else str(outcome.burnt),
        "transaction": entry.signed.hash if entry is not None and entry.signed is not None else None,
    }
