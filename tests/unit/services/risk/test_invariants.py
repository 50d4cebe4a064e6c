"""What holds in any order of events: a machine driven at random against books kept by hand."""

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from libs.machine.machine import Stamp
from proto.execution import TERMINAL, OrderStatus
from proto.feed import MarketStatus, Payoff, Side
from proto.message import Message
from proto.operator import Verb
from proto.risk import Approval, Pending, Rejection, TimeInForce
from proto.units import ONE, SECOND, notional, scale
from services.risk import facts
from services.risk.checks import ENTRY_CHECKS
from services.risk.desk_checks import Scene, checks_set
from services.risk.exposure import Reservation
from services.risk.machine import RiskMachine
from services.risk.stakes import Stakes
from tests.support.risk_world import CASH, RiskWorld, market_of

MARKETS = ("A", "B", "C")
STRATEGIES = ("momentum", "another")
ROUNDING = 100
"""Millionths of a dollar by which sums of rounded parts may differ here: one for each fill and order."""

markets = st.sampled_from(MARKETS)
outcomes = st.sampled_from(["yes", "no"])
shares = st.sampled_from([0.01, 0.3, 0.5, 1.0])
LIVE = [status for status in OrderStatus if status not in TERMINAL]


@dataclass
class Kept:
    """An order as its story was told: ``total`` is what it will have filled in the end."""

    approval: Approval | Pending
    reduce_only: bool
    total: int
    filled: int = 0
    ended: bool = False

    @property
    def remaining(self) -> int:
        return self.total - self.filled


class TwinWorld(RiskWorld):
    """Sends everything also to machines restored from snapshots, and expects the same answers."""

    twins: tuple[RiskMachine, ...] = ()

    def send(self, message: Message, *, message_id: str = "") -> list[Message]:
        outputs = super().send(message, message_id=message_id)
        stamp = Stamp(self.seq, self.now, message_id or f"t1:x:{self.seq}:0")
        for twin in self.twins:
            assert list(twin.on(message, stamp)) == outputs
        return outputs


