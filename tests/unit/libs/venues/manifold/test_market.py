"""Manifold's pool as a ladder, and its frames as messages."""

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from libs.venues.frame import FrameError, rest_frame
from libs.venues.manifold.market_data.amm import Pool
from libs.venues.manifold.market_data.normalise import ManifoldNormaliser
from proto.feed import Book, Gap, Level, Market, MarketStatus, Quote, Side, Trade
from proto.units import MILLISECOND, ONE, SECOND
from tests.support.normalised import normalised, ticked

AT = 1_790_000_000 * SECOND
NOW_MS = AT // MILLISECOND
YES, NO = "manifold:abc:yes", "manifold:abc:no"

POOLS = st.builds(Pool, st.floats(1, 1e5), st.floats(1, 1e5), st.floats(0.05, 0.95))


def shares_for(pool: Pool, amount: float) -> float:
    """The venue's formula as the venue writes it: docs/reference/venue-facts.md, Manifold pool."""
    y, n, p = pool.yes, pool.no, pool.weight
    k = y**p * n ** (1 - p)
    return y + amount - (k * (amount + n) ** (p - 1)) ** (1 / p)


class TestPool:
    @given(POOLS, st.floats(0.01, 0.99))
    def test_a_bet_to_a_probability_keeps_the_pools_invariant(self, pool, probability):
        after = pool.at(probability)
        assert after.probability == pytest.approx(probability, rel=1e-9)

        def k(pool: Pool) -> float:
            return pool.yes**pool.weight * pool.no ** (1 - pool.weight)

        assert k(after) == pytest.approx(k(pool), rel=1e-9)

    @given(POOLS, st.integers(1, 99))
    def test_the_ladder_is_what_the_venues_formula_gives(self, pool, step):
        assume(pool.probability < step / 100 - 1e-6)
        steps = [quantity for price, quantity in pool.asks(100) if price <= step * 10_000]
        amount = pool.at(step / 100).no - pool.no
        expected = shares_for(pool, amount) * ONE
        assert expected * (1 - 1e-6) - 200 <= sum(steps) <= expected * (1 + 1e-9) + 1
        assert pool.bought(amount) * ONE == pytest.approx(expected, rel=1e-6, abs=1)

    @given(POOLS)
    def test_nobody_pays_more_than_a_step_says(self, pool):
        spent = 0.0
        for price, _quantity in pool.asks(100):
            reached = pool.at(price / ONE)
            paid = (reached.no - pool.no) - spent
            spent += paid
            shares = shares_for(pool, spent) - shares_for(pool, spent - paid)
            assert paid <= shares * price / ONE * (1 + 1e-6) + 1e-6

    @given(POOLS)
    def test_the_other_outcome_is_the_mirror(self, pool):
        mirrored = pool.mirrored()
        assert mirrored.probability == pytest.approx(1 - pool.probability)
        assert mirrored.mirrored().yes == pool.yes

    @pytest.mark.parametrize(
        "wrong", [(0, 1, 0.5), (1, -1, 0.5), (1, 1, 0.0), (1, 1, 1.0), (1e12, 1, 0.5), (float("nan"), 1, 0.5)]
    )
    def test_what_is_no_pool_is_refused(self, wrong):
        with pytest.raises(FrameError):
            Pool(*wrong)
        with pytest.raises(FrameError):
            Pool(1, 1, 0.5).at(1.0)


def contract(**more: object) -> dict[str, object]:
    return {
        "id": "abc",
        "question": "Will it?",
        "outcomeType": "BINARY",
        "mechanism": "cpmm-1",
        "pool": {"YES": 100.0, "NO": 100},
        "p": 0.5,
        "probability": 0.5,
        "createdTime": NOW_MS - 1_000,
        "closeTime": NOW_MS + 60_000,
        "isResolved": False,
    } | more


def market(**more: object) -> bytes:
    return rest_frame("market", json.dumps(contract(**more)).encode())


def bet(**more: object) -> dict[str, object]:
    return {
        "id": "b1",
        "contractId": "abc",
        "userId": "u",
        "outcome": "YES",
        "amount": 10.0,
        "shares": 19.090909090909093,
        "probBefore": 0.5,
        "probAfter": 0.5475113122171946,
        "createdTime": NOW_MS,
        "isFilled": True,
    } | more


def broadcast(topic: str, *bets: dict) -> bytes:
    return json.dumps({"type": "broadcast", "topic": topic, "data": {"bets": bets}}).encode()


def new_bets(*bets: dict) -> bytes:
    return broadcast("contract/abc/new-bet", *bets)


