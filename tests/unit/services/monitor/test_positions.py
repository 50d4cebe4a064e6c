"""Alerts about positions, feeds and books."""

from libs.machine.machine import Stamp
from proto.execution import OrderStatus
from proto.exit import HELD_TO_SETTLEMENT, PositionStage
from proto.feed import FeedClock, MarketStatus, Side
from proto.operator import Command, Verb
from proto.risk import ExitPortfolioReport, PortfolioReport, Rejection, RiskState
from proto.units import ONE, SECOND
from proto.venue import Correction, Settlement
from tests.support.monitor_tape import (
    BITCOIN,
    MARKET,
    NO,
    YES,
    Tape,
    approval,
    book,
    exit_proposal,
    fill,
    gap,
    market,
    position_update,
    quote,
    said,
    session,
    trade,
    update,
)

ORPHANED = "orphaned_position"
UNPROTECTED = "position_without_working_exit"


def bought(tape: Tape) -> None:
    tape.put(approval("o1"))
    tape.put(fill(1, "o1"))
    tape.put(update("o1", OrderStatus.FILLED, filled=10 * ONE))


def test_a_position_the_exit_service_does_not_show_is_orphaned() -> None:
    tape = Tape()
    bought(tape)
    assert said(tape.tick(10)) == []
    assert said(tape.tick(1)) == [(ORPHANED, YES, True)]
    assert said(tape.put(position_update(PositionStage.OPEN))) == [(ORPHANED, YES, False)]


def test_a_position_the_exit_service_calls_closed_is_orphaned() -> None:
    tape = Tape()
    bought(tape)
    tape.put(position_update(PositionStage.OPEN))
    tape.put(exit_proposal())
    tape.tick(20)
    tape.put(position_update(PositionStage.CLOSED))
    assert said(tape.tick(10)) == []
    assert said(tape.tick(1)) == [(ORPHANED, YES, True)]


def test_what_is_held_to_settlement_needs_no_working_exit() -> None:
    tape = Tape()
    bought(tape)
    tape.put(position_update(PositionStage.OPEN))
    tape.put(exit_proposal())
    tape.put(position_update(PositionStage.OPEN, quantity=10 * ONE, reason=HELD_TO_SETTLEMENT))
    assert said(tape.tick(300)) == []
    tape.put(position_update(PositionStage.CLOSING, quantity=10 * ONE))
    assert said(tape.tick(61)) == [(UNPROTECTED, YES, True)]


def test_a_remainder_that_the_exit_service_keeps_is_neither_orphaned_nor_unprotected() -> None:
    tape = Tape()
    bought(tape)
    tape.put(position_update(PositionStage.OPEN))
    tape.put(position_update(PositionStage.CLOSED, quantity=2_345))
    for _ in range(20):
        assert said(tape.tick(10)) == []


def test_a_clock_that_jumps_is_told_and_over_when_it_goes_on() -> None:
    tape = Tape()
    tape.tick(1)
    doubtful = Stamp(9_000, tape.now_s * SECOND, is_doubtful=True)
    assert said(tape.machine.on(FeedClock(at=0), doubtful)) == [("clock_jump", "trading", True)]
    assert said(tape.machine.on(FeedClock(at=0), doubtful)) == []
    assert said(tape.tick(1)) == [("clock_jump", "trading", False)]


def test_a_fill_of_an_order_nobody_approved_is_orphaned_until_flat() -> None:
    tape = Tape()
    assert said(tape.put(fill(1, "ghost"))) == [(ORPHANED, YES, True)]
    assert said(tape.put(position_update(PositionStage.OPEN))) == []
    assert said(tape.put(fill(2, "ghost", Side.SELL))) == [(ORPHANED, YES, False)]


def test_a_repeated_fill_counts_once() -> None:
    tape = Tape()
    bought(tape)
    tape.put(fill(1, "o1"))
    tape.put(approval("o2", reduce_only=True))
    tape.put(fill(2, "o2", Side.SELL))
    assert tape.machine.state.positions[YES].quantity == 0


def test_a_correction_undoes_a_fill_exactly_and_a_repeat_does_not_bring_it_back() -> None:
    tape = Tape()
    bought(tape)
    tape.tick(11)
    correction = Correction(correction_id="c", fill_id="fill:1", order="o1")
    assert said(tape.put(correction)) == [(ORPHANED, YES, False)]
    tape.put(correction)
    tape.put(fill(1, "o1"))
    assert tape.machine.state.positions[YES].quantity == 0


def test_a_position_without_a_working_exit() -> None:
    tape = Tape()
    bought(tape)
    tape.put(position_update(PositionStage.OPEN))
    assert said(tape.tick(60)) == []
    assert said(tape.tick(1)) == [(UNPROTECTED, YES, True)]
    assert said(tape.put(exit_proposal())) == [(UNPROTECTED, YES, False)]
    tape.put(approval("x1", reduce_only=True))
    tape.put(update("x1", OrderStatus.ACCEPTED, reduce_only=True))
    assert (UNPROTECTED, YES, True) not in said(tape.tick(600))
    tape.put(update("x1", OrderStatus.CANCELED, reduce_only=True))
    assert said(tape.tick(60)) == []
    assert said(tape.tick(1)) == [(UNPROTECTED, YES, True)]
    settlement = Settlement(settlement_id="s", market=MARKET, instrument=YES, price=ONE)
    assert said(tape.put(settlement)) == [(UNPROTECTED, YES, False)]


def test_a_late_fill_of_a_settled_market_opens_no_ghost() -> None:
    tape = Tape()
    bought(tape)
    tape.put(position_update(PositionStage.OPEN))
    tape.put(Settlement(settlement_id="s", market=MARKET, instrument=YES, price=ONE))
    tape.put(fill(2, "o1"))
    assert said(tape.tick(100)) == []