class RiskInvariants(RuleBasedStateMachine):
    @initialize(
        autonomy=st.sampled_from(["semi", "auto"]),
        group=st.sampled_from(["", "one wins"]),
        one_position=st.booleans(),
    )
    def open(self, autonomy, group, one_position):
        self.params = {
            "exits_wait": True,
            "one_position_per_market": one_position,
            "daily_loss_max": ONE,
            "bet_max": 80_000,
            "market_stake_max": 200_000,
            "venue_stake_max": 220_000,
            "strategy_stake_max": 120_000,
            "correlated_stake_max": 230_000,
            "var_max": 200_000,
            "shortfall_max": 210_000,
            "venue_cash_apart": True,
            "self_trade_refused": True,
            "loss_streak_max_count": 3,
            "loss_streak_rest_s": 60,
            "anomaly_stop": True,
            "anomaly_loss_max": 200_000,
        }
        self.world = TwinWorld(autonomy=autonomy, **self.params)
        for name in MARKETS:
            self.world.send(market_of(name, group=group, underlying="coinbase:BTC-USD", payoff=Payoff.ABOVE))
        self.orders: dict[str, Kept] = {}
        self.positions: dict[str, tuple[int, int]] = {}
        self.lots: dict[str, dict[str, int]] = {}
        self.cash = CASH
        self.halted = False
        self.before = 0
        self.approvals_before = 0

    # ── keeping books by hand ──

    def _note(self, output: Message) -> None:
        if isinstance(output, Approval | Pending):
            assert not self.halted
            reduce_only = isinstance(output, Approval) and output.reduce_only
            reduce_only = reduce_only or output.side is Side.SELL
            self.orders[output.order] = Kept(output, reduce_only, output.quantity)
            if not reduce_only:
                self._check_limits()

    def _stake(self) -> int:
        """At stake by hand: positions at cost, and what open entries may still pay before fees."""
        growing = {
            kept.approval.instrument
            for kept in self.orders.values()
            if kept.remaining and not kept.reduce_only
        }
        # What is below the lot and not growing can only be paid out.
        held = sum(
            cost
            for instrument, (quantity, cost) in self.positions.items()
            if quantity >= self._lot() or instrument in growing
        )
        working = sum(
            notional(kept.approval.price, kept.remaining)
            for kept in self.orders.values()
            if not kept.reduce_only
        )
        return held + working

    def _lot(self) -> int:
        return self.world.machine.state.markets["kalshi:A"].quantity_step or ONE

    def _check_limits(self) -> None:
        equity = self.world.machine.equity()
        self._check_desk_limits(equity)
        # When it was asked for, nothing worked that could have made more of what is below the lot.
        dust = sum(cost for quantity, cost in self.positions.values() if quantity < self._lot())
        assert self._stake() <= scale(equity, 250_000) + dust + ROUNDING
        for name in MARKETS:
            in_market = sum(
                cost for instrument, (_, cost) in self.positions.items() if f":{name}:" in instrument
            ) + sum(
                notional(kept.approval.price, kept.remaining)
                for kept in self.orders.values()
                if kept.approval.market == f"kalshi:{name}" and not kept.reduce_only
            )
            assert in_market <= scale(equity, 200_000) + dust + ROUNDING

    def _check_desk_limits(self, equity: int) -> None:
        """Limits of the desk by hand: by strategy, at the venue, and of the tail with what is open as lost."""
        dust = sum(cost for quantity, cost in self.positions.values() if quantity < self._lot())
        for strategy in STRATEGIES:
            stake = sum(
                cost * self.lots.get(instrument, {}).get(strategy, 0) // quantity
                for instrument, (quantity, cost) in self.positions.items()
                if quantity
            ) + sum(
                notional(kept.approval.price, kept.remaining)
                for kept in self.orders.values()
                if kept.approval.strategy == strategy and not kept.reduce_only
            )
            assert stake <= scale(equity, self.params["strategy_stake_max"]) + dust + ROUNDING
        assert self._stake() <= scale(equity, self.params["venue_stake_max"]) + dust + ROUNDING
        machine = self.world.machine
        assert (
            machine.state.value_at_risk + machine.reserved_exposure()
            <= scale(equity, self.params["var_max"]) + ROUNDING
        )
        assert (
            machine.state.expected_shortfall + machine.reserved_exposure()
            <= scale(equity, self.params["shortfall_max"]) + ROUNDING
        )
        assert not machine.state.anomaly

    def _open(self, *, pending: bool = False) -> list[Kept]:
        return [
            kept
            for kept in self.orders.values()
            if not kept.ended and isinstance(kept.approval, Pending) == pending
        ]

    def _sent(self) -> list[Kept]:
        return [kept for kept in self.orders.values() if isinstance(kept.approval, Approval)]

    def _held(self) -> list[str]:
        return [instrument for instrument, (quantity, _) in self.positions.items() if quantity]

    # ── what can happen ──

    @rule(
        name=markets,
        outcome=outcomes,
        bid=st.integers(5, 93),
        width=st.integers(1, 3),
        snapshot=st.booleans(),
    )
    def book_moves(self, name, outcome, bid, width, snapshot):
        self.world.book(f"kalshi:{name}:{outcome}", bid * 10_000, (bid + width) * 10_000, snapshot=snapshot)

    @rule(autonomy=st.sampled_from(["semi", "auto"]))
    def autonomy_changes(self, autonomy):
        self.world.configure(autonomy=autonomy, **self.params)

    @rule(name=markets, outcome=outcomes)
    def messages_are_lost(self, name, outcome):
        self.world.quote(f"kalshi:{name}:{outcome}", 490_000, 500_000, skip=2)

    @rule(name=markets, outcome=outcomes, edge=st.integers(-3, 40), strategy=st.sampled_from(STRATEGIES))
    def strategy_proposes(self, name, outcome, edge, strategy=STRATEGIES[0]):
        view = self.world.machine.state.books[f"kalshi:{name}:{outcome}"]
        price = view.ask or 500_000
        fair_value = min(price + edge * 10_000, ONE)
        output = self.world.propose(name, outcome, price=price, fair_value=fair_value, strategy=strategy)
        self._expect_all_failures(output, fair_value)
        self._note(output)

    @rule(name=markets, outcome=outcomes)
    def position_is_opened(self, name, outcome):
        """What the other rules reach only by luck: proposed, approved, filled."""
        self.book_moves(name, outcome, 49, 1, snapshot=True)
        self.strategy_proposes(name, outcome, 20)
        for kept in self._open(pending=True):
            if not kept.reduce_only:
                del self.orders[kept.approval.order]
                self._note(self.world.command(Verb.APPROVE, kept.approval.order)[0])
        for kept in self._sent():
            if not kept.reduce_only and kept.remaining and not kept.ended:
                self._fill(kept, kept.remaining, kept.approval.price)

    @rule(name=markets, outcome=outcomes)
    def exit_of_nothing_is_proposed(self, name, outcome):
        if not self.positions.get(f"kalshi:{name}:{outcome}", (0, 0))[0]:
            assert isinstance(self.world.exit(name, outcome), Rejection)

    @precondition(lambda self: self._held())
    @rule(data=st.data(), share=st.sampled_from([0.3, 0.5, 0.7, 1.0, 1.5]))
    def exit_is_proposed(self, data, share):
        _, name, outcome = data.draw(st.sampled_from(self._held())).split(":")
        held = self.positions[f"kalshi:{name}:{outcome}"][0]
        output = self.world.exit(name, outcome, quantity=int(held * share) or ONE, price=400_000)
        if share <= 1 and not self.halted:
            closing = sum(
                kept.remaining
                for kept in self.orders.values()
                if kept.reduce_only and kept.approval.instrument == f"kalshi:{name}:{outcome}"
            )
            # Nothing but what is already closing can stand in its way.
            assert isinstance(output, Rejection) == (closing + int(held * share) > held), output
        self._note(output)

    @precondition(lambda self: self._sent())
    @rule(data=st.data(), share=shares, better=st.integers(0, 3))
    def order_fills(self, data, share, better):
        kept = data.draw(st.sampled_from(self._sent()))
        quantity = int(kept.remaining * share)
        if not quantity:
            return
        step = -10_000 if kept.approval.side is Side.BUY else 10_000
        self._fill(kept, quantity, min(max(kept.approval.price + better * step, 10_000), 990_000))

    def _fill(self, kept, quantity, price):
        held, cost = self.positions.get(kept.approval.instrument, (0, 0))
        value = notional(price, quantity)
        if kept.approval.side is Side.BUY:
            self.positions[kept.approval.instrument] = (held + quantity, cost + value)
            self.cash -= value
        else:
            self.positions[kept.approval.instrument] = (held - quantity, cost - cost * quantity // held)
            self.cash += value
        self._count_lot(kept, quantity)
        kept.filled += quantity
        self.world.fill(kept.approval, quantity, price)
        self._drop_if_over(kept)

    def _count_lot(self, kept, quantity):
        """Whose contracts: a sale takes the seller's first, then the others' in the order they were bought."""
        lots = self.lots.setdefault(kept.approval.instrument, {})
        strategy = kept.approval.strategy
        if kept.approval.side is Side.BUY:
            lots[strategy] = lots.get(strategy, 0) + quantity
            return
        for owner in sorted(lots, key=lambda name: name != strategy):
            taken = min(lots[owner], quantity)
            lots[owner] -= taken
            quantity -= taken
        for owner in [name for name, left in lots.items() if not left]:
            del lots[owner]

    @precondition(lambda self: self._open())
    @rule(data=st.data(), status=st.sampled_from(LIVE))
    def order_is_still_alive(self, data, status):
        kept = data.draw(st.sampled_from(self._open()))
        self.world.update(kept.approval, status, kept.filled)

    @precondition(lambda self: self._open())
    @rule(data=st.data(), share=st.sampled_from([0.0, 0.0, 0.5, 1.0]), status=st.sampled_from(TERMINAL))
    def order_ends(self, data, share, status):
        """Some of its fills may still be on their way."""
        kept = data.draw(st.sampled_from(self._open()))
        kept.total = kept.filled + int(kept.remaining * share)
        kept.ended = True
        self.world.update(kept.approval, status, kept.total)
        self._drop_if_over(kept)

    def _drop_if_over(self, kept: Kept) -> None:
        if kept.ended and not kept.remaining:
            del self.orders[kept.approval.order]

    @rule(seconds=st.sampled_from([1, 5, 61]))
    def time_passes(self, seconds):
        outputs = self.world.clock(seconds)
        lapsed = [output for output in outputs if isinstance(output, Rejection)]
        waiting = [kept for kept in self._open(pending=True) if kept.approval.expires_at <= self.world.now]
        assert [r.proposal for r in lapsed] == [kept.approval.proposal for kept in waiting]
        for kept in waiting:
            del self.orders[kept.approval.order]

    @rule(verb=st.sampled_from([Verb.HALT, Verb.RESUME, Verb.RESUME, Verb.CLOSE_ONLY]))
    def operator_commands(self, verb):
        self.world.command(verb)
        self.halted = verb is Verb.HALT or (self.halted and verb is not Verb.RESUME)

    @precondition(lambda self: self._open(pending=True))
    @rule(data=st.data(), verb=st.sampled_from([Verb.APPROVE, Verb.DENY]))
    def operator_decides(self, data, verb):
        kept = data.draw(st.sampled_from(self._open(pending=True)))
        del self.orders[kept.approval.order]
        (output,) = self.world.command(verb, kept.approval.order)
        assert isinstance(output, Rejection) or verb is Verb.APPROVE
        self._note(output)

    @rule()
    def machine_restarts(self):
        twin = RiskMachine()
        twin.restore(self.world.machine.snapshot())
        self.world.twins = (*self.world.twins, twin)[-3:]

    @rule(name=markets, status=st.sampled_from([MarketStatus.OPEN, MarketStatus.OPEN, MarketStatus.PAUSED]))
    def market_changes(self, name, status):
        if status is MarketStatus.PAUSED:
            self.world.send(market_of(name, status=status))
            assert isinstance(self.world.propose(name), Rejection)
        self.world.send(market_of(name, group=self.world.machine.state.markets[f"kalshi:{name}"].group))

    # ── what always holds ──

    @invariant()
    def books_agree_and_nothing_shrinks_below_zero(self):
        machine = self.world.machine
        portfolio = machine.state.portfolio
        assert portfolio.cash == self.cash
        assert machine.state.cash_by_venue == {"kalshi": self.cash}
        assert machine.state.lots == {name: lots for name, lots in self.lots.items() if lots}
        marks = {instrument: view.mark for instrument, view in machine.state.books.items()}
        assert machine.equity() == portfolio.equity(marks)
        for instrument, (quantity, _) in self.positions.items():
            assert portfolio.quantity(instrument) == quantity >= 0
        # Reserved is exactly what was approved and may still fill, unknown or not.
        assert dict.fromkeys(machine.state.reservations) == dict.fromkeys(self.orders)
        for order, kept in self.orders.items():
            assert machine.state.reservations[order].remaining == kept.remaining
        stake = self._stake()
        fees = sum(reservation.fee for reservation in machine.state.reservations.values())
        assert stake - ROUNDING <= machine.exposure() <= stake + fees + ROUNDING

    @invariant()
    def what_is_kept_beside_the_state_is_what_the_state_says(self):
        machine = self.world.machine
        assert _everything_in(machine.stakes) == _everything_in(Stakes(machine.state))

    @invariant()
    def reduce_only_never_exceeds_the_position(self):
        for instrument, (quantity, _) in self.positions.items():
            closing = sum(
                kept.remaining
                for kept in self.orders.values()
                if kept.reduce_only and kept.approval.instrument == instrument
            )
            assert closing <= quantity

    @invariant()
    def only_a_new_order_raises_what_is_at_stake(self):
        approvals = sum(isinstance(output, Approval | Pending) for output in self.world.outputs)
        exposure = self.world.machine.exposure()
        if approvals == self.approvals_before:
            assert exposure <= self.before + ROUNDING
        self.before, self.approvals_before = exposure, approvals

    def _expect_all_failures(self, output: Message, fair_value: int) -> None:
        """A rejection lists exactly the checks that fail when each is evaluated alone."""
        if not isinstance(output, Rejection):
            assert not any(not check.passed for check in getattr(output, "checks", ()))
            return
        state = self.world.machine.state
        assert state.params is not None
        # The same facts again: a rejection changes nothing that the checks read.
        candidate = _candidate(output, fair_value, self.world.now + 5 * SECOND)
        stakes = Stakes(state)
        ground = facts.ground(state, stakes, state.params, candidate, facts.equity(state, stakes))
        candidate.quantity, candidate.fee = facts.size(state.params, candidate, ground)
        candidate.approved_quantity = candidate.quantity
        entry = facts.entry_facts(state, Stakes(state), state.params, candidate, self.world.now, ground)
        scene = Scene(state, stakes, candidate, entry)
        alone = [check(entry) for check in ENTRY_CHECKS]
        alone += [check(scene) for check in checks_set(state.params)]
        assert list(output.failed) == [check for check in alone if not check[3]]
        assert output.failed


def _everything_in(stakes: Stakes) -> list[object]:
    kept = [stakes.held, stakes.exposure, stakes.orders, stakes.entries, stakes.closing, stakes.reserved]
    return [*kept, stakes.groups, stakes.priced]


def _candidate(output: Rejection, fair_value: int, expires_at: int) -> Reservation:
    return Reservation(
        strategy=output.strategy,
        market=output.market,
        instrument=output.instrument,
        side=output.side,
        price=output.price,
        approved_quantity=0,
        quantity=0,
        fee=0,
        time_in_force=TimeInForce.IOC,
        expires_at=expires_at,
        proposal=output.proposal,
        reduce_only=False,
        pending=False,
        fair_value=fair_value,
    )


RiskInvariants.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestRiskInvariants = RiskInvariants.TestCase


@pytest.mark.soak
def test_no_order_of_a_million_events_exceeds_a_limit(count):
    further = settings(RiskInvariants.TestCase.settings, max_examples=count(1, 25_000))
    run_state_machine_as_test(RiskInvariants, settings=further)