def test_a_market_body_gives_its_facts_and_a_book_of_the_pool():
    normaliser = ManifoldNormaliser()
    facts, yes_book, no_book, yes_quote, no_quote = normalised(normaliser, market(), AT)
    assert isinstance(facts, Market)
    assert (facts.status, facts.close_at) == (MarketStatus.OPEN, (NOW_MS + 60_000) * MILLISECOND)
    assert [outcome.instrument for outcome in facts.outcomes] == [YES, NO]
    assert isinstance(yes_book, Book)
    assert yes_book.snapshot
    assert [level.price for level in yes_book.asks[:3]] == [510_000, 520_000, 530_000]
    assert [level.price for level in yes_book.bids[:3]] == [490_000, 480_000, 470_000]
    # y·n = 10,000: at 0.51 there are 98.02 YES and 102.02 NO left, so 2.0204 + 1.9804 shares were bought.
    assert yes_book.asks[0].quantity == pytest.approx(4_000_800, abs=100)
    assert no_book.bids == tuple(Level(ONE - a.price, a.quantity) for a in yes_book.asks)
    assert (yes_quote.bid, yes_quote.ask, no_quote.bid, no_quote.ask) == (490_000, 510_000, 490_000, 510_000)
    # The same again is no news.
    assert normalised(normaliser, market(), AT + 1) == []


def test_a_bet_is_a_trade_of_both_outcomes_and_moves_the_book():
    normaliser = ManifoldNormaliser()
    normalised(normaliser, market(), AT)
    out = normalised(normaliser, new_bets(bet()), AT + 1)
    yes, no = out[:2]
    assert yes == Trade(
        instrument=YES, at=AT + 1, trade_id="b1", price=523_810, quantity=19_090_909, aggressor=Side.BUY
    )
    assert (no.price, no.aggressor, no.trade_id) == (476_190, Side.SELL, "b1")
    quotes = [m for m in out if isinstance(m, Quote)]
    assert (quotes[0].bid, quotes[0].ask) == (540_000, 550_000)
    # The socket's other topic and REST tell it again.
    assert normalised(normaliser, broadcast("global/new-bet", bet()), AT + 2) == []
    assert normaliser.old == 1
    [sale, _] = [
        m
        for m in normalised(normaliser, new_bets(bet(id="b2", amount=-5, shares=-10)), AT)
        if m.kind == "feed.trade"
    ]
    assert (sale.price, sale.quantity, sale.aggressor) == (500_000, 10 * ONE, Side.SELL)
    redemption = bet(id="b3", amount=-5, shares=-5, isRedemption=True, probAfter=0.9)
    assert normalised(normaliser, new_bets(redemption), AT) == []


def test_limit_orders_are_part_of_the_book_until_they_are_gone():
    normaliser = ManifoldNormaliser()
    normalised(normaliser, market(), AT)
    # 20 mana rest for NO down to 0.51 of YES: 40.8 shares of YES can be bought there.
    order = bet(id="o1", outcome="NO", amount=0, shares=0, limitProb=0.51, orderAmount=20, isFilled=False)
    order |= {"probAfter": 0.5, "expiresAt": NOW_MS + 5_000}
    out = normalised(normaliser, new_bets(order), AT + 1)
    assert not [m for m in out if isinstance(m, Trade)]
    with_order = out[0].asks[0]
    assert with_order.price == 510_000
    assert with_order.quantity == pytest.approx(4_000_800 + 40_816_326, abs=100)
    # Half of it was filled, as the topic of orders tells.
    half = order | {"amount": 10, "shares": 20.4}
    [book, _] = normalised(normaliser, broadcast("contract/abc/orders", half), AT + 2)
    assert book.asks[0].quantity == pytest.approx(4_000_800 + 20_408_163, abs=100)
    [book, _] = normalised(normaliser, broadcast("contract/abc/orders", half | {"isCancelled": True}), AT + 3)
    assert book.asks[0].quantity == pytest.approx(4_000_800, abs=100)
    listing = rest_frame("open-limit", json.dumps([order]).encode(), contractId="abc")
    [book, _] = normalised(normaliser, listing, AT + 4)
    assert book.asks[0].quantity == with_order.quantity
    [book, _] = normalised(normaliser, rest_frame("open-limit", b"[]", contractId="abc"), AT + 4)
    assert book.asks[0].quantity == pytest.approx(4_000_800, abs=100)
    # An order ends by the clock, without a word.
    normalised(normaliser, listing, AT + 5)
    later = AT + 6 * SECOND
    book = next(m for m in normalised(normaliser, market(), later) if isinstance(m, Book))
    assert book.asks[0].quantity == pytest.approx(4_000_800, abs=100)


