"""The fold of a day agrees with the books, whatever order of fills; marks are taken at their times."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.evaluation.day import DAY_NS, TradingDay
from libs.evaluation.fold import DayFold
from libs.evaluation.prices import LATER_S, SOON_S, PriceWatch
from libs.portfolio.portfolio import Portfolio
from proto.exit import ExitProposal, ExitReason
from proto.feed import FeedClock, MarketStatus, Outcome, Quote, Side
from proto.feed import Market as FeedMarket
from proto.message import Message
from proto.operator import ClockOwner, Mode, Session
from proto.risk import Approval, Check, Rejection, TimeInForce
from proto.units import ONE, SECOND
from proto.venue import Fill, Settlement
from services.feed.synthetic.recording import write_recording
from tests.support import few_words
from tools.offline.evaluation import evaluate_recordings
from tools.system.composition import sections

START = 20_000 * DAY_NS
CENT = 10_000
MARKET, YES = "kalshi:A", "kalshi:A:yes"
HERE = {"market": MARKET, "instrument": YES}


def session() -> Session:
    return Session(
        tape="t", mode=Mode.PLAYBACK, clock_owner=ClockOwner.FEED, started_at=START, nonce="n", expires_at=0
    )


def fold(*messages: tuple[int, Message], began_at: int = START, ended_at: int = 0) -> TradingDay:
    """Fold messages, each with the second at which it comes."""
    made = DayFold(began_at, ended_at)
    made.add(session(), 1, 0)
    for number, (at_s, message) in enumerate(messages):
        made.add(FeedClock(at=START + at_s * SECOND), 10 * number + 2, 0)
        made.add(message, 10 * number + 3, 0, f"m{number}")
    return made.finish()


def quote(bid: int, ask: int, at_s: int) -> Quote:
    return Quote(instrument=YES, at=START + at_s * SECOND, counter=1, bid=bid * CENT, ask=ask * CENT)


def approval(order: str, proposal: str, *, reduce_only: bool = False) -> Approval:
    side = Side.SELL if reduce_only else Side.BUY
    return few_words.approval(
        order, **HERE, side=side, quantity=10 * ONE, proposal=proposal, reduce_only=reduce_only
    )


def filled(number: int, order: str, side: Side, cents: int, contracts: int, fee: int = 0) -> Fill:
    return few_words.fill(
        f"f{number}", order, **HERE, side=side, price=cents * CENT, quantity=contracts * ONE, fee=fee
    )


PROPOSAL = few_words.proposal(**HERE, fair_value=60 * CENT, edge=8 * CENT, strength=ONE, expires_at=START)
LEAVE = ExitProposal(
    strategy="momentum",
    market=MARKET,
    instrument=YES,
    side=Side.SELL,
    price=45 * CENT,
    quantity=10 * ONE,
    time_in_force=TimeInForce.IOC,
    reason=ExitReason.STOP_LOSS,
    expires_at=START,
)
LISTED = FeedMarket(
    market=MARKET,
    venue="kalshi",
    at=START,
    status=MarketStatus.OPEN,
    outcomes=(Outcome("yes", YES), Outcome("no", "kalshi:A:no")),
    open_at=START,
    close_at=START + 900 * SECOND,
)


def test_a_trade_carries_edge_slippage_reason_and_what_came_after():
    made = fold(
        (0, LISTED),
        (1, quote(48, 49, 1)),
        (2, PROPOSAL),
        (3, approval("o-1", "m2")),
        (4, filled(1, "o-1", Side.BUY, 50, 10, CENT)),
        (5, quote(46, 47, 5)),
        (6, LEAVE),
        (7, approval("o-2", "m6", reduce_only=True)),
        (8, filled(2, "o-2", Side.SELL, 45, 10, CENT)),
        (200, quote(55, 56, 200)),
        (400, quote(52, 53, 400)),
        (3_000, quote(10, 11, 3_000)),
    )
    (trade,) = made.trades
    assert (trade.profit, trade.expected, trade.fees) == (-52 * CENT, 80 * CENT, 2 * CENT)
    assert (trade.ended, trade.opens_at, trade.ends_at) == ("stop_loss", START, START + 900 * SECOND)
    # Bought a cent above the ask that was seen, sold a cent below the bid.
    assert trade.slippage == 20 * CENT
    after = trade.left[0].after
    assert (after.marks[SOON_S], after.marks[LATER_S], after.highest) == (55 * CENT, 52 * CENT, 55 * CENT)


def test_repeats_of_a_refusal_are_one_row():
    rejection = Rejection(
        strategy="momentum",
        market=MARKET,
        instrument=YES,
        side=Side.BUY,
        price=50 * CENT,
        proposal="p",
        failed=(Check("spread", 1, 2, False),),
    )
    made = fold(*((second, rejection) for second in (1, 30, 299, 302, 303)))
    assert [row.count for row in made.refused] == [3, 2]
    assert made.rejections_by() == {"spread": 2}
    assert sum(count.rejected for count in made.signals.values()) == 5


def test_what_is_held_before_the_day_is_known_and_the_end_is_out():
    bought = (1, filled(1, "o-1", Side.BUY, 50, 10))
    sold = (100, filled(2, "o-2", Side.SELL, 45, 10))
    inside = fold(bought, sold, began_at=START + 50 * SECOND)
    assert [trade.profit for trade in inside.trades] == [-50 * CENT]
    assert fold(bought, sold, ended_at=START + 100 * SECOND).trades == []


def test_a_payout_is_the_price_from_then_on():
    watch = PriceWatch()
    watch.on_price(YES, 40 * CENT, 41 * CENT)
    made = watch.watch(YES, START)
    watch.on_payout(YES, ONE)
    watch.on_price(YES, 1, 2)
    watch.finish()
    assert set(made.marks.values()) == {ONE}
    assert made.highest == ONE


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(1, 99), st.integers(1, 20), st.integers(0, 5)), max_size=30
    ),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_profit_is_the_portfolios(rows: list[tuple[bool, int, int, int]], happened: bool):
    fills: list[Message] = [
        filled(n, f"o-{n}", Side.BUY if buys else Side.SELL, cents, contracts, fee)
        for n, (buys, cents, contracts, fee) in enumerate(rows)
    ]
    fills.append(Settlement(settlement_id="s", market=MARKET, instrument=YES, price=ONE if happened else 0))
    portfolio = Portfolio()
    for message in fills:
        portfolio.apply(message)
    made = fold(*enumerate(fills))
    assert made.profit == portfolio.realised_profit - portfolio.fees
    assert made.fees == portfolio.fees


def test_a_day_of_a_recording_is_the_backtests(tmp_path: Path):
    recording = write_recording(tmp_path / "recording", 30, 1.0)
    changes = {
        "risk.cooldown_s": "1",
        "risk.repeat_s": "1",
        "risk.bet_max": "0.01",
        "risk.one_position_per_market": "false",
        "risk.spread_max": "0.10",
        "signal.momentum.warmup_s": "10",
        "signal.momentum.z_min": "1.0",
    }
    found = evaluate_recordings(sections(overrides=changes), ("momentum",), [recording])
    document = found.document()
    again = evaluate_recordings(sections(overrides=changes), ("momentum",), [recording]).document()
    assert document == again
    assert document["trades"] == sum(document["ended"].values()) > 0
    assert sum(trade.profit for trade in found.day.trades) == found.day.profit
