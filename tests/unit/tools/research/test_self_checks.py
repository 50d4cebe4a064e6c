"""Each self-check finds what it is for: a forged fill, a wrong fee, money from nowhere, a decision before its cause."""

from collections.abc import Iterable

import pytest

from libs.exchange.fees import Charged, FeeAccumulator
from proto.feed import Book, FeedClock, FeeSchedule, Level, Market, MarketStatus, Outcome, Quote, Side, Trade
from proto.message import Message
from proto.risk import Approval, PortfolioReport, TimeInForce
from proto.units import ONE
from proto.venue import Account, Ack, AckStatus, Correction, Fill, Settlement
from tools.research.books_checked import BooksChecked
from tools.research.fills_checked import FillsChecked
from tools.research.time_checked import TimeChecked
from tools.research.verdicts import Verdict

M, YES, NO = "kalshi:M", "kalshi:M:yes", "kalshi:M:no"
CENT = 10_000
FEES = FeeSchedule(model="kalshi_quadratic", taker_rate=70_000)


def market(status: MarketStatus = MarketStatus.OPEN, result: str = "") -> Market:
    outcomes = (Outcome("yes", YES), Outcome("no", NO))
    return Market(market=M, venue="kalshi", at=1, status=status, outcomes=outcomes, fees=FEES, result=result)


def approval(
    order: str = "o", *, instrument: str = YES, side: Side = Side.BUY, price: int = 400_000
) -> Approval:
    return Approval(
        order=order,
        strategy="s",
        market=M,
        instrument=instrument,
        side=side,
        price=price,
        quantity=10 * ONE,
        time_in_force=TimeInForce.GTC,
        expires_at=9,
        proposal="p",
    )


def fill(
    price: int = 400_000,
    quantity: int = 5 * ONE,
    *,
    order: str = "o",
    instrument: str = YES,
    maker: bool = False,
) -> Fill:
    fee = FeeAccumulator().charge(FEES, Charged(price, quantity, True, maker), CENT)
    return Fill(
        fill_id=f"{order}:{price}:{quantity}",
        order=order,
        market=M,
        instrument=instrument,
        strategy="s",
        side=Side.BUY,
        price=price,
        quantity=quantity,
        fee=fee,
        maker=maker,
    )


def book(ask: int = 400_000, size: int = 5 * ONE) -> Book:
    return Book(instrument=YES, at=1, counter=1, bids=(Level(ask - CENT, ONE),), asks=(Level(ask, size),))


ACCEPTED = Ack(order="o", status=AckStatus.ACCEPTED)


def failed(verdicts: Iterable[Verdict]) -> list[str]:
    return [verdict.name for verdict in verdicts if verdict.failed]


def fills_checked(*messages: Message) -> list[str]:
    checked = FillsChecked(CENT)
    for seq, message in enumerate(messages, 1):
        checked.add(seq, message)
    return failed(checked.verdicts)


def test_what_was_on_display_passes():
    assert fills_checked(market(), book(), approval(), ACCEPTED, fill()) == []
    # The fill happened before the book that is newest on the tape.
    assert fills_checked(market(), book(), approval(), book(390_000), ACCEPTED, fill()) == []


@pytest.mark.parametrize(
    "shown",
    [book(410_000), book(size=4 * ONE), Quote(instrument=YES, at=1, counter=1)],
    ids=["price", "depth", "empty"],
)
def test_a_fill_from_nowhere_is_found(shown):
    assert fills_checked(market(), shown, approval(), ACCEPTED, fill()) == ["shown"]


def test_two_orders_do_not_take_one_level_twice():
    both = [market(), book(), approval("o"), approval("p")]
    part = fill(quantity=3 * ONE)
    assert fills_checked(*both, part, fill(quantity=2 * ONE, order="p")) == []
    assert fills_checked(*both, part, fill(quantity=3 * ONE, order="p")) == ["shown"]
    # The other outcome's buyer takes the other side.
    opposite = [approval("n", instrument=NO, price=610_000), fill(610_000, ONE, order="n", instrument=NO)]
    assert fills_checked(*both, fill(), *opposite) == []
    assert fills_checked(*both, fill(), book(), fill(order="p")) == []