def test_a_lost_connection_drops_the_book_until_rest_tells_it_again():
    normaliser = ManifoldNormaliser()
    normalised(normaliser, market(), AT)
    gaps = normalised(normaliser, b'{"type":"_ws_disconnected","msg":{}}', AT + 1)
    assert [(type(gap), gap.instrument) for gap in gaps] == [(Gap, YES), (Gap, NO)]
    assert normalised(normaliser, b'{"type":"_ws_connected","msg":{}}', AT + 2) == []
    assert list(normaliser.wanted_markets) == ["abc"]
    assert [m.kind for m in normalised(normaliser, new_bets(bet()), AT + 3)] == ["feed.trade"] * 2
    books = normalised(normaliser, market(), AT + 4)
    assert [m.snapshot for m in books if isinstance(m, Book)] == [True, True]
    assert not normaliser.wanted_markets
    assert len(normaliser.invalidate("manifold:abc", AT, "stale")) == 2
    assert normaliser.invalidate("manifold:abc", AT, "stale") == []


def test_markets_close_by_the_clock_and_settle_by_their_resolution():
    normaliser = ManifoldNormaliser()
    normalised(normaliser, market(), AT)
    assert ticked(normaliser, AT + 59 * SECOND) == []
    [closed] = ticked(normaliser, AT + 60 * SECOND)
    assert closed.status is MarketStatus.CLOSED
    for resolution, result in [("YES", "yes"), ("NO", "no"), ("MKT", "mkt"), ("CANCEL", "void")]:
        normaliser = ManifoldNormaliser()
        normalised(normaliser, market(), AT)
        resolved = market(isResolved=True, resolution=resolution, resolutionProbability=0.4)
        settled, *gaps = normalised(normaliser, resolved, AT + 1)
        assert (settled.status, settled.result) == (MarketStatus.SETTLED, result)
        assert [type(gap) for gap in gaps] == [Gap, Gap]
        assert not normaliser.wanted_markets
        assert [m.kind for m in normaliser.resend(AT + 2)] == ["feed.market"]


def test_other_kinds_of_markets_and_unknown_topics_are_left_alone():
    normaliser = ManifoldNormaliser()
    many = [
        contract(),
        contract(id="m2", outcomeType="MULTIPLE_CHOICE", mechanism="cpmm-multi-1", pool=146.7),
    ]
    out = normalised(normaliser, rest_frame("search-markets", json.dumps(many).encode()), AT)
    assert {m.market for m in out if isinstance(m, Market)} == {"manifold:abc"}
    assert normalised(normaliser, broadcast("global/new-comment"), AT) == []
    assert normalised(normaliser, new_bets(bet(contractId="other")), AT) == []
    normalised(normaliser, b'{"type":"ack","txid":1,"success":false,"error":"no such topic"}', AT)
    assert normaliser.errors == 1


