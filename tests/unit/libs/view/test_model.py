"""The view's fold: positions, equity and reasons as they are, in bounded memory."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from libs.view import history, market_state, wording
from libs.view.history import EQUITY_POINTS_MAX, EquityHistory, Latencies
from libs.view.model import WHOLE_WAY, ViewModel
from libs.view.tally import REASONS_MAX
from proto.execution import OrderStatus
from proto.feed import Market, MarketStatus, Outcome, Side
from proto.monitor import Severity
from proto.operator import Command, Verb
from proto.risk import Check, Rejection, RiskState
from proto.units import MILLISECOND, ONE, SECOND
from proto.venue import Account
from tests.support import few_words
from tests.support.view_session import (
    LATER_YES,
    MARKETS,
    NO,
    T0,
    YES,
    Player,
    alert,
    approval,
    book,
    bought_and_half_sold,
    clock,
    fill,
    halt,
    market,
    opening,
    pending,
    proposal,
    rejection,
    report,
    settlement,
    trade,
    update,
)
from tools.system.summary import Summary


def played() -> tuple[ViewModel, Player]:
    model = ViewModel()
    player = Player(model)
    player.put(*opening(), book(YES, 500_000, 520_000), clock(0), *bought_and_half_sold(), clock(10))
    return model, player


def test_positions_have_their_entry_mark_profit_stage_and_exits() -> None:
    model, _ = played()
    (row,) = model.positions()
    assert row.instrument == YES
    assert row.quantity == 20 * ONE
    assert row.entry_price == 460_000
    assert row.mark == 500_000
    assert row.unrealised_profit == 800_000
    assert row.stage == "half closed"
    assert row.exits == "20 @ 0.48"


def test_cash_and_equity_are_exact() -> None:
    model, player = played()
    # 1,000 − 40 × 0.46 − 0.70 + 20 × 0.47 − 0.35, and 20 contracts at the bid of 0.50.
    assert model.cash == 989_950_000
    assert model.equity == 999_950_000
    assert model.profit == -50_000
    player.put(settlement(ONE))
    assert model.positions() == []
    assert model.cash == model.equity == 1_009_950_000


def test_exposure_counts_positions_and_open_orders_but_no_exits() -> None:
    model, player = played()
    assert model.exposure == 9_200_000
    player.put(approval("o5", Side.BUY, 300_000, 10))
    assert model.exposure == 12_200_000
    player.put(update("o5", OrderStatus.CANCELED))
    assert model.exposure == 9_200_000


def test_fills_are_counted_once() -> None:
    model, player = played()
    player.put(fill(1, "t7-9-0", Side.BUY, 460_000, 40, 700_000))
    assert model.tally.counts["fills"] == 2
    assert model.cash == 989_950_000


def test_a_view_that_began_late_takes_risks_books_and_moves_on_from_there() -> None:
    model = ViewModel()
    player = Player(model)
    player.put(report(cash=500 * ONE, equity=620 * ONE), clock(1))
    assert (model.cash, model.equity) == (500 * ONE, 620 * ONE)
    player.put(approval("o", Side.BUY, 400_000, 10), fill(1, "o", Side.BUY, 400_000, 10, 0))
    player.put(book(YES, 450_000, 470_000))
    assert model.cash == 496 * ONE
    assert model.equity == 620 * ONE + 500_000


def test_rejections_give_their_reasons_and_repeats_are_counted() -> None:
    model = ViewModel()
    player = Player(model)
    player.put(*opening())
    for _ in range(5):
        player.put(proposal(LATER_YES), rejection(LATER_YES))
    (decision,) = model.decisions.latest
    assert decision.outcome == "rejected"
    assert decision.count == 5
    assert decision.reasons == ("spread 0.0415, at most 0.03", "closes in 41 s, expected at least 60 s")
    assert model.tally.reasons == {"spread": 5, "time_to_close_s": 5}
    assert (model.tally.counts["proposals"], model.tally.counts["rejections"]) == (5, 5)


def test_rejections_that_take_turns_fold_into_a_row_each() -> None:
    model = ViewModel()
    player = Player(model)
    player.put(*opening())
    for _ in range(7):
        for instrument in (YES, NO, LATER_YES):
            player.put(proposal(instrument), rejection(instrument))
    found = [(decision.instrument, decision.count) for decision in model.decisions.latest]
    assert found == [(YES, 7), (NO, 7), (LATER_YES, 7)]


def test_the_view_and_the_summary_count_alike() -> None:
    model, player = played()
    summary = Summary()
    for seq, message in enumerate(player.told, start=1):
        summary.add(seq, message)
    document = summary.document()
    counts = model.tally.counts
    for name in ("proposals", "exits", "approvals", "orders", "fills", "settlements"):
        assert document[name] == counts[name]
    assert document["rejected"] == counts["rejections"]
    assert document["profit"] * ONE == model.profit
    assert document["equity"] * ONE == model.equity
    tally = model.tally
    assert model.profit == model.portfolio.realised_profit - model.portfolio.fees + tally.unrealised_profit


def test_an_order_that_waits_is_shown_until_it_is_decided_on_or_its_time_is_over() -> None:
    for answer in (approval("t7-9-0", Side.BUY, 460_000, 40), rejection(YES), clock(61)):
        model = ViewModel()
        player = Player(model)
        player.put(*opening(), pending("t7-5-0", left_s=60))
        assert [waiting.order for waiting in model.waiting_orders()] == ["t7-5-0"]
        player.put(answer)
        assert model.waiting_orders() == []


def test_an_approval_takes_the_place_and_the_reason_of_its_proposal() -> None:
    model = ViewModel()
    player = Player(model)
    player.put(proposal(), proposal(LATER_YES))
    player.put(approval("o1", Side.BUY, 460_000, 40))
    outcomes = [(decision.outcome, decision.instrument) for decision in model.decisions.latest]
    assert outcomes == [("proposed", LATER_YES), ("approved", YES)]
    assert model.decisions.latest[-1].reasons == ("edge 0.054, fair 0.531", "breakout z 2.4")


def test_halts_and_alerts_come_and_go() -> None:
    model = ViewModel()
    player = Player(model)
    player.put(halt("lunch"), alert("book_gapped", Severity.WARNING), alert("stuck_order", Severity.CRITICAL))
    player.put(alert("unknown_order", Severity.CRITICAL))
    assert model.halt_reason == "lunch"
    assert [a.rule for a in model.active_alerts()] == ["unknown_order", "stuck_order", "book_gapped"]
    player.put(Command(verb=Verb.RESUME, nonce="n", expires_at=0))
    player.put(alert("stuck_order", Severity.CRITICAL, active=False))
    assert model.halt_reason == ""
    assert [a.rule for a in model.active_alerts()] == ["unknown_order", "book_gapped"]
    player.put(halt("lunch"), Command(verb=Verb.RESUME, nonce="n", expires_at=0, close_only=True))
    assert model.halt_reason == "resumed for exits only by the operator"


def test_unknown_orders_and_open_orders_follow_execution() -> None:
    model = ViewModel()
    player = Player(model)
    player.put(approval("o1", Side.BUY, 460_000, 40), update("o1", OrderStatus.UNKNOWN))
    assert model.unknown_orders == 1
    player.put(update("o1", OrderStatus.REJECTED))
    assert model.unknown_orders == 0
    assert model.orders == {}


def test_markets_are_forgotten_when_they_are_over_and_at_a_new_session() -> None:
    model, player = played()
    assert list(model.market_state.markets) == list(MARKETS)
    player.put(market(0, MarketStatus.SETTLED))
    assert list(model.market_state.markets) == [MARKETS[1]]
    player.put(opening()[0])
    assert model.market_state.markets == {}
    assert model.now == T0


def test_latencies_are_taken_from_cause_to_message() -> None:
    model = ViewModel()
    claim = few_words.claim("o")
    model.on(proposal(), 2, T0 + 3 * MILLISECOND, T0)
    model.on(claim, 3, T0 + 9 * MILLISECOND, T0 + 7 * MILLISECOND, T0)
    assert model.latencies.percentiles("signal") == (3 * MILLISECOND, 3 * MILLISECOND)
    assert model.latencies.percentiles("claim") == (2 * MILLISECOND, 2 * MILLISECOND)
    assert model.latencies.percentiles(WHOLE_WAY) == (9 * MILLISECOND, 9 * MILLISECOND)
    assert model.latencies.percentiles("venue") is None


def test_percentiles_are_by_nearest_rank() -> None:
    latencies = Latencies()
    for value in range(1, 101):
        latencies.add("risk", value)
    assert latencies.percentiles("risk") == (50, 99)
    latencies.add("one", 7)
    assert latencies.percentiles("one") == (7, 7)


@given(st.integers(1, 20_000), st.integers(1, 90))
def test_the_equity_curve_spans_the_session_in_bounded_memory(count: int, step_s: int) -> None:
    curve = EquityHistory()
    for index in range(count):
        curve.add(index * step_s * SECOND, index)
    points = curve.points
    assert len(points) <= EQUITY_POINTS_MAX
    assert points[0] == (0, 0)
    assert points[-1] == ((count - 1) * step_s * SECOND, count - 1)
    assert all(a.at < b.at for a, b in pairwise(points))


def test_a_long_session_takes_bounded_memory() -> None:
    model = ViewModel()
    player = Player(model)
    player.put(*opening())
    for number in range(3_000):
        name = f"kalshi:M{number}:yes"
        player.put(book(name, 400_000, 500_000), trade(number * ONE), clock(number))
        player.put(approval(f"o{number}", Side.BUY, 460_000, 1), alert("r", Severity.INFO, f"t{number}"))
        failed = (Check(f"check{number}", 0, 1, passed=False),)
        player.put(
            Rejection(
                strategy="s",
                market="m",
                instrument=name,
                side=Side.BUY,
                price=1,
                proposal="p",
                failed=failed,
            )
        )
    assert len(model.market_state.tops) <= market_state.INSTRUMENTS_MAX
    assert len(model.orders) <= 1_000
    assert len(model.alerts) <= 256
    assert len(model.decisions.latest) == history.DECISIONS_MAX
    assert len(model.tally.reasons) == REASONS_MAX
    assert len(model.equity_history.points) <= EQUITY_POINTS_MAX


def test_risk_states_are_taken_from_its_reports() -> None:
    model = ViewModel()
    Player(model).put(report(0, 0, RiskState.CLOSE_ONLY))
    assert model.money.risk_state is RiskState.CLOSE_ONLY
    assert model.money.exposure_limit == 200 * ONE


def test_money_and_prices_are_rounded_right() -> None:
    assert wording.money(1_234_565_000) == "$1,234.57"
    assert wording.money(-4_999) == "$0.00"
    assert wording.money(-5_000) == "−$0.01"
    assert wording.money(5_000, signed=True) == "+$0.01"
    assert wording.money(0, signed=True) == "$0.00"
    assert wording.price(450_000) == "0.45"
    assert wording.price(465_000) == "0.465"
    assert wording.price(999_999) == "1.00"
    assert wording.price(100) == "0.0001"
    assert wording.price(None) == "–"
    assert wording.level(104_233_510_000) == "104,233.51"
    assert wording.quantity(1_500_000) == "1.5"
    assert wording.quantity(250_000 * ONE) == "250k"
    assert wording.percent(100_000, 9_200_000) == "+1.1 %"
    assert wording.percent(-1, 9_200_000) == "0.0 %"
    assert wording.percent(1, 0) == "–"


def test_times_are_short() -> None:
    assert wording.duration(-1) == "over"
    assert wording.duration(59 * SECOND) == "59s"
    assert wording.duration(723 * SECOND) == "12m03"
    assert wording.duration(3_900 * SECOND) == "1h05"
    assert wording.duration(273_600 * SECOND) == "3d04"
    assert wording.latency(420_000) == "0.42 ms"
    assert wording.latency(9_996_000) == "10.0 ms"
    assert wording.latency(250 * MILLISECOND) == "250 ms"
    assert wording.latency(12 * SECOND) == "12.0 s"


@given(st.text(max_size=60), st.integers(0, 40))
def test_names_are_cut_and_harmless(text: str, width: int) -> None:
    cut = wording.shorten(text, width)
    assert len(cut) <= width
    assert cut.isprintable()


def test_instruments_keep_what_tells_them_apart() -> None:
    assert wording.instrument("kalshi:KXBTC15M-26MAY131800-00:yes", 40) == "KXBTC15M-26MAY131800-00 YES"
    assert wording.instrument("kalshi:KXBTC15M-26MAY131800-00:no", 20) == "KXBTC15M…31800-00 NO"
    assert wording.instrument("coinbase:BTC-USD", 20) == "BTC-USD"


def window(status: MarketStatus = MarketStatus.OPEN) -> Market:
    name = "polymarket:0x7bd3511f062bfd4a"
    return Market(
        market=name,
        venue="polymarket",
        at=T0,
        status=status,
        outcomes=(Outcome("up", f"{name}:up"), Outcome("down", f"{name}:down")),
        title="Bitcoin Up or Down - September 21, 10:15AM-10:20AM ET",
        underlying="binance:BTCUSDT",
        open_at=1_790_000_100 * SECOND,
        close_at=1_790_000_400 * SECOND,
    )


def test_markets_have_names_for_people_also_after_their_end() -> None:
    model = ViewModel()
    player = Player(model)
    player.put(*opening(), window())
    assert model.market_state.name("polymarket:0x7bd3511f062bfd4a:down", 40) == "BTC 5m to 14:20Z DOWN"
    assert model.market_state.name(YES, 40) == "KXBTC15M-26MAY131800-00 YES"
    player.put(window(MarketStatus.SETTLED))
    assert model.market_state.name("polymarket:0x7bd3511f062bfd4a:up", 40) == "BTC 5m to 14:20Z UP"
    assert model.market_state.name("polymarket:0xffff:up", 40) == "0xffff UP"
    question = window().replace(title="Will it\x1b rain?", outcomes=())
    assert wording.market(question) == "Will it· rain?"


def test_the_account_of_one_more_venue_is_no_profit() -> None:
    model = ViewModel()
    player = Player(model)
    player.put(*opening(), clock(1), clock(2))
    player.put(Account(account_id="b", venue="polymarket", deposit=500 * ONE, at=T0), clock(3))
    assert (model.equity, model.profit) == (1_500 * ONE, 0)
    assert {point.equity for point in model.equity_history.points} == {1_500 * ONE}
