"""The outbox of payments: each step by itself, and any order of crashes, losses and replies over a model of the chain."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mycelnode.protocols.payment import Ask, Confirm, Effect, Keep, Look, Outbox, Reported, Send, Sight, Sign, Silent
from mycelnode.protocols.payment_journal import (
    Check,
    Entry,
    Intent,
    Outcome,
    Signature,
    State,
    decode_entry,
    encode_entry,
    json_args,
)

VALID = 30  # blocks for which a transaction can be included
SETTLE = 6  # blocks that its receipt takes at most, less one
LATE = 1_000_000  # when nothing has expired yet, and long after that
BUYER = "buyer.near"


def an_intent(
    name: str = "use/7/1", *, check: bool = True, again: bool = True, expires: int = LATE, key: str = "k"
) -> Intent:
    question = Check("receipt", json_args(id=7, account=BUYER), "uses", least=1) if check else None
    args = json_args(id=7, nth=1)
    return Intent(name, "net", BUYER, key, "registry.near", "use_pattern", args, 10, 30, expires, question, again)


def a_sight(height: int, nonce: int | None = 0, *, done: bool | None = False, refusal: str = "") -> Sight:
    return Sight(height, b"block", nonce, done, VALID, refusal, confirmed=True)


def a_signature(nonce: int = 1, base: int = 10, name: str = "T") -> Signature:
    return Signature(name, name.encode(), nonce, base, base + VALID)


def failed(name: str, said: str = "ERR_PAUSED: the contract is paused") -> Reported:
    return Reported(Outcome(name, False, b"", said, 5, 5))


class Driven:
    """A machine whose effects a test carries out by hand."""

    def __init__(self, *entries: Entry) -> None:
        self.outbox = Outbox(entries, settle=SETTLE)
        self.disk: dict[str, bytes] = {}

    def next(self, now: int = 0) -> Effect:
        (effect,) = self.outbox.next(now)
        return effect

    def keep(self, now: int = 0) -> Entry:
        effect = self.next(now)
        assert isinstance(effect, Keep), effect
        self.disk[effect.entry.intent.id] = encode_entry(effect.entry)
        self.outbox.kept(effect.entry)
        return effect.entry

    def look(self, sight: Sight | None, now: int = 0) -> None:
        effect = self.next(now)
        assert isinstance(effect, Look), effect
        self.outbox.looked(effect.entry.intent.id, sight, "" if sight else "no RPC answers")

    def sign(self, signature: Signature) -> Sign:
        effect = self.next()
        assert isinstance(effect, Sign), effect
        self.outbox.signed(effect.entry.intent.id, signature, burn=effect.burn)
        return effect

    def send(self) -> Signature:
        effect = self.next()
        assert isinstance(effect, Send), effect
        return effect.signature

    def entry(self, name: str = "use/7/1") -> Entry:
        found = self.outbox.find(name)
        assert found is not None
        return found

    def crashed(self) -> Driven:
        return Driven(*(decode_entry(data) for data in self.disk.values()))


def sent() -> Driven:
    """One whose transaction was sent, and nothing heard."""
    driven = Driven(Entry(an_intent()))
    driven.look(a_sight(10))
    driven.sign(a_signature())
    driven.keep()
    driven.send()
    return driven


def test_it_is_signed_on_a_final_block_kept_and_only_then_sent() -> None:
    driven = Driven(Entry(an_intent()))
    driven.look(a_sight(10, nonce=4))
    asked = driven.sign(a_signature(5))
    assert (asked.nonce, asked.sight.height, asked.burn) == (5, 10, False)
    assert driven.keep().signed == a_signature(5)
    assert driven.send() == a_signature(5)


def test_nothing_is_sent_that_the_disk_did_not_take() -> None:
    driven = Driven(Entry(an_intent()))
    driven.look(a_sight(10))
    driven.sign(a_signature())
    effect = driven.next()
    assert isinstance(effect, Keep)
    driven.outbox.not_kept(effect.entry)
    assert driven.outbox.next(0) == []
    driven.outbox.wake()
    assert isinstance(driven.next(), Keep)


def test_after_a_crash_the_same_bytes_are_sent_again() -> None:
    again = sent().crashed()
    again.look(a_sight(12))
    assert again.send() == a_signature()


def test_it_is_done_only_when_a_final_block_shows_it() -> None:
    driven = sent()
    driven.outbox.answered("use/7/1", Reported(Outcome("T", True, b"{}", "", 5, 5)))
    driven.look(a_sight(12, nonce=1))
    assert driven.outbox.next(0) == []
    driven.outbox.wake()
    driven.look(a_sight(13, nonce=1, done=True))
    assert driven.keep().state is State.DONE


def test_unknown_transaction_decides_nothing_while_the_nonce_is_free() -> None:
    driven = sent()
    for height in range(11, 10 + VALID + 1):
        driven.outbox.answered("use/7/1", Silent("UNKNOWN_TRANSACTION", unknown=True))
        driven.outbox.wake()
        driven.look(a_sight(height))
        assert driven.send() == a_signature()
    assert driven.entry().word == f"unknown until height {10 + VALID + 1}"


def test_a_new_signature_after_the_last_height() -> None:
    driven = sent()
    driven.outbox.answered("use/7/1", Silent())
    driven.outbox.wake()
    driven.look(a_sight(10 + VALID + 1))
    assert driven.keep().state is State.WAITING
    driven.look(a_sight(10 + VALID + 1))
    assert driven.sign(a_signature(1, 41, "U")).nonce == 1


def test_a_new_signature_when_the_nonce_is_spent_and_long_settled() -> None:
    driven = sent()
    driven.outbox.answered("use/7/1", Silent())
    for height in range(12, 12 + SETTLE + 1):
        driven.outbox.wake()
        driven.look(a_sight(height, nonce=3))
        effect = driven.next()
        assert isinstance(effect, Ask)
        driven.outbox.answered("use/7/1", Silent("UNKNOWN_TRANSACTION", unknown=True))
    driven.outbox.wake()
    driven.look(a_sight(12 + SETTLE + 1, nonce=3))
    driven.next()
    driven.outbox.answered("use/7/1", Silent("UNKNOWN_TRANSACTION", unknown=True))
    assert driven.keep().state is State.WAITING


@pytest.mark.parametrize("check", [True, False])
def test_what_the_contract_would_do_twice_is_not_signed_anew_when_nobody_knows(check: bool) -> None:
    entry = Entry(an_intent(check=check, again=False), State.SIGNED, a_signature(), spent_at=12)
    driven = Driven(entry)
    driven.look(a_sight(12 + SETTLE + 1, nonce=1, done=False if check else None))
    assert isinstance(driven.next(), Ask)
    driven.outbox.answered("use/7/1", Silent(unknown=True))
    kept = driven.keep()
    assert kept.state is State.UNKNOWN
    assert "T" in kept.word


def test_what_was_carried_out_and_taken_back_has_failed() -> None:
    """As a rating, when the contract that is told of it refuses: the first call succeeds, and its callback undoes it."""
    driven = Driven(Entry(an_intent(again=False), State.SIGNED, a_signature(), spent_at=12))
    driven.look(a_sight(13, nonce=1, done=False))
    assert isinstance(driven.next(), Ask)
    driven.outbox.answered("use/7/1", Reported(Outcome("T", True, b"{}", "", 5, 5)))
    driven.look(a_sight(12 + SETTLE + 1, nonce=1, done=False))
    kept = driven.keep()
    assert (kept.state, kept.word) == (State.FAILED, "the contract took it back; nothing was spent but gas")


def test_a_contract_that_cannot_answer_any_more_leaves_nothing_undecided() -> None:
    told = Driven(Entry(an_intent(), State.SIGNED, a_signature(), spent_at=12))
    told.look(a_sight(13, nonce=1, done=None))
    assert isinstance(told.next(), Ask)
    told.outbox.answered("use/7/1", Reported(Outcome("T", True, b"{}", "", 5, 5)))
    told.look(a_sight(14, nonce=1, done=None))
    assert told.keep().state is State.DONE
    forgotten = Driven(Entry(an_intent(), State.SIGNED, a_signature(), spent_at=12))
    forgotten.look(a_sight(12 + SETTLE + 1, nonce=1, done=None))
    assert isinstance(forgotten.next(), Ask)
    forgotten.outbox.answered("use/7/1", Silent(unknown=True))
    assert forgotten.keep().state is State.UNKNOWN
    never = Driven(Entry(an_intent(), State.SIGNED, a_signature(), cancelling=True, why="you cancelled it"))
    never.look(a_sight(10 + VALID + 1, done=None))
    assert never.keep().state is State.CANCELLED


def test_a_failure_is_told_once_the_nonce_is_spent() -> None:
    driven = sent()
    driven.outbox.answered("use/7/1", failed("T"))
    driven.look(a_sight(12, nonce=1))
    kept = driven.keep()
    assert (kept.state, kept.word) == (State.FAILED, "ERR_PAUSED: the contract is paused")


def test_an_outcome_that_no_final_block_bears_out_is_not_believed() -> None:
    driven = sent()
    driven.outbox.answered("use/7/1", failed("T"))
    driven.look(a_sight(12, nonce=0))
    assert driven.outbox.next(0) == []
    driven.outbox.wake()
    driven.look(a_sight(13, nonce=0))
    assert driven.send() == a_signature()


@pytest.mark.parametrize("sight", [a_sight(12, nonce=1), a_sight(10 + VALID + 1)])
def test_what_one_server_alone_shows_gives_nothing_up(sight: Sight) -> None:
    driven = sent()
    driven.outbox.answered("use/7/1", failed("T"))
    driven.look(replace(sight, confirmed=False))
    effect = driven.next()
    assert isinstance(effect, Confirm)
    driven.outbox.confirmed("use/7/1", effect.sight, "they contradict each other")
    entry = driven.entry()
    assert (entry.state, entry.spent_at, entry.outcome) == (State.SIGNED, None, None)
    assert entry.said == "they contradict each other"
    driven.outbox.wake()
    driven.look(a_sight(13))
    assert driven.send() == a_signature()


def test_with_no_rpc_it_says_until_when_it_is_unknown() -> None:
    again = sent().crashed()
    again.look(None)
    assert again.outbox.next(0) == []
    assert again.entry().word == f"unknown until height {10 + VALID + 1}"
    assert again.entry().said == "no RPC answers"


def test_what_waits_is_cancelled_at_once() -> None:
    driven = Driven(Entry(an_intent()))
    driven.outbox.cancel("use/7/1", "you cancelled it")
    kept = driven.keep()
    assert (kept.state, kept.word) == (State.CANCELLED, "you cancelled it; nothing was spent")


def test_what_was_sent_is_cancelled_by_burning_its_nonce() -> None:
    driven = sent()
    driven.outbox.answered("use/7/1", Silent())
    driven.outbox.cancel("use/7/1", "you cancelled it")
    driven.keep()
    driven.look(a_sight(12))
    assert driven.next() == Sign(driven.entry(), 1, a_sight(12), burn=True)
    burn = a_signature(1, 12, "B")
    driven.outbox.signed("use/7/1", burn, burn=True)
    assert driven.keep().burn == burn
    assert driven.send() == burn
    driven.outbox.answered("use/7/1", Reported(Outcome("B", True, b"", "", 1, 1)))
    driven.look(a_sight(14, nonce=1))
    kept = driven.keep()
    assert (kept.state, kept.word) == (State.CANCELLED, "you cancelled it; nothing was spent but gas")


def test_what_was_cancelled_too_late_is_done() -> None:
    driven = sent()
    driven.outbox.answered("use/7/1", Silent())
    driven.outbox.cancel("use/7/1", "you cancelled it")
    driven.keep()
    driven.look(a_sight(12, nonce=1, done=True))
    assert driven.keep().state is State.DONE


def test_a_burn_that_is_not_taken_is_signed_on_a_newer_block() -> None:
    burn = a_signature(1, 10**15, "B")  # a server lied about the height
    driven = Driven(Entry(an_intent(), State.SIGNED, a_signature(), burn, cancelling=True, why="you cancelled it"))
    driven.look(a_sight(20))
    assert isinstance(driven.next(), Sign)


def test_what_is_not_wanted_any_more_is_not_sent_and_what_was_sent_is_burnt() -> None:
    waiting = Driven(Entry(an_intent(expires=5)))
    assert waiting.keep(now=5).state is State.FAILED
    signed = Driven(Entry(an_intent(expires=5), State.SIGNED, a_signature()))
    assert signed.keep(now=5).cancelling
    signed.look(a_sight(12), now=5)
    assert isinstance(signed.next(5), Sign)


def test_what_need_not_be_signed_is_refused_and_spends_nothing() -> None:
    driven = Driven(Entry(an_intent()))
    driven.look(a_sight(10, refusal="the account has 1 NEAR, and 2 are needed; nothing was spent"))
    assert driven.keep().word == "the account has 1 NEAR, and 2 are needed; nothing was spent"
    gone = Driven(Entry(an_intent()))
    gone.look(a_sight(10, nonce=None))
    assert "no such key" in gone.keep().word


def test_one_key_does_one_thing_at_a_time_and_keys_do_not_wait_for_each_other() -> None:
    driven = Driven(*(Entry(an_intent(name, key=key)) for name, key in (("a", "k"), ("b", "k"), ("c", "l"))))
    first, other = driven.outbox.next(0)
    assert [effect.entry.intent.id for effect in (first, other)] == ["a", "c"]
    assert driven.outbox.next(0) == []
    driven.outbox.looked("a", a_sight(10))
    (sign,) = driven.outbox.next(0)
    assert isinstance(sign, Sign)
    driven.outbox.signed("a", a_signature(), burn=False)
    driven.keep()
    driven.send()
    driven.outbox.answered("a", Silent())
    driven.outbox.wake()
    assert [effect.entry.intent.id for effect in driven.outbox.next(0)] == ["a"], "b waits until a is decided"


def test_the_same_intent_twice_is_one() -> None:
    outbox = Outbox()
    assert outbox.add(an_intent()) is outbox.add(replace(an_intent(), deposit=99))


# --- any order of everything ---------------------------------------------------------------------------------------------------


@dataclass
class Chain:
    """A chain with a key, and final blocks that lag behind by two. Its contract sells twice what is asked for twice, as ours does
    not: here only the machine sees to it that nothing is.
    """

    nonce: int = 0
    uses: int = 0
    mempool: dict[str, Signature] = field(default_factory=dict)
    receipts: list[tuple[int, str]] = field(default_factory=list)  # (height at which it is carried out, transaction)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    final: dict[int, tuple[int, int]] = field(default_factory=lambda: {0: (0, 0)})  # height → nonce, uses
    height: int = 0
    paused: bool = False

    def block(self, delay: int, takes: bool) -> None:
        self.height += 1
        for at, name in list(self.receipts):
            if at <= self.height:
                self.receipts.remove((at, name))
                self._execute(name)
        for name, signature in list(self.mempool.items()):
            gone = signature.nonce <= self.nonce or self.height > signature.until
            if gone or takes:
                del self.mempool[name]
            if not gone and takes:
                self.nonce = signature.nonce
                self.receipts.append((self.height + 1 + delay, name))
        self.final[self.height] = (self.nonce, self.uses)

    def _execute(self, name: str) -> None:
        success = name.startswith("B") or not self.paused
        self.uses += success and not name.startswith("B")
        self.outcomes[name] = Outcome(name, success, b"", "" if success else "ERR_PAUSED", 1, 1)

    def sight(self, lag: int) -> Sight:
        height = max(0, self.height - 2 - lag)
        nonce, uses = self.final[height]
        return Sight(height, b"", nonce, uses >= 1, VALID)

    def lie(self, lie: str) -> Sight:
        """What a server makes up."""
        nonce = 99 if lie == SPENT else 0
        return Sight(self.height + (10 * VALID if lie == OVER else 0), lie.encode(), nonce, False, VALID)

    def bears_out(self, entry: Entry, sight: Sight) -> bool:
        """Does an honest server show the same?"""
        if sight.hash or (sight.nonce, sight.done) != (self.final[sight.height][0], self.final[sight.height][1] >= 1):
            return False
        if entry.outcome is not None:
            told = self.outcomes.get(entry.outcome.hash)
            return told is not None and told.success == entry.outcome.success
        return entry.spent_at is None or entry.signed is None or entry.signed.hash not in self.outcomes


SPENT, OVER = "the nonce is spent", "its blocks are over"


class Story(RuleBasedStateMachine):
    """Whatever happens: at most one purchase, and the journal's last word is true. Of two servers one may lie."""

    @initialize()
    def begin(self) -> None:
        self.chain = Chain()
        self.disk = {"use/7/1": encode_entry(Entry(an_intent()))}
        self.outbox = self.after_a_start()
        self.made = 0
        self.lie = ""
        self.now = 0

    def after_a_start(self) -> Outbox:
        return Outbox([decode_entry(data) for data in self.disk.values()], settle=SETTLE + 3)

    def entry(self) -> Entry:
        entry = self.outbox.find("use/7/1")
        assert entry is not None
        return entry

    @rule(
        crash=st.sampled_from([*[""] * 6, "before", "after"]),
        more=st.integers(0, 8),
        lost=st.sampled_from([False, False, False, True]),
        lag=st.integers(0, 3),
        deliver=st.booleans(),
        ignorant=st.booleans(),
        lie=st.sampled_from([*[""] * 6, SPENT, OVER]),
    )
    def step(self, crash: str, more: int, lost: bool, lag: int, deliver: bool, ignorant: bool, lie: str) -> None:
        """Carry out what the machine wants; ``crash`` before the last is done, or after, when nobody has heard of it.

        A server may be ``lag`` blocks behind, or ``ignorant`` of what is under way, or ``lie``.
        """
        self.ignorant, self.lie = ignorant, lie
        for _ in range(more):
            for effect in self.outbox.next(self.now):
                self.carry_out(effect, lost, lag, deliver, told=True)
        effects = self.outbox.next(self.now)
        if crash == "before":
            self.outbox = self.after_a_start()
            return
        for effect in effects:
            self.carry_out(effect, lost, lag, deliver, told=crash != "after")
        if crash == "after":
            self.outbox = self.after_a_start()

    def carry_out(self, effect: Effect, lost: bool, lag: int, deliver: bool, told: bool) -> None:
        name = effect.entry.intent.id
        match effect:
            case Keep(entry):
                self.disk[name] = encode_entry(entry)
                if told:
                    self.outbox.kept(entry)
            case Look():
                if told:
                    told_sight = self.chain.lie(self.lie) if self.lie else self.chain.sight(lag)
                    self.outbox.looked(name, None if lost else told_sight)
            case Sign(_, nonce, sight, burn):
                self.made += 1
                made = f"{'B' if burn else 'T'}{self.made}"
                if told:
                    signature = Signature(made, made.encode(), nonce, sight.height, sight.height + VALID)
                    self.outbox.signed(name, signature, burn=burn)
            case Send(_, signature):
                kept = decode_entry(self.disk[name])
                assert signature in (kept.signed, kept.burn), "what is sent was kept before"
                if deliver and signature.hash not in self.chain.outcomes:
                    self.chain.mempool[signature.hash] = signature
                if told:
                    self.outbox.answered(name, self.heard((signature,), lost))
            case Ask(_, signatures):
                if told:
                    self.outbox.answered(name, self.heard(signatures, lost))
            case Confirm(entry, sight):
                if told:
                    agreed = lost or self.chain.bears_out(entry, sight)  # who does not answer is not counted
                    self.outbox.confirmed(name, sight, "" if agreed else "they contradict each other")

    def heard(self, signatures: tuple[Signature, ...], lost: bool) -> Reported | Silent:
        if lost:
            return Silent("no answer")
        if self.lie:
            return failed(signatures[0].hash)
        for signature in signatures:
            if signature.hash in self.chain.outcomes:
                return Reported(self.chain.outcomes[signature.hash])
        under_way = {name for _, name in self.chain.receipts}
        return Silent(unknown=self.ignorant or not under_way & {signature.hash for signature in signatures})

    @rule(
        count=st.sampled_from([1, 1, 1, 2, 3, 5, 12, VALID + 1]), delay=st.integers(0, SETTLE - 1), takes=st.booleans()
    )
    def blocks(self, count: int, delay: int, takes: bool) -> None:
        for _ in range(count):
            self.chain.block(delay, takes)

    @rule()
    def wake(self) -> None:
        self.outbox.wake()

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        self.chain.paused = paused

    @rule()
    def another_program_uses_the_key(self) -> None:
        self.chain.nonce += 1

    @rule()
    def forgotten(self) -> None:
        """Nodes forget outcomes."""
        self.chain.outcomes.clear()

    @precondition(lambda self: self.now == 0)
    @rule(expire=st.booleans())
    def wanted_no_more(self, expire: bool) -> None:
        if expire:
            self.now = LATE
        elif not self.entry().ended:
            self.outbox.cancel("use/7/1", "you cancelled it")

    @invariant()
    def never_twice(self) -> None:
        assert self.chain.uses <= 1

    @invariant()
    def never_a_lie(self) -> None:
        entry = decode_entry(self.disk["use/7/1"])
        if entry.state is State.DONE:
            assert self.chain.uses == 1
        elif entry.ended:
            assert self.chain.uses == 0, f"{entry.state}, and it was bought"

    def teardown(self) -> None:
        """With a chain that goes on and answers, it comes to an end."""
        if not hasattr(self, "chain"):
            return
        self.ignorant, self.lie = False, ""
        for _ in range(200):
            self.chain.block(0, True)
            self.outbox.wake()
            for _ in range(8):
                for effect in self.outbox.next(self.now):
                    self.carry_out(effect, lost=False, lag=0, deliver=True, told=True)
        for _ in range(VALID + 10):
            self.chain.block(0, True)
        assert decode_entry(self.disk["use/7/1"]).ended, "it is stuck"
        self.never_twice()
        self.never_a_lie()


@pytest.mark.parametrize(("settle", "bought"), [(SETTLE + 3, 1), (0, 2)])
def test_a_receipt_under_way_is_why_a_spent_nonce_is_not_enough(settle: int, bought: int) -> None:
    """The counterexample of decision 0023: the nonce is spent, no server remembers on what, and the receipt is still to come."""
    story = Story()
    story.begin()
    story.outbox = Outbox([Entry(an_intent())], settle=settle)

    def work() -> None:
        story.outbox.wake()
        story.ignorant = True
        for _ in range(8):
            for effect in story.outbox.next(0):
                story.carry_out(effect, lost=False, lag=0, deliver=True, told=True)

    work()
    story.chain.block(5, True)
    for _ in range(30):
        story.chain.block(0, True)
        work()
    assert story.chain.uses == bought
    assert story.entry().state is State.DONE


TestStory = Story.TestCase
TestStory.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