ODD = {
    "a close after the year 9999 that is text": b'"closeTime":"never"',
    "a created time of the year 9999": b'"createdTime":253402318740000',
    "a pool without end": b'"pool":{"YES":1e300,"NO":1}',
    "a null question": b'"question":null',
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_one_odd_market_does_not_hide_its_page(odd: bytes):
    good = [json.dumps(contract(id=name)).encode() for name in ("good1", "good2")]
    bad = b'{"id":"odd","outcomeType":"BINARY","mechanism":"cpmm-1",' + odd + b"}"
    page = rest_frame("search-markets", b"[" + b",".join([good[0], bad, good[1]]) + b"]")
    normaliser = ManifoldNormaliser()
    for look in range(2):
        told = [m.market for m in normalised(normaliser, page, AT + look) if isinstance(m, Market)]
        assert told == ([] if look else ["manifold:good1", "manifold:good2"])
    (item,) = normaliser.odd_items.latest(9)
    assert (normaliser.odd_items.count, item.kind, item.name) == (1, "market", "odd")
    assert "1 odd rows, last market odd" in normaliser.notes()[0]
    with pytest.raises(FrameError):
        normalised(normaliser, rest_frame("search-markets", b"[" + bad + b"]"), AT)


def test_one_odd_bet_does_not_hide_its_neighbours():
    normaliser = ManifoldNormaliser()
    normalised(normaliser, market(), AT)
    out = normalised(
        normaliser, new_bets(bet(id="b1", shares=1e300), bet(id="b2", outcome=7), bet(id="b3")), AT
    )
    assert {trade.trade_id for trade in out if isinstance(trade, Trade)} == {"b3"}
    assert [item.name for item in normaliser.odd_items.latest(9)] == ["b2", "b1"]


def test_a_close_beyond_the_years_that_can_be_told_is_none():
    for close_ms in (2**43, 2**43 + 1, 253_402_318_740_000, 8_640_000_000_000_000):
        (facts, *_) = normalised(ManifoldNormaliser(), market(closeTime=close_ms), AT)
        assert facts.status is MarketStatus.OPEN
        assert facts.close_at == (close_ms * MILLISECOND if close_ms == 2**43 else 0)


def test_a_market_that_is_opened_again_trades_again_and_a_new_result_is_told():
    normaliser = ManifoldNormaliser()
    normalised(normaliser, market(), AT)
    resolved = {"isResolved": True, "resolution": "YES", "resolutionTime": NOW_MS + 1_000}
    for body, status, books in (
        (market(closeTime=NOW_MS - 1), MarketStatus.CLOSED, 0),
        (market(), MarketStatus.OPEN, 2),
        (market(**resolved), MarketStatus.SETTLED, 0),
        (market(**resolved | {"resolution": "NO"}), MarketStatus.SETTLED, 0),
        (market(), MarketStatus.OPEN, 2),
    ):
        out = normalised(normaliser, body, AT + 2 * SECOND)
        assert [m.status for m in out if isinstance(m, Market)] == [status]
        assert len([m for m in out if isinstance(m, Book) and m.snapshot]) == books
    assert [item.reason for item in normaliser.odd_items.latest(9)] == [
        "was resolved yes and is no now: what was paid is booked anew",
        "was resolved no and is open now: what was paid stands until it is resolved again",
    ]


def test_no_open_market_gives_way_to_another_and_what_ended_first_does(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("libs.venues.manifold.market_data.normalise.MARKETS_MAX", 2)
    normaliser = ManifoldNormaliser()

    def told(name: str, **more: object) -> list[str]:
        return [
            m.market for m in normalised(normaliser, market(id=name, **more), AT) if isinstance(m, Market)
        ]

    assert (told("m1"), told("m2"), told("m3"), told("m1")) == (["manifold:m1"], ["manifold:m2"], [], [])
    assert "left out" in normaliser.notes()[0]
    told("m2", closeTime=NOW_MS - 2)
    told("m1", closeTime=NOW_MS - 1)
    assert told("m3") == ["manifold:m3"]
    assert set(normaliser._markets) == {"m1", "m3"}


def test_documented_bodies_are_read(recordings):
    examples = json.loads((recordings / "manifold/api_doc_examples.json").read_text())
    normaliser = ManifoldNormaliser()
    markets = json.dumps(examples["GET /v0/markets"][0]).encode()
    [settled] = normalised(normaliser, rest_frame("markets", markets), AT)
    assert (settled.status, settled.result) == (MarketStatus.SETTLED, "yes")
    body = json.dumps(examples["GET /v0/market/[marketId]"][0]).encode()
    assert normalised(normaliser, rest_frame("market", body), AT) == []
    bets = examples["GET /v0/bets"][0]
    normalised(normaliser, market(id=bets[0]["contractId"]), AT)
    out = normalised(normaliser, rest_frame("bets", json.dumps(bets).encode()), AT)
    trades = [m for m in out if isinstance(m, Trade)]
    assert [trade.trade_id for trade in trades[::2]] == [b["id"] for b in reversed(bets)]
    # 15.596681605353808 mana for 31.193363210707616 shares
    assert 500_000 in {trade.price for trade in trades}


test_documented_bodies_are_read = pytest.mark.recorded(test_documented_bodies_are_read)

KNOWN = [
    market(),
    new_bets(bet()),
    broadcast("contract/abc/orders", bet(id="o", limitProb=0.4, isFilled=False)),
]


@given(
    st.one_of(
        st.binary(max_size=200),
        st.tuples(st.sampled_from(KNOWN), st.integers(0, 500), st.binary(max_size=8)).map(
            lambda t: t[0][: t[1] % len(t[0])] + t[2] + t[0][t[1] % len(t[0]) + len(t[2]) :]
        ),
        st.tuples(
            st.sampled_from(
                ["probAfter", "shares", "amount", "limitProb", "orderAmount", "createdTime", "expiresAt"]
            ),
            st.one_of(
                st.none(),
                st.floats(allow_nan=False, allow_infinity=False),
                st.integers(),
                st.text(max_size=5),
            ),
        ).map(lambda t: new_bets(bet(id="b9", **{t[0]: t[1]}))),
    )
)
def test_garbage_raises_frame_errors_only_and_changes_nothing(garbage):
    def state(normaliser: ManifoldNormaliser) -> str:
        markets = [
            (m.told, m.orders, m.counter, m.bet_at, m.pool and (m.pool.yes, m.pool.no))
            for m in normaliser._markets.values()
        ]
        return repr((markets, normaliser._seen, normaliser.frames))

    normaliser = ManifoldNormaliser()
    for known in KNOWN:
        normalised(normaliser, known, AT)
    before = state(normaliser)
    try:
        normalised(normaliser, garbage, AT + SECOND)
    except FrameError:
        assert state(normaliser) == before