def test_the_other_outcome_is_the_same_book_turned_round():
    bought = fill(610_000, ONE, instrument=NO)
    assert fills_checked(market(), book(), approval(instrument=NO, price=610_000), ACCEPTED, bought) == []
    dear = fill(600_000, ONE, instrument=NO)
    assert fills_checked(market(), book(), approval(instrument=NO, price=610_000), ACCEPTED, dear) == [
        "shown"
    ]


def test_a_worse_price_than_approved_is_found():
    assert fills_checked(market(), book(), approval(price=390_000), ACCEPTED, fill()) == ["limit"]
    assert fills_checked(market(), book(), fill()) == ["limit"]


def test_a_fee_of_another_formula_is_found():
    cheap = fill().model_copy(update={"fee": 0})
    assert fills_checked(market(), book(), approval(), ACCEPTED, cheap) == ["fees"]


def test_who_rests_is_filled_when_the_market_came():
    rests = fill(maker=True)
    away = book(420_000)
    assert fills_checked(market(), away, approval(), ACCEPTED, rests) == ["waited"]
    assert fills_checked(market(), away, approval(), ACCEPTED, book(400_000), away, rests) == []
    traded = Trade(instrument=NO, at=1, trade_id="t", price=600_000, quantity=ONE)
    assert fills_checked(market(), away, approval(), ACCEPTED, traded, rests) == []
    early = [market(), traded, away, approval(), ACCEPTED, rests]
    assert fills_checked(*early) == ["waited"]


def report(cash: int, positions: int) -> PortfolioReport:
    amounts = dict.fromkeys(("equity", "realised_profit", "fees", "exposure", "exposure_limit"), 0)
    return PortfolioReport(digest="d", cash=cash, positions=positions, **amounts)


DEPOSIT = Account(account_id="a", venue="paper", deposit=100 * ONE)


def books_checked(*messages: Message, held: dict[str, int] | None = None) -> list[str]:
    checked = BooksChecked()
    for seq, message in enumerate(messages, 1):
        checked.add(seq, message)
    checked.finish(len(messages), held or {})
    return failed(checked.verdicts)


def test_cash_is_counted_a_second_time():
    bought = fill()
    cash = 100 * ONE - 2 * ONE - bought.fee
    assert books_checked(DEPOSIT, DEPOSIT, bought, bought, report(cash, 1), held={YES: 5 * ONE}) == []
    assert books_checked(DEPOSIT, bought, report(cash + 1, 1), held={YES: 5 * ONE}) == ["cash"]
    assert books_checked(DEPOSIT, bought, held={}) == ["contracts"]
    assert books_checked(bought, held={YES: 5 * ONE}) == ["no_debt"]


def test_settlements_and_corrections_are_money_too():
    bought = fill()
    pays = [Settlement(settlement_id=str(n), market=M, instrument=YES, price=n * ONE) for n in (1, 0)]
    cash = 100 * ONE - 2 * ONE - bought.fee
    assert books_checked(DEPOSIT, bought, pays[0], report(cash + 5 * ONE, 0)) == []
    assert books_checked(DEPOSIT, bought, *pays, report(cash, 0)) == []
    undone = Correction(correction_id="c", fill_id=bought.fill_id, order="o")
    assert books_checked(DEPOSIT, bought, undone, undone, report(100 * ONE, 0)) == []


def time_checked(*rows: tuple[str, str, Message]) -> list[str]:
    checked = TimeChecked()
    for seq, (producer, message_id, message) in enumerate(rows, 1):
        checked.add(seq, producer, message_id, message)
    return failed(checked.verdicts)


def test_a_decision_comes_after_its_cause():
    assert time_checked(("feed", "", FeedClock(at=1)), ("risk", "t:risk:1:0", approval())) == []
    assert time_checked(("risk", "t:risk:1:0", approval())) == ["causes"]
    assert time_checked(("risk", "made up", approval())) == ["causes"]


def test_time_does_not_go_back():
    assert time_checked(("feed", "", FeedClock(at=2)), ("feed", "", FeedClock(at=1))) == ["forward"]


def test_nobody_enters_what_is_decided():
    decided = market(MarketStatus.SETTLED, "yes")
    assert time_checked(("feed", "", decided), ("risk", "t:risk:1:0", approval())) == ["results"]
