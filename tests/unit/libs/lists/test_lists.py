"""Lists are folds: every order ends in one state, trades add up to the portfolio's cash, names stand for one thing."""

from hypothesis import given
from hypothesis import strategies as st

from libs.lists.alerts import alert_list, worst_first
from libs.lists.books import Books
from libs.lists.orders import OrderList
from libs.lists.reading import Entry
from libs.tape.record import TapeRecord
from libs.view.names import candidates, matching_orders, short_id
from proto.execution import OrderStatus, OrderUpdate
from proto.feed import Side
from proto.monitor import Alert, Severity
from proto.risk import Approval, Check, Pending, Rejection
from proto.units import ONE
from proto.venue import Fill, Settlement
from tests.support import few_words
from tests.support.few_words import MARKET, YES


def entries(*messages) -> list[Entry]:
    return [
        (TapeRecord(seq, message.subject(), {}, b"", seq), message)
        for seq, message in enumerate(messages, start=1)
    ]


def pending(number: int) -> Pending:
    return Pending(
        order=f"t-{number}-0",
        strategy="s",
        market=MARKET,
        instrument=YES,
        side=Side.BUY,
        price=ONE // 2,
        quantity=ONE,
        expires_at=100,
        proposal=f"p{number}",
    )


def approval(number: int, proposal: str) -> Approval:
    return few_words.approval(f"t-{number}-0", strategy="s", expires_at=100, proposal=proposal)


def rejection(proposal: str, check: str) -> Rejection:
    failed = (Check(check, 0, 0, passed=False),)
    return Rejection(
        strategy="s", market=MARKET, instrument=YES, side=Side.BUY, price=1, proposal=proposal, failed=failed
    )


def update(number: int, status: OrderStatus, filled: int = 0) -> OrderUpdate:
    return few_words.update(f"t-{number}-0", status, strategy="s", filled=filled)


def fill(number: int, side: Side, price: int, quantity: int, fee: int = 0) -> Fill:
    return few_words.fill(
        f"f{number}",
        f"t-{number}-0",
        strategy="s",
        side=side,
        price=price,
        quantity=quantity,
        fee=fee,
        at=number,
    )


def test_what_became_of_orders_that_waited():
    found = OrderList().add(
        entries(
            *(pending(number) for number in range(1, 6)),
            approval(9, "p1"),
            update(9, OrderStatus.FILLED, ONE),
            rejection("p2", "operator"),
            rejection("p3", "time_to_expiry_s"),
            rejection("p4", "price_collar"),
        )
    )
    states = {short_id(row.order): row.status for row in found.rows.values()}
    assert states == {
        "1-0": "approved by you",
        "2-0": "denied",
        "3-0": "lapsed",
        "4-0": "rejected",
        "5-0": "pending",
        "9-0": "filled",
    }
    assert found.rows["t-1-0"].became == "t-9-0"
    assert [row.order for row in found.waiting()] == ["t-5-0"]
    assert [row.order for row in found.rows.values() if row.is_open] == ["t-5-0"]


@given(
    st.lists(
        st.tuples(st.sampled_from(Side), st.integers(1, ONE), st.integers(1, 50), st.integers(-100, 9_999)),
        max_size=30,
    ),
    st.integers(0, ONE),
)
def test_closed_trades_add_up_to_the_cash(drawn, payout):
    fills = [
        fill(number, side, price, quantity * ONE, fee)
        for number, (side, price, quantity, fee) in enumerate(drawn, start=1)
    ]
    settled = Settlement(market=MARKET, instrument=YES, price=payout, at=1_000, settlement_id="s")
    books = Books().add(entries(*fills, settled, *fills))
    assert len(books.fills) == len(fills), "a fill counts once"
    assert sum(trade.profit for trade in books.trades()) == books.portfolio.cash
    assert all(trade.opened_at <= trade.closed_at for trade in books.trades())


def test_an_alert_is_over_when_it_says_so():
    raised = [
        Alert(rule="halt", severity=Severity.CRITICAL, topic="trading", text="x", active=active)
        for active in (True, False, True)
    ]
    other = Alert(rule="silent_feed", severity=Severity.WARNING, topic="a", text="y")
    rows = alert_list(entries(*raised, other))
    assert [row.over_at for row in rows] == [2, 0, 0]
    assert [row.alert.rule for row in worst_first(rows)] == ["halt", "silent_feed"]


def test_a_name_stands_for_the_order_it_is_or_begins():
    orders = ["t-12-0", "t-123-0", "t-123-1", "u-7-0"]
    assert matching_orders("12-0", orders) == ["t-12-0"]
    assert matching_orders("t-123-1", orders) == ["t-123-1"]
    assert matching_orders("123", orders) == ["t-123-0", "t-123-1"]
    assert matching_orders("u", orders) == ["u-7-0"]
    assert matching_orders("9", orders) == []
    assert short_id("odd") == "odd"
    assert candidates(map(str, range(12))).endswith(" and 2 more")
