"""The limit order book against a slow one written from the rules, and the laws both must keep."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.exchange.matching import LimitOrderBook, leg_of
from libs.exchange.matching_types import LimitOrder, MatchKind, OrderState, Placement, Reason, SelfTrade
from proto.feed import Level, Side
from proto.risk import TimeInForce
from proto.units import ONE

CENT = ONE // 100


def order(order_id="a", side=Side.BUY, price=50, quantity=10, outcome=0, owner="ann", **more):
    return LimitOrder(
        order_id=order_id,
        owner=owner,
        outcome=outcome,
        side=side,
        price=price * CENT,
        quantity=quantity * ONE,
        **more,
    )


def place(book: LimitOrderBook, *args, self_trade=SelfTrade.ALLOW, **more) -> Placement:
    return book.place(order(*args, **more), self_trade)


# ── examples: Polymarket's mirror ───────────────────────────────────────────────────────────────────


def test_buying_up_meets_buying_down_and_a_pair_is_minted():
    book = LimitOrderBook()
    place(book, "up", Side.BUY, 37, 10)
    done = place(book, "down", Side.BUY, 63, 4, outcome=1, owner="bob")
    (match,) = done.matches
    assert match.kind is MatchKind.MINT
    assert (match.maker.price, match.taker.price) == (37 * CENT, 63 * CENT)
    assert (match.maker.outcome, match.taker.outcome) == (0, 1)
    assert match.maker.price + match.taker.price == ONE
    assert done.state is OrderState.FILLED
    assert book.levels()[0] == (Level(37 * CENT, 6 * ONE),)
    assert book.levels(1)[1] == (Level(63 * CENT, 6 * ONE),)


def test_selling_up_meets_selling_down_and_a_pair_is_merged():
    book = LimitOrderBook()
    place(book, "up", Side.SELL, 40, 10)
    (match,) = place(book, "down", Side.SELL, 55, 10, outcome=1, owner="bob").matches
    assert match.kind is MatchKind.MERGE
    # Down SELL at 0.55 is Up BUY at 0.45; the maker's 0.40 counts, so the taker gets 0.60.
    assert (match.maker.price, match.taker.price) == (40 * CENT, 60 * CENT)


def test_the_same_outcome_changes_hands_at_the_makers_price():
    book = LimitOrderBook()
    place(book, "ask", Side.SELL, 52, 10)
    (match,) = place(book, "bid", Side.BUY, 60, 10, owner="bob").matches
    assert match.kind is MatchKind.COMPLEMENTARY
    assert match.taker.price == match.maker.price == 52 * CENT


def test_an_order_is_seen_in_both_books():
    book = LimitOrderBook()
    done = place(book, "up", Side.BUY, 37, 10)
    assert book.best(0) == (37 * CENT, None)
    assert book.best(1) == (None, 63 * CENT)
    assert book.total(Side.SELL, 63 * CENT, outcome=1) == 10 * ONE
    assert [(c.side, c.price, c.quantity) for c in done.changes] == [(Side.BUY, 37 * CENT, 10 * ONE)]


def test_time_decides_at_one_price_across_outcomes():
    book = LimitOrderBook()
    place(book, "first", Side.SELL, 63, 5, outcome=1, owner="ann")
    place(book, "second", Side.BUY, 37, 5, owner="bob")
    done = place(book, "taker", Side.SELL, 30, 7, owner="cat")
    assert [m.maker.order_id for m in done.matches] == ["first", "second"]
    assert [m.quantity for m in done.matches] == [5 * ONE, 2 * ONE]


@pytest.mark.parametrize(
    ("time_in_force", "post_only", "quantity", "state", "reason"),
    [
        (TimeInForce.GTC, False, 8, OrderState.RESTING, ""),
        (TimeInForce.GTC, True, 1, OrderState.REJECTED, Reason.CROSSES),
        (TimeInForce.IOC, False, 8, OrderState.CANCELLED, Reason.IOC_UNFILLED),
        (TimeInForce.FOK, False, 8, OrderState.REJECTED, Reason.FOK_UNFILLED),
        (TimeInForce.FOK, False, 5, OrderState.FILLED, ""),
    ],
)
def test_time_in_force(time_in_force, post_only, quantity, state, reason):
    book = LimitOrderBook()
    place(book, "ask", Side.SELL, 50, 5)
    done = place(
        book, "t", Side.BUY, 50, quantity, owner="bob", time_in_force=time_in_force, post_only=post_only
    )
    assert (done.state, done.reason) == (state, reason)
    matched = sum(m.quantity for m in done.matches)
    assert matched == (0 if state is OrderState.REJECTED else 5 * ONE)


def test_what_cannot_match_at_once_is_refused_for_immediate_or_cancel():
    done = place(LimitOrderBook(), time_in_force=TimeInForce.IOC)
    assert (done.state, done.reason) == (OrderState.REJECTED, Reason.IOC_UNFILLED)


@pytest.mark.parametrize(
    ("policy", "state", "removed", "matched"),
    [
        (SelfTrade.ALLOW, OrderState.FILLED, [], ["mine"]),
        (SelfTrade.CANCEL_TAKER, OrderState.CANCELLED, [], []),
        (SelfTrade.CANCEL_MAKER, OrderState.FILLED, ["mine"], ["theirs"]),
    ],
)
def test_meeting_oneself(policy, state, removed, matched):
    book = LimitOrderBook()
    place(book, "mine", Side.SELL, 50, 5)
    place(book, "theirs", Side.SELL, 51, 5, owner="bob")
    done = place(book, "taker", Side.BUY, 51, 5, self_trade=policy)
    assert done.state is state
    assert [o.order_id for o in done.removed] == removed
    assert [m.maker.order_id for m in done.matches] == matched


def test_all_or_nothing_does_not_count_own_orders_that_would_give_way():
    book = LimitOrderBook()
    place(book, "mine", Side.SELL, 50, 5)
    place(book, "theirs", Side.SELL, 51, 5, owner="bob")
    done = place(
        book,
        "t",
        Side.BUY,
        51,
        6,
        time_in_force=TimeInForce.FOK,
        self_trade=SelfTrade.CANCEL_MAKER,
    )
    assert done.reason == Reason.FOK_UNFILLED
    assert book.order("mine") is not None


def test_expiry_takes_what_is_due_and_nothing_else():
    book = LimitOrderBook()
    place(book, "due", price=40, time_in_force=TimeInForce.GTD, expires_at=100)
    place(book, "later", price=41, time_in_force=TimeInForce.GTD, expires_at=101)
    place(book, "never", price=42)
    assert [o.order_id for o in book.expire(100).orders] == ["due"]
    assert [o.order_id for o in book.orders()] == ["later", "never"]


def test_a_smaller_order_keeps_its_place():
    book = LimitOrderBook()
    place(book, "first", quantity=10)
    place(book, "second", quantity=10)
    book.reduce("first", 2 * ONE)
    done = place(book, "t", Side.SELL, 50, 3, owner="bob")
    assert [(m.maker.order_id, m.quantity) for m in done.matches] == [("first", 2 * ONE), ("second", ONE)]
    with pytest.raises(ValueError, match="expected at most"):
        book.reduce("second", 99 * ONE)


def test_an_id_rests_once():
    book = LimitOrderBook()
    place(book, "a")
    assert place(book, "a", price=51).reason == Reason.DUPLICATE


@pytest.mark.parametrize("wrong", [{"price": 0}, {"price": 100}, {"quantity": 0}, {"outcome": 2}])
def test_impossible_orders_are_errors(wrong):
    with pytest.raises(ValueError, match="expected"):
        place(LimitOrderBook(), **wrong)


# ── properties ──────────────────────────────────────────────────────────────────────────────────────

ACTIONS = st.one_of(
    st.tuples(
        st.just("place"),
        st.sampled_from(["ann", "bob", "cat"]),
        st.integers(0, 1),
        st.sampled_from(list(Side)),
        st.integers(44, 56),
        st.integers(1, 9),
        st.sampled_from([TimeInForce.GTC, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK]),
        st.booleans(),
        st.sampled_from(list(SelfTrade)),
    ),
    st.tuples(st.just("cancel"), st.integers(0, 40)),
    st.tuples(st.just("reduce"), st.integers(0, 40), st.integers(0, 9)),
)


class Slow:
    """The same rules over one list, sorted anew for each order."""

    def __init__(self):
        self.resting = []

    def place(self, o, policy):
        side, price = leg_of(o.outcome, o.side, o.price)
        makers = [
            m
            for m in self.resting
            if m["side"] != side and (price >= m["price"] if side is Side.BUY else price <= m["price"])
        ]
        makers.sort(key=lambda m: m["price"] if side is Side.BUY else -m["price"])
        if o.post_only and makers:
            return []
        done, want, stopped = [], o.quantity, False
        for maker in makers:
            if not want:
                break
            if maker["owner"] == o.owner and policy is not SelfTrade.ALLOW:
                if policy is SelfTrade.CANCEL_TAKER:
                    stopped = True
                    break
                done.append((maker, 0))
                continue
            quantity = min(want, maker["left"])
            done.append((maker, quantity))
            want -= quantity
        if want and o.time_in_force is TimeInForce.FOK:
            return []
        # Immediate orders that find nobody are refused before own makers would give way; the same here,
        # because without a crossing maker there is none to give way either.
        for maker, quantity in done:
            maker["left"] -= quantity
            if not maker["left"] or not quantity:
                self.resting.remove(maker)
        if want and not stopped and o.time_in_force is TimeInForce.GTC:
            self.resting.append(
                {"id": o.order_id, "owner": o.owner, "side": side, "price": price, "left": want}
            )
        return [(m["id"], q, m["price"]) for m, q in done if q]


@given(st.lists(ACTIONS, max_size=40))
def test_the_book_does_what_the_rules_say(actions):
    book, slow = LimitOrderBook(), Slow()
    ladder: dict[tuple[Side, int], int] = {}
    for number, action in enumerate(actions):
        if action[0] == "place":
            _, owner, outcome, side, price, quantity, tif, post_only, policy = action
            o = order(
                str(number), side, price, quantity, outcome, owner, time_in_force=tif, post_only=post_only
            )
            expected = slow.place(o, policy)
            done = book.place(o, policy)
            changes = done.changes
            assert [
                (m.maker.order_id, m.quantity, leg_of(m.maker.outcome, m.maker.side, m.maker.price)[1])
                for m in done.matches
            ] == expected
            check_matches(done, o)
        else:
            target = str(action[1])
            if action[0] == "cancel":
                changes = book.cancel(target).changes
                slow.resting = [m for m in slow.resting if m["id"] != target]
            else:
                resting = book.order(target)
                if resting is None or action[2] * ONE > resting.quantity:
                    continue
                changes = book.reduce(target, action[2] * ONE).changes
                for m in [m for m in slow.resting if m["id"] == target]:
                    m["left"] = resting.quantity - resting.filled if book.order(target) else 0
                slow.resting = [m for m in slow.resting if m["left"]]
        for change in changes:
            ladder[change.side, change.price] = change.quantity
        check_book(book, slow, {k: v for k, v in ladder.items() if v})


def check_matches(done, o):
    assert o.filled == sum(m.quantity for m in done.matches) <= o.quantity
    for m in done.matches:
        same = m.taker.outcome == m.maker.outcome
        assert (m.taker.price == m.maker.price) if same else (m.taker.price + m.maker.price == ONE)
        assert same == (m.taker.side is not m.maker.side)
        limit = o.price
        assert m.taker.price <= limit if o.side is Side.BUY else m.taker.price >= limit
    if o.time_in_force is TimeInForce.FOK:
        assert o.filled in (0, o.quantity)
    if o.post_only:
        assert not done.matches


def check_book(book, slow, ladder):
    bids, asks = book.levels()
    assert {(Side.BUY, x.price): x.quantity for x in bids} | {
        (Side.SELL, x.price): x.quantity for x in asks
    } == ladder
    totals: dict[tuple[Side, int], int] = {}
    for m in slow.resting:
        totals[m["side"], m["price"]] = totals.get((m["side"], m["price"]), 0) + m["left"]
    assert totals == ladder
    bid, ask = book.best()
    assert bid is None or ask is None or bid < ask
    assert [x.price for x in bids] == sorted((x.price for x in bids), reverse=True)
    assert [x.price for x in asks] == sorted(x.price for x in asks)
    # The second outcome's book is the mirror.
    mirror_bids, mirror_asks = book.levels(1)
    assert mirror_bids == tuple(Level(ONE - x.price, x.quantity) for x in asks)
    assert mirror_asks == tuple(Level(ONE - x.price, x.quantity) for x in bids)
