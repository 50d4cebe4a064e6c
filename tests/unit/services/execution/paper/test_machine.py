"""The paper venue answers like a gateway: once for each claim, and exactly for each question."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from libs.contract.codec import decode
from libs.machine.machine import Stamp
from proto.execution import Cancel, Claim, Query
from proto.feed import Gap, MarketStatus, Side
from proto.operator import Config
from proto.risk import Approval, TimeInForce
from proto.units import ONE, SECOND
from proto.venue import Account, Ack, AckStatus, Fill, Settlement, StatusReport
from services.execution.paper import machine as module
from services.execution.paper.machine import PaperMachine
from tests.support.order_tape import (
    CENT,
    MARKET,
    NO,
    START_S,
    YES,
    Hand,
    approval,
    book,
    claim,
    listing,
    of,
    session,
)


def venue(**params: object) -> Hand:
    """A paper venue without latency on a market at 44/45."""
    hand = Hand(PaperMachine())
    hand.configure(paper={"latency_ms": 0, **params})
    hand.put(listing())
    hand.put(book({44: 10}, {45: 5, 46: 7}))
    return hand


def test_the_account_is_opened_once():
    hand = Hand(PaperMachine())
    (opened,) = hand.configure(paper={"starting_cash": 500 * ONE})
    assert opened == Account(
        account_id="account:paper:start", venue="paper", deposit=500 * ONE, at=START_S * SECOND
    )
    assert hand.configure(paper={"starting_cash": 900 * ONE}) == []


def test_without_its_configuration_it_says_nothing():
    hand = Hand(PaperMachine())
    for event in (listing(), book({44: 10}, {45: 5}), claim(approval()), Query(order="x")):
        assert hand.put(event) == []


@pytest.mark.parametrize(
    "document", [{"latency_ms": -1}, {"starting_cash": -1}, {"no_such": 1}, {"fee_precision": 0}]
)
def test_a_configuration_out_of_bounds_is_refused(document):
    with pytest.raises(ValidationError):
        Hand(PaperMachine()).configure(paper=document)


def test_a_claim_is_an_order_once():
    hand = venue()
    first = hand.put(claim(approval(quantity=8)))
    assert [type(message) for message in first] == [Ack, Fill]
    (fill,) = of(Fill, first)
    assert (fill.price, fill.quantity, fill.maker) == (45 * CENT, 5 * ONE, False)
    assert fill.fill_id == "fill:paper:tape1-1-0:1"
    assert (fill.market, fill.instrument, fill.strategy, fill.side) == (MARKET, YES, "momentum", Side.BUY)
    # 0.07 × 5 × 0.45 × 0.55 = 0.086625, up to 0.0867; 2.25 + 0.0867 down to the cent: fee 0.09.
    assert fill.fee == 90_000
    assert hand.put(claim(approval(quantity=8))) == []


def test_a_claim_is_taken_only_when_it_is_verified_and_carries_its_approval():
    hand = venue()
    assert hand.put(claim(approval()), verified=False) == []
    torn = claim(approval()).replace(payload=b"\xc1")
    other = claim(approval(cause=1)).replace(order="tape1-9-0")
    wrong = claim(approval()).replace(approval_subject="risk.rejection.a.b")
    for event in (torn, other, wrong):
        assert hand.put(event) == []
    assert hand.put(claim(approval())) != []


def test_a_late_claim_is_rejected_as_expired():
    hand = venue()
    (ack,) = hand.put(claim(approval(expires_s=START_S)))
    assert ack == Ack(
        order="tape1-1-0", status=AckStatus.REJECTED, venue_order_id="paper-tape1-1-0", reason="expired"
    )
    assert hand.put(claim(approval(expires_s=START_S))) == []


def test_nothing_happens_before_the_latency_is_over():
    hand = venue(latency_ms=1_500)
    assert hand.put(claim(approval(tif=TimeInForce.IOC))) == []
    assert of(StatusReport, hand.put(Query(order="tape1-1-0"))) == [
        StatusReport(order="tape1-1-0", found=True, remaining=10 * ONE)
    ]
    assert hand.tick(1) == []
    assert [type(message) for message in hand.tick(1)] == [Ack, Fill, Ack]


def test_a_cancel_ends_an_order_and_finds_nothing_afterwards():
    hand = venue()
    hand.put(claim(approval(price=44)))
    (ack,) = hand.put(Cancel(order="tape1-1-0", reason="stop"))
    assert (ack.status, ack.reason) == (AckStatus.CANCELED, "stop")
    assert hand.put(Cancel(order="tape1-1-0")) == []
    assert hand.put(Cancel(order="never")) == []


def test_every_question_is_answered():
    hand = venue()
    hand.put(claim(approval(1, price=44)))
    hand.put(claim(approval(2, quantity=5)))
    hand.put(claim(approval(3, quantity=9, tif=TimeInForce.IOC)))

    def ask(order: str) -> tuple[object, ...]:
        (report,) = of(StatusReport, hand.put(Query(order=order)))
        return report.found, report.status, report.filled // ONE, report.remaining // ONE

    assert ask("tape1-1-0") == (True, AckStatus.ACCEPTED, 0, 10)
    assert ask("tape1-2-0") == (True, AckStatus.ACCEPTED, 5, 0)
    assert ask("tape1-3-0") == (True, AckStatus.CANCELED, 0, 9)
    assert ask("tape1-4-0") == (False, None, 0, 0)


def test_proved_absence_is_kept():
    hand = venue()
    for _ in range(2):
        (report,) = of(StatusReport, hand.put(Query(order="tape1-1-0")))
        assert not report.found
        assert hand.put(claim(approval())) == []


def test_a_withheld_acknowledgement_leaves_the_order_working():
    hand = venue(unanswered_every_n=2)
    assert of(Ack, hand.put(claim(approval(1, price=44))))
    assert hand.put(claim(approval(2, price=44))) == []
    (report,) = of(StatusReport, hand.put(Query(order="tape1-2-0")))
    assert (report.found, report.status) == (True, AckStatus.ACCEPTED)
    assert of(Ack, hand.put(Cancel(order="tape1-2-0")))


def test_what_filled_is_settled_once():
    hand = venue()
    hand.put(claim(approval(1, quantity=5)))
    hand.put(claim(approval(2, price=56, quantity=5, instrument=NO)))
    settled = of(Settlement, hand.put(listing(MarketStatus.SETTLED, "no")))
    assert [(s.settlement_id, s.instrument, s.price) for s in settled] == [
        (f"settlement:paper:{YES}", YES, 0),
        (f"settlement:paper:{NO}", NO, ONE),
    ]
    assert hand.put(listing(MarketStatus.SETTLED, "no")) == []


def test_a_market_that_is_resolved_anew_is_paid_anew():
    hand = venue()
    hand.put(claim(approval(1, quantity=5)))
    hand.put(listing(MarketStatus.SETTLED, "no"))
    # The result is taken back, and comes again.
    assert of(Settlement, hand.put(listing())) == []
    assert of(Settlement, hand.put(listing(MarketStatus.SETTLED, "no"))) == []
    (again,) = of(Settlement, hand.put(listing(MarketStatus.SETTLED, "yes")))
    assert (again.instrument, again.price) == (YES, ONE)
    assert again.settlement_id != f"settlement:paper:{YES}"
    assert of(Settlement, hand.put(listing(MarketStatus.SETTLED, "yes"))) == []


def test_a_market_without_our_fills_is_not_settled():
    hand = venue()
    hand.put(claim(approval(1, price=44)))
    assert of(Settlement, hand.put(listing(MarketStatus.SETTLED, "yes"))) == []


def test_a_void_pays_equal_shares_and_a_missing_result_nothing_yet():
    hand = venue()
    hand.put(claim(approval(1, quantity=5)))
    assert of(Settlement, hand.put(listing(MarketStatus.SETTLED))) == []
    (settled,) = of(Settlement, hand.put(listing(MarketStatus.SETTLED, "void")))
    assert settled.price == ONE // 2


def test_a_market_pays_what_its_venue_says():
    """A word that names no outcome pays nothing before the venue says how much, and then exactly that."""
    hand = venue()
    hand.put(claim(approval(1, quantity=5)))
    hand.put(claim(approval(2, price=56, quantity=5, instrument=NO)))
    scalar = listing(MarketStatus.SETTLED, "scalar")
    assert of(Settlement, hand.put(scalar)) == []
    settled = of(Settlement, hand.put(scalar.replace(payout=333_300)))
    assert {s.instrument: s.price for s in settled} == {YES: 333_300, NO: 666_700}
    assert hand.put(scalar.replace(payout=333_300)) == []


def test_a_gap_hides_the_book():
    hand = venue()
    hand.put(Gap(venue="kalshi", at=0, reason="sequence"))
    assert of(Fill, hand.put(claim(approval(tif=TimeInForce.IOC)))) == []
    hand.put(book({44: 10}, {45: 5}))
    assert of(Fill, hand.put(claim(approval(2))))


def test_a_new_session_starts_without_a_book():
    hand = venue()
    hand.put(session(hand.now_s))
    assert of(Fill, hand.put(claim(approval(tif=TimeInForce.IOC)))) == []


def test_memory_of_finished_orders_is_bounded_and_still_knows_them(monkeypatch):
    monkeypatch.setattr(module, "FINISHED_MAX", 5)
    hand = venue()
    orders = [approval(cause, price=20, tif=TimeInForce.IOC) for cause in range(1, 21)]
    for event in orders:
        assert of(Ack, hand.put(claim(event)))
    (machine,) = hand.machines
    assert len(machine.state.finished) == 5
    assert not machine.state.sent
    for event in orders:
        assert hand.put(claim(event)) == []
    (report,) = of(StatusReport, hand.put(Query(order=orders[0].order)))
    assert report.found


EVENTS = st.one_of(
    st.builds(
        lambda cause, price, quantity, tif, buy: claim(
            approval(cause, price=price, quantity=quantity, tif=tif, side=Side.BUY if buy else Side.SELL)
        ),
        st.integers(1, 8),
        st.integers(40, 50),
        st.integers(1, 9),
        st.sampled_from(TimeInForce),
        st.booleans(),
    ),
    st.builds(lambda cause: Cancel(order=f"tape1-{cause}-0"), st.integers(1, 8)),
    st.builds(lambda cause: Query(order=f"tape1-{cause}-0"), st.integers(1, 8)),
    st.builds(
        lambda bid, spread, size: book({bid: size}, {bid + spread: size}),
        st.integers(40, 50),
        st.integers(1, 4),
        st.integers(1, 9),
    ),
    st.builds(
        listing, st.sampled_from((MarketStatus.OPEN, MarketStatus.PAUSED, MarketStatus.CLOSED)), st.just("")
    ),
    st.just(listing(MarketStatus.SETTLED, "yes")),
)


@given(st.lists(EVENTS, max_size=25), st.sampled_from((0, 1_500)), st.integers(0, 3))
def test_one_order_for_each_claim_and_a_restored_venue_says_the_same(events, latency_ms, unanswered):
    params = {"latency_ms": latency_ms, "unanswered_every_n": unanswered}
    hand, twin = venue(**params), venue(**params)
    asked: dict[str, int] = {}
    for event in events:
        if isinstance(event, Claim) and event.order not in hand.machines[0].state.finished:
            # Only the first claim of an order counts, and none after the proof that there is no order.
            carried = decode(event.approval_subject, event.payload)
            assert isinstance(carried, Approval)
            asked.setdefault(event.order, carried.quantity)
        twin.machines[0].restore(twin.machines[0].snapshot())
        assert hand.put(event) == twin.put(event)
        assert hand.tick(1) == twin.tick(1)
    fills = of(Fill, hand.said)
    assert len({fill.fill_id for fill in fills}) == len(fills)
    for order in {fill.order for fill in fills}:
        assert sum(fill.quantity for fill in fills if fill.order == order) <= asked[order]
    endings = [ack.order for ack in of(Ack, hand.said) if ack.status is not AckStatus.ACCEPTED]
    assert len(set(endings)) == len(endings)
    settled = {event.instrument for event in of(Settlement, hand.said)}
    assert settled <= {fill.instrument for fill in fills}


def test_a_handler_with_nothing_to_do_says_nothing():
    machine = PaperMachine()
    stamp = Stamp(seq=1, now=START_S * SECOND)
    for event in (listing(), book({44: 1}, {45: 1})):
        assert list(machine.on(event, stamp)) == []
    assert machine.on(Config(section="risk", document={}, nonce="n", expires_at=0), stamp) == ()


# ── beside live venues ──


def beside_live(*live: str) -> Hand:
    """A paper venue in a session in which some venues are traded for real."""
    hand = Hand(PaperMachine())
    hand.put(session(START_S))
    hand.put(Config(section="execution", document={"live_venues": [*live]}, nonce="n", expires_at=0))
    hand.put(Config(section="paper", document={"latency_ms": 0}, nonce="n", expires_at=0))
    hand.put(listing())
    hand.put(book({44: 10}, {45: 5, 46: 7}))
    return hand


def test_a_live_venues_orders_are_none_of_its_business():
    hand = beside_live("kalshi")
    event = approval()
    assert hand.put(claim(event)) == []
    # Above all it must not say that an order at the real venue is absent.
    assert hand.put(Query(order=event.order)) == []
    assert hand.put(Cancel(order=event.order)) == []
    assert hand.put(listing(MarketStatus.SETTLED, "yes")) == []
    assert hand.said == []


def test_play_money_stays_out_of_real_books():
    assert of(Account, beside_live("polymarket").said) == []
    assert len(of(Account, beside_live().said)) == 1


def test_without_live_venues_everything_is_paper_again():
    hand = beside_live()
    assert of(Fill, hand.put(claim(approval())))
