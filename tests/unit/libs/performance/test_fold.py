"""The fold: what belongs to a window, and what strategies believed."""

from libs.performance.account import Performance
from libs.performance.fold import PerformanceFold
from libs.performance.returns import DAY
from proto.feed import Market, MarketStatus, Outcome
from proto.message import Message
from proto.operator import ClockOwner, Mode, Session
from proto.risk import Approval, PortfolioReport, RiskState
from proto.signal import Proposal
from proto.units import ONE
from proto.venue import Account, Settlement
from tests.support import few_words
from tests.support.few_words import MARKET, YES

T0 = 20_000 * DAY


def report(at: int, equity: int, fees: int = 0, realised: int = 0) -> PortfolioReport:
    return PortfolioReport(
        digest="d",
        cash=equity * ONE,
        equity=equity * ONE,
        realised_profit=realised * ONE,
        fees=fees * ONE,
        exposure=0,
        exposure_limit=ONE,
        positions=0,
        state=RiskState.ACTIVE,
        at=at,
    )


def folded(*messages: Message, began_at: int = 0, ended_at: int = 0) -> Performance:
    fold = PerformanceFold(began_at, ended_at)
    opened = Session(
        tape="t", mode=Mode.PLAYBACK, clock_owner=ClockOwner.FEED, started_at=T0, nonce="n", expires_at=0
    )
    fold.add(opened, 0, 0)
    for seq, message in enumerate(messages, 1):
        fold.add(message, seq, T0 + seq, f"m{seq}")
    return fold.finish()


def test_a_window_counts_what_was_made_in_it():
    account = Account(account_id="a", venue="paper", deposit=100 * ONE, at=T0)
    days = [
        report(T0 + 1, 100),
        report(T0 + DAY, 110, fees=1, realised=11),
        report(T0 + 2 * DAY, 99, fees=2, realised=1),
        report(T0 + 3 * DAY, 120, fees=2, realised=22),
    ]
    whole = folded(account, *days)
    assert whole.account.profit == 20 * ONE
    assert [day.profit for day in whole.days] == [0, 10 * ONE, -11 * ONE, 21 * ONE]
    third = folded(account, *days, began_at=T0 + 2 * DAY, ended_at=T0 + 3 * DAY)
    assert [day.value for day in third.days] == [-0.1]
    assert (third.account.profit, third.account.fees, third.account.realised_profit) == (
        -11 * ONE,
        ONE,
        -10 * ONE,
    )
    assert round(third.drawdown.depth, 9) == 0.1
    assert third.account.unrealised_profit == 0


def proposal(fair_value: int, instrument: str = YES) -> Proposal:
    return few_words.proposal(
        instrument=instrument, price=400_000, fair_value=fair_value, edge=10_000, expires_at=T0
    )


def approval(order: str, proposed: str, *, instrument: str = YES) -> Approval:
    return few_words.approval(order, instrument=instrument, price=400_000, expires_at=T0, proposal=proposed)


def test_the_first_approved_fair_value_of_an_outcome_is_its_strategy_s_call():
    market = Market(
        market=MARKET,
        venue="kalshi",
        at=T0,
        status=MarketStatus.OPEN,
        outcomes=(Outcome("yes", YES), Outcome("no", "kalshi:M:no")),
    )
    fill = few_words.fill("f", "o-1", price=400_000, fee=10_000, at=T0 + 5)
    found = folded(
        market,
        proposal(700_000),
        proposal(900_000),
        approval("o-1", "m2"),
        approval("o-2", "m3"),
        fill,
        market.replace(status=MarketStatus.SETTLED, result="yes"),
        Settlement(settlement_id="s", market=MARKET, instrument=YES, price=ONE, at=T0 + 9),
    )
    (call,) = found.calls
    assert call == (700_000, True)
    (trade,) = found.results
    assert (trade.profit, trade.fees, trade.expected, trade.staked) == (590_000, 10_000, 10_000, 400_000)
    assert (trade.ended, trade.venue, trade.event) == ("settled", "kalshi", MARKET)
    figures = found.figures()
    assert figures["brier"].value == 0.09
    assert figures["return"].reason == "no day with money in the account"
