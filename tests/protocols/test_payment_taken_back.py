"""The outbox where a contract takes back what it has begun: any order of crashes, losses and replies over a model of that."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from mycelnode.protocols.payment import Ask, Look, Reported, Send, Sight, Silent
from mycelnode.protocols.payment_journal import Entry, Outcome, State, decode_entry, encode_entry
from tests.protocols.test_payment import (
    SETTLE,
    VALID,
    Chain,
    Driven,
    Story,
    a_sight,
    a_signature,
    an_intent,
)

TOOK_BACK = "the contract took it back; nothing was spent but gas"


def success(name: str = "T") -> Reported:
    return Reported(Outcome(name, True, b"{}", "", 5, 5))


def sent() -> Driven:
    """A rating whose nonce was seen to be spent, and whose outcome is asked for."""
    driven = Driven(Entry(an_intent(again=False), State.SIGNED, a_signature(), spent_at=12))
    driven.look(replace(a_sight(12, nonce=1, done=True), passing=True))
    assert isinstance(driven.next(), Ask)
    return driven


def test_what_may_be_taken_back_is_not_done() -> None:
    driven = sent()
    driven.outbox.answered("use/7/1", Silent("it is under way"))
    driven.outbox.wake()
    driven.look(a_sight(13, nonce=1, done=False))
    assert isinstance(driven.next(), Ask)
    driven.outbox.answered("use/7/1", success())
    driven.look(a_sight(13, nonce=1, done=False))
    assert driven.outbox.next(0) == [], "the block may be one before all of it was carried out"
    driven.outbox.wake()
    driven.look(replace(a_sight(14, nonce=1, done=False), over=True))
    kept = driven.keep()
    assert (kept.state, kept.word) == (State.FAILED, TOOK_BACK)


@pytest.mark.parametrize("settled", [{"over": True, "passing": True}, {"over": False, "passing": False}])
def test_it_is_done_when_its_outcome_or_the_contract_says_that_nothing_is_under_way(settled: dict[str, bool]) -> None:
    driven = sent()
    driven.outbox.answered("use/7/1", success())
    driven.look(replace(a_sight(12, nonce=1, done=True), passing=True))
    assert driven.outbox.next(0) == []
    driven.outbox.wake()
    driven.look(replace(a_sight(15, nonce=1, done=True), **settled))
    assert driven.keep().state is State.DONE


def test_where_nobody_remembers_it_is_done_when_it_has_stood_for_long_enough() -> None:
    driven = sent()
    driven.outbox.answered("use/7/1", Silent(unknown=True))
    driven.outbox.wake()
    driven.look(replace(a_sight(12 + SETTLE + 1, nonce=1, done=True), passing=True))
    assert isinstance(driven.next(), Ask)
    driven.outbox.answered("use/7/1", Silent(unknown=True))
    assert driven.keep().state is State.DONE


@pytest.mark.parametrize("state", [State.WAITING, State.SIGNED])
def test_what_somebody_else_has_done_is_waited_for_and_not_sent_meanwhile(state: State) -> None:
    driven = Driven(Entry(an_intent(again=False), state, None if state is State.WAITING else a_signature()))
    for height in (12, 12 + SETTLE):
        driven.look(replace(a_sight(height, done=True), passing=True))
        assert driven.outbox.next(0) == []
        driven.outbox.wake()
    assert "by somebody else" in driven.entry().said
    driven.look(replace(a_sight(13 + SETTLE, done=True), passing=True))
    assert driven.keep().state is State.DONE


def test_what_somebody_else_had_done_and_was_taken_back_is_sent() -> None:
    driven = Driven(Entry(an_intent(again=False), State.SIGNED, a_signature()))
    for height, done in ((12, True), (13, False), (13 + SETTLE, True)):
        driven.look(replace(a_sight(height, done=done), passing=done))
        if not done:
            assert isinstance(driven.next(), Send)
            driven.outbox.answered("use/7/1", Silent())
        driven.outbox.wake()
    driven.look(replace(a_sight(14 + SETTLE, done=True), passing=True))
    assert driven.outbox.next(0) == [], "it has stood for one block"


# --- any order of everything ---------------------------------------------------------------------------------------------------


@dataclass
class Rated(Chain):
    """A chain whose contract notes a rating at once, and takes it back some blocks later if the other one refuses it."""

    delay: int = 1
    refuses: bool = False
    calls: list[tuple[int, str]] = field(default_factory=list)  # (height of the callback, transaction)
    others: list[int] = field(default_factory=list)  # heights of the callbacks of other people's ratings
    carried_out: dict[str, int] = field(default_factory=dict)  # the height by which all of it was
    pending: dict[int, int] = field(default_factory=lambda: {0: 0})

    def block(self, delay: int, takes: bool) -> None:
        self.delay = 1 + delay % 3
        super().block(delay % 3, takes)
        for at, name in list(self.calls):
            if at <= self.height:
                self.calls.remove((at, name))
                self.uses -= self.refuses
                self._ends(name, True)
        self.others = [at for at in self.others if at > self.height]
        self.final[self.height] = (self.nonce, self.uses)
        self.pending[self.height] = len(self.calls) + len(self.others)

    def _execute(self, name: str) -> None:
        if name.startswith("B") or self.paused:
            self._ends(name, not self.paused)
            return
        self.uses += 1
        self.calls.append((self.height + self.delay, name))

    def _ends(self, name: str, success: bool) -> None:
        self.carried_out[name] = self.height
        self.outcomes[name] = Outcome(name, success, b"", "" if success else "ERR_PAUSED", 1, 1)

    def seen(self, sight: Sight, entry: Entry) -> Sight:
        """With what the contract, and the outcome of what was signed, show beside it."""
        signed, outcome, height = entry.signed, entry.outcome, sight.height
        over = (
            (outcome is not None and signed is not None and outcome.hash == signed.hash and outcome.success)
            and outcome.hash in self.outcomes  # nobody has forgotten it meanwhile
            and self.carried_out[outcome.hash] <= height
        )
        return replace(sight, passing=bool(sight.done) and self.pending[height] > 0, over=over)


class Taken(Story):
    """Whatever happens: it is done at most once, and the journal's last word is true for ever. Of two servers one may lie."""

    chain: Rated

    @initialize()
    def begin(self) -> None:
        super().begin()
        self.ignorant = False
        self.chain = Rated()
        self.disk = {"use/7/1": encode_entry(Entry(an_intent(again=False)))}
        self.outbox = self.after_a_start()

    def carry_out(self, effect: object, lost: bool, lag: int, deliver: bool, told: bool) -> None:
        match effect:
            case Look(entry) if told and not self.lie and not lost:
                self.outbox.looked(entry.intent.id, self.chain.seen(self.chain.sight(lag), entry))
            case _:
                super().carry_out(effect, lost, lag, deliver, told)  # type: ignore[arg-type]

    @rule(refuses=st.booleans())
    def refuse(self, refuses: bool) -> None:
        self.chain.refuses = refuses

    @rule(blocks=st.integers(1, 40))
    def others_rate(self, blocks: int) -> None:
        """Somebody's rating is always under way for so long."""
        self.chain.others.append(self.chain.height + blocks)

    @invariant()
    def never_a_lie(self) -> None:
        entry = decode_entry(self.disk["use/7/1"])
        if entry.state is State.DONE:
            assert (self.chain.uses, self.chain.calls) == (1, []), "it is done for good"
        elif entry.ended and entry.state is not State.UNKNOWN:
            assert self.chain.uses == 0, f"{entry.state}, and it was done"


@pytest.mark.parametrize("looks", [True, False])
def test_without_looking_at_what_is_under_way_it_would_be_called_done(looks: bool) -> None:
    story = Taken()
    story.begin()
    story.chain.refuses = True
    for _ in range(VALID):
        story.outbox.wake()
        for _ in range(8):
            for effect in story.outbox.next(0):
                if isinstance(effect, Look) and not looks:
                    story.outbox.looked("use/7/1", story.chain.sight(0))
                else:
                    story.carry_out(effect, lost=False, lag=0, deliver=True, told=True)
        story.chain.block(2, True)
    assert story.chain.uses == 0
    assert story.entry().state is (State.FAILED if looks else State.DONE)


TestTaken = Taken.TestCase
TestTaken.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
