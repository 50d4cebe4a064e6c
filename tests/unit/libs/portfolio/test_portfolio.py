"""The portfolio fold: exact, each thing once, and what is taken back never was."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from libs.portfolio import portfolio as module
from libs.portfolio.portfolio import Portfolio
from proto.execution import Query
from proto.feed import Side
from proto.message import Message
from proto.units import ONE, notional
from proto.venue import Account, Correction, Fill, Settlement

MARKETS = ("kalshi:A", "kalshi:B")


def fill(
    number: int,
    side: Side = Side.BUY,
    price: int = 450_000,
    quantity: int = 10 * ONE,
    *,
    market: str = "kalshi:A",
    outcome: str = "yes",
    fee: int = 0,
) -> Fill:
    return Fill(
        fill_id=f"fill:paper:t-1-0:{number}",
        order="t-1-0",
        market=market,
        instrument=f"{market}:{outcome}",
        strategy="momentum",
        side=side,
        price=price,
        quantity=quantity,
        fee=fee,
    )


def deposit(name: str, amount: int) -> Account:
    return Account(account_id=name, venue="paper", deposit=amount)


def settlement(market: str, outcome: str, price: int, name: str = "") -> Settlement:
    instrument = f"{market}:{outcome}"
    return Settlement(
        settlement_id=f"settlement:{instrument}:{name or price}",
        market=market,
        instrument=instrument,
        price=price,
    )


def correction(number: int, name: str = "c") -> Correction:
    return Correction(correction_id=f"{name}{number}", fill_id=f"fill:paper:t-1-0:{number}", order="t-1-0")


def folded(events: list[Message]) -> Portfolio:
    portfolio = Portfolio()
    for event in events:
        portfolio.apply(event)
    return portfolio


def missed_identity(portfolio: Portfolio) -> int:
    cost = sum(position.cost for _, _, position in portfolio.open_positions())
    return portfolio.cash - (portfolio.deposits + portfolio.realised_profit - portfolio.fees - cost)


PRICES = st.integers(1, ONE - 1)
QUANTITIES = st.integers(1, 500 * ONE)


@st.composite
def fills(draw: st.DrawFn, sides: tuple[Side, ...] = (Side.BUY, Side.SELL)) -> list[Fill]:
    count = draw(st.integers(0, 12))
    return [
        fill(
            number,
            draw(st.sampled_from(sides)),
            draw(PRICES),
            draw(QUANTITIES),
            market=draw(st.sampled_from(MARKETS)),
            outcome=draw(st.sampled_from(("yes", "no"))),
            fee=draw(st.integers(-10_000, 50_000)),
        )
        for number in range(count)
    ]


@st.composite
def histories(draw: st.DrawFn) -> list[Message]:
    """Fills, corrections, settlements and deposits in any order, with repetitions."""
    made = draw(fills())
    events: list[Message] = [*made]
    events += [correction(n) for n in draw(st.lists(st.integers(0, 14), max_size=5))]
    events += [
        settlement(market, outcome, draw(st.sampled_from((0, ONE, ONE // 2, 333_333))))
        for market in draw(st.lists(st.sampled_from(MARKETS), max_size=3))
        for outcome in ("yes", "no")
    ]
    events += [deposit(f"d{n}", draw(st.integers(-ONE, 1_000 * ONE))) for n in range(draw(st.integers(0, 3)))]
    events += draw(st.lists(st.sampled_from(events), max_size=6)) if events else []
    return draw(st.permutations(events))


def test_buys_and_sells_to_the_millionth():
    portfolio = folded([deposit("d", 1_000 * ONE), fill(1, price=400_000, fee=1_700), fill(2, price=500_000)])
    position = portfolio.position("kalshi:A:yes")
    assert position is not None
    assert (position.quantity, position.cost, position.entry_price) == (20 * ONE, 9 * ONE, 450_000)
    portfolio.apply(fill(3, Side.SELL, price=600_000, quantity=5 * ONE, fee=900))
    assert portfolio.realised_profit == 3 * ONE - 2_250_000
    assert portfolio.fees == 2_600
    assert portfolio.cash == 1_000 * ONE - 9 * ONE + 3 * ONE - 2_600
    assert portfolio.equity({"kalshi:A:yes": 600_000}) == portfolio.cash + 9 * ONE
    assert portfolio.equity({}) == portfolio.cash + 6_750_000
    assert portfolio.exposure() == 6_750_000


def test_a_sale_beyond_the_position_opens_a_short_one():
    portfolio = folded([fill(1, price=400_000), fill(2, Side.SELL, price=700_000, quantity=15 * ONE)])
    position = portfolio.position("kalshi:A:yes")
    assert position is not None
    assert (position.quantity, position.cost) == (-5 * ONE, -3_500_000)
    assert portfolio.realised_profit == 3 * ONE
    assert portfolio.exposure() == 5 * ONE - 3_500_000
    assert missed_identity(portfolio) == 0


def test_settlement_pays_once_and_a_late_fill_is_paid_too():
    portfolio = folded([fill(1, price=400_000), settlement("kalshi:A", "yes", ONE)])
    assert portfolio.cash == portfolio.realised_profit == 6 * ONE
    assert not portfolio.apply(settlement("kalshi:A", "yes", ONE))
    assert portfolio.apply(fill(2, price=900_000))
    assert portfolio.cash == portfolio.realised_profit == 7 * ONE
    assert not portfolio.open


def test_a_market_resolved_anew_is_paid_anew():
    portfolio = folded([fill(1, price=400_000, fee=1_000), settlement("kalshi:A", "yes", ONE)])
    assert portfolio.apply(settlement("kalshi:A", "yes", 0))
    assert (portfolio.realised_profit, portfolio.cash) == (-4 * ONE, -4 * ONE - 1_000)
    assert not portfolio.apply(settlement("kalshi:A", "yes", 0))
    assert not portfolio.apply(settlement("kalshi:A", "yes", 0, "again"))
    assert not portfolio.apply(settlement("kalshi:A", "yes", ONE))
    assert portfolio.apply(settlement("kalshi:A", "yes", 830_000))
    only_last = folded([fill(1, price=400_000, fee=1_000), settlement("kalshi:A", "yes", 830_000)])
    assert portfolio.digest() == only_last.digest()


def test_other_messages_are_not_folded():
    assert not Portfolio().apply(Query(order="t-1-0"))


@given(fills())
def test_position_is_the_sum_of_fills(events):
    portfolio = folded([*events])
    sums: dict[str, int] = {}
    for event in events:
        signed = event.quantity if event.side is Side.BUY else -event.quantity
        sums[event.instrument] = sums.get(event.instrument, 0) + signed
    assert {name: quantity for name, quantity in sums.items() if quantity} == {
        name: position.quantity for _, name, position in portfolio.open_positions()
    }
    for name, quantity in sums.items():
        assert portfolio.quantity(name) == quantity


@given(histories())
def test_cash_is_always_accounted_for(events):
    portfolio = Portfolio()
    for event in events:
        portfolio.apply(event)
        assert missed_identity(portfolio) == 0
        assert portfolio.fees == sum(
            p.fees for led in portfolio.ledgers.values() for p in led.positions.values()
        )
        for _, name, position in portfolio.open_positions():
            assert position.quantity * position.cost >= 0, name
            assert position.worst_loss >= 0


@given(histories())
def test_cash_is_the_flow_of_money(events):
    """Against a count that knows nothing of positions: money paid, received, deposited and settled."""
    portfolio = folded(events)
    undone = {e.fill_id for e in events if isinstance(e, Correction)}
    done = {e.fill_id: e for e in events if isinstance(e, Fill) and e.fill_id not in undone}
    cash = sum({e.account_id: e.deposit for e in events if isinstance(e, Account)}.values())
    held: dict[str, int] = {}
    for event in done.values():
        sign = 1 if event.side is Side.BUY else -1
        cash -= sign * notional(event.price, event.quantity) + event.fee
        held[event.instrument] = held.get(event.instrument, 0) + sign * event.quantity
    # Each once, and what came last holds: an earlier one is a result that the venue took back.
    paid: dict[str, int] = {}
    seen: set[str] = set()
    for event in events:
        if isinstance(event, Settlement) and event.settlement_id not in seen:
            seen.add(event.settlement_id)
            paid[event.instrument] = event.price
    for instrument, price in paid.items():
        quantity = held.get(instrument, 0)
        value = notional(price, abs(quantity))
        cash += value if quantity > 0 else -value
    assert portfolio.cash == cash


@given(histories(), st.data())
def test_repetitions_change_nothing(events, data):
    portfolio = folded(events)
    before = portfolio.digest()
    for event in data.draw(st.permutations(events)):
        assert not portfolio.apply(event)
    assert portfolio.digest() == before


@given(fills(), st.data())
def test_a_corrected_fill_never_was(events, data):
    wrong = data.draw(st.sets(st.sampled_from([e.fill_id for e in events]))) if events else set()
    taken_back = [
        Correction(correction_id=f"c:{fill_id}", fill_id=fill_id, order="t-1-0") for fill_id in sorted(wrong)
    ]
    mixed = data.draw(st.permutations(taken_back))
    # Corrections anywhere, before or after their fill, as long as fills keep their order.
    stream: list[Message] = [*events]
    for event in mixed:
        stream.insert(data.draw(st.integers(0, len(stream))), event)
    without = folded([event for event in events if event.fill_id not in wrong])
    assert folded(stream).digest() == without.digest()


@given(fills(sides=(Side.BUY,)), st.data())
def test_the_order_of_buys_does_not_matter(events, data):
    assert folded([*events]).digest() == folded([*data.draw(st.permutations(events))]).digest()


@given(histories(), st.data())
def test_a_restored_portfolio_goes_on_the_same(events, data):
    cut = data.draw(st.integers(0, len(events)))
    whole = folded(events)
    half = folded(events[:cut])
    restored = msgspec.msgpack.decode(msgspec.msgpack.encode(half), type=Portfolio)
    for event in events[cut:]:
        restored.apply(event)
    assert restored == whole
    assert restored.digest() == whole.digest()


@given(histories())
def test_the_digest_tells_different_books_apart(events):
    portfolio = folded(events)
    before = portfolio.digest()
    portfolio.apply(deposit("one more", 1))
    assert portfolio.digest() != before


def test_memory_is_bounded_and_repetitions_stay_repetitions(monkeypatch):
    monkeypatch.setattr(module, "SETTLED_MARKETS_MAX", 3)
    portfolio = Portfolio()
    for n in range(10):
        market = f"kalshi:M{n}"
        assert portfolio.apply(fill(n, market=market))
        assert portfolio.apply(settlement(market, "yes", ONE))
    assert len(portfolio.ledgers) == 3
    before = portfolio.digest()
    for n in range(10):
        assert not portfolio.apply(fill(n, market=f"kalshi:M{n}"))
        assert not portfolio.apply(settlement(f"kalshi:M{n}", "yes", ONE))
    assert portfolio.digest() == before