def test_an_instrument_of_an_open_market_that_falls_silent() -> None:
    tape = Tape()
    tape.put(market())
    for second in range(60):
        tape.put(quote(second, YES))
        tape.put(trade(BITCOIN))
        assert said(tape.tick(1)) == []
    assert said(tape.tick(1)) == [("silent_feed", NO, True)]
    assert said(tape.put(quote(1, NO))) == [("silent_feed", NO, False)]
    tape.put(quote(2, NO))
    assert said(tape.put(market(MarketStatus.CLOSED))) == []
    assert said(tape.tick(1_000)) == []


def test_silence_ends_with_the_market() -> None:
    tape = Tape()
    tape.put(market(close_s=tape.now_s + 100))
    assert len(tape.tick(61)) == 3
    assert sorted(said(tape.tick(40))) == sorted(
        [("silent_feed", name, False) for name in (YES, NO, BITCOIN)]
    )


def test_an_opening_market_has_its_time_to_speak() -> None:
    tape = Tape()
    tape.put(market(MarketStatus.LISTED))
    tape.tick(500)
    tape.put(market(MarketStatus.OPEN))
    assert said(tape.tick(60)) == []
    assert len(tape.tick(1)) == 3


def test_a_jump_of_the_counter_gaps_a_book_until_its_snapshot() -> None:
    tape = Tape()
    tape.put(book(7))
    tape.put(quote(8))
    assert said(tape.put(quote(10))) == [("book_gapped", YES, True)]
    assert said(tape.put(quote(11))) == []
    assert said(tape.put(quote(15))) == []
    assert said(tape.put(book(16, snapshot=False))) == []
    assert said(tape.put(book(3))) == [("book_gapped", YES, False)]
    assert said(tape.put(quote(4))) == []


def test_a_venue_gap_is_one_alert_and_over_with_the_last_book() -> None:
    tape = Tape()
    tape.put(book(1, YES))
    tape.put(book(1, NO))
    tape.put(trade(BITCOIN))
    assert said(tape.put(gap())) == [("book_gapped", "kalshi", True)]
    assert said(tape.put(gap())) == []
    assert said(tape.put(book(9, NO))) == []
    assert said(tape.put(book(9, YES))) == [("book_gapped", "kalshi", False)]
    assert said(tape.put(gap(BITCOIN, "coinbase"))) == [("book_gapped", BITCOIN, True)]
    assert said(tape.put(trade(BITCOIN))) == [("book_gapped", BITCOIN, False)]


def test_a_new_session_forgets_the_old_feed() -> None:
    tape = Tape()
    tape.put(market())
    tape.put(book(1))
    tape.put(quote(5))
    tape.tick(61)
    cleared = said(tape.put(session(tape.now_s)))
    assert ("book_gapped", YES, False) in cleared
    assert ("silent_feed", NO, False) in cleared
    tape.put(quote(77))
    tape.tick(0)
    assert said(tape.tick(1_000)) == []


def risk_report(at: int, digest: str, state: RiskState = RiskState.ACTIVE) -> PortfolioReport:
    return PortfolioReport(
        digest=digest,
        cash=0,
        equity=0,
        realised_profit=0,
        fees=0,
        exposure=0,
        exposure_limit=0,
        positions=0,
        state=state,
        at=at,
    )


def test_two_holders_of_the_books_disagree_about_one_moment() -> None:
    tape = Tape()
    tape.put(risk_report(1, "a"))
    assert said(tape.put(ExitPortfolioReport(digest="a", at=1))) == []
    tape.put(ExitPortfolioReport(digest="b", at=2))
    # Another moment is no comparison.
    assert said(tape.put(risk_report(3, "c"))) == []
    assert said(tape.put(risk_report(2, "a"))) == [("portfolio_divergence", "risk and exit", True)]
    assert said(tape.put(ExitPortfolioReport(digest="c", at=3))) == [
        ("portfolio_divergence", "risk and exit", False)
    ]


def test_risk_states_and_commands_are_shown() -> None:
    tape = Tape()
    assert said(tape.put(risk_report(1, "a"))) == []
    assert said(tape.put(risk_report(2, "a", RiskState.REDUCED))) == [("risk_state", "reduced", True)]
    assert said(tape.put(risk_report(3, "a", RiskState.HALTED))) == [
        ("risk_state", "reduced", False),
        ("risk_state", "halted", True),
    ]
    assert said(tape.put(risk_report(4, "a"))) == [("risk_state", "halted", False)]
    halt = Command(verb=Verb.HALT, nonce="n", expires_at=0, reason="lunch")
    assert said(tape.put(halt)) == [("halt", "trading", True)]
    assert "lunch" in tape.alerts[-1].text
    assert said(tape.put(halt)) == []
    resume = Command(verb=Verb.RESUME, nonce="n", expires_at=0)
    assert said(tape.put(resume)) == [("halt", "trading", False)]
    assert said(tape.put(halt)) == [("halt", "trading", True)]
    exits_only = resume.replace(close_only=True)
    assert said(tape.put(exits_only)) == [("halt", "trading", False), ("halt", "trading", True)]


def test_a_session_that_opens_halted() -> None:
    tape = Tape()
    assert said(tape.put(session(2_000, halted=True))) == [("halt", "trading", True)]


def test_a_storm_of_rejections() -> None:
    tape = Tape()
    rejection = Rejection(strategy="s", market=MARKET, instrument=YES, side=Side.BUY, price=0, proposal="p")
    for _ in range(301):
        tape.put(rejection)
    assert said(tape.tick(59)) == []
    assert said(tape.tick(1)) == [("rejection_storm", "risk", True)]
    assert said(tape.tick(60)) == [("rejection_storm", "risk", False)]
