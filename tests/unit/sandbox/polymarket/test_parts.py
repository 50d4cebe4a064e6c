"""Parts of the Polymarket sandbox that need no socket: amounts, books, money, keys, buckets, switches."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proto.units import ONE, notional, show
from sandbox.polymarket.amounts import DECIMALS, terms_of
from sandbox.polymarket.books import (
    BookFacts,
    OutcomeBook,
    OutcomeChange,
    OutcomeLevel,
    apply,
    book_body,
    book_event,
    book_hash,
    changes,
)
from sandbox.polymarket.heartbeats import Heartbeats
from sandbox.polymarket.keys import BAD_L1, UNAUTHORIZED, ClobKeys, PolymarketRefusal
from sandbox.polymarket.ledger import COLLATERAL, Movement, WalletLedger
from sandbox.polymarket.limits import RateLimits
from sandbox.polymarket.modes import Modes
from sandbox.polymarket.options import PolymarketOptions
from sandbox.polymarket.wire import WireOrder, WireRequest
from sandbox.world.world import World
from tests.support.captures import clob_bodies

ZERO = "0x" + 64 * "0"
SOMEBODY = "0x" + 40 * "a"
MINIMUM = 5 * ONE


def request(side, maker, taker, order_type):
    order = WireOrder(
        salt=1,
        maker=SOMEBODY,
        signer=SOMEBODY,
        token_id="1",
        maker_amount=str(maker),
        taker_amount=str(taker),
        side=side,
        signature_type=0,
        timestamp="1",
        metadata=ZERO,
        builder=ZERO,
        signature="0x00",
    )
    return WireRequest(order=order, owner="", order_type=order_type)


ticks = st.sampled_from(sorted(DECIMALS))


@st.composite
def grid_prices(draw):
    tick = draw(ticks)
    return tick, draw(st.integers(1, ONE // tick - 1)) * tick


# ── amounts ─────────────────────────────────────────────────────────────────────────────────────────


@given(grid=grid_prices(), size=st.integers(500, 10**7), side=st.sampled_from(["BUY", "SELL"]))
def test_limit_orders_of_the_official_client_mean_their_price_and_size(official, grid, size, side):
    tick, price = grid
    size *= 10_000
    maker, taker = official.call("values.limit_amounts", side=side, price=price, size=size, tick=tick)
    terms = terms_of(request(side, maker, taker, "GTC"), "0x1", tick, MINIMUM)
    assert (terms.price, terms.size) == (price, size)
    assert terms.cost == (maker if side == "BUY" else 0)


@given(grid=grid_prices(), amount=st.integers(100, 10**6), side=st.sampled_from(["BUY", "SELL"]))
def test_market_orders_of_the_official_client_reach_their_price_and_no_further(official, grid, amount, side):
    tick, price = grid
    amount *= 10_000
    maker, taker = official.call("values.market_amounts", side=side, price=price, amount=amount, tick=tick)
    terms = terms_of(request(side, maker, taker, "FAK"), "0x1", tick, MINIMUM)
    # Their own rounding may let a tiny order reach a step further; never a worse one for reaching the price.
    assert terms.price >= price if side == "BUY" else terms.price <= price
    if side == "BUY" and notional(tick, terms.size) > 10_000:
        assert terms.price == price


@pytest.mark.parametrize(
    ("side", "maker", "taker", "order_type", "match"),
    [
        ("BUY", 5_050_000, 10_000_000, "GTC", "breaks minimum tick size rule: 0.01"),
        ("BUY", 10_000_000, 10_000_000, "GTC", "breaks minimum tick size rule"),
        ("BUY", 2_000_000, 4_000_000, "GTC", r"Size \(4\) lower than the minimum: 5"),
        ("BUY", 5_000_000, 10_001_000, "GTC", "the buy orders maker amount supports a max accuracy of 4"),
        ("SELL", 10_001_000, 5_000_000, "GTC", "the sell orders maker amount supports a max accuracy of 2"),
        ("BUY", 5_001_000, 10_001_000, "FAK", "market buy orders maker amount .* of 2 decimals, .* 4"),
        ("BUY", 0, 10_000_000, "GTC", "Invalid order payload"),
    ],
)
def test_amounts_off_the_grid_are_refused_in_the_venues_words(side, maker, taker, order_type, match):
    with pytest.raises(PolymarketRefusal, match=match) as refused:
        terms_of(request(side, maker, taker, order_type), "0x1", 10_000, MINIMUM)
    assert refused.value.status == 400


# ── books ───────────────────────────────────────────────────────────────────────────────────────────

sides = st.dictionaries(st.integers(1, 49), st.integers(1, 10**9), max_size=8)


def a_book(bids, asks):
    return OutcomeBook(
        tuple(OutcomeLevel(price * 10_000, bids[price]) for price in sorted(bids, reverse=True)),
        tuple(OutcomeLevel((50 + price) * 10_000, asks[price]) for price in sorted(asks)),
    )


books = st.builds(a_book, sides, sides)


@given(before=books, after=books)
def test_changes_lead_from_one_book_to_the_other_and_never_cross(before, after):
    book = before
    for change in changes(before, after):
        book = apply(book, change)
        assert book.bid is None or book.ask is None or book.bid < book.ask
    assert book == after


@given(book=books)
def test_the_mirror_of_a_change_is_the_change_of_the_mirror(book):
    def mirror(one):
        return OutcomeBook(
            tuple(OutcomeLevel(ONE - level.price, level.size) for level in one.asks),
            tuple(OutcomeLevel(ONE - level.price, level.size) for level in one.bids),
        )

    change = OutcomeChange(250_000, 7, True)
    assert mirror(apply(book, change)) == apply(mirror(book), OutcomeChange(750_000, 7, False))


@given(book=books, last=st.sampled_from(["", "0.5"]), negative_risk=st.booleans())
def test_the_hash_is_the_official_clients(official, book, last, negative_risk):
    facts = BookFacts("0xabc", "123", 1_777_428_639_102, MINIMUM, 10_000, negative_risk, last)
    body = book_body(book, facts)
    assert official.call("values.book_hash", body=body) == body["hash"]
    event = book_event(body)
    assert set(body) - set(event) == {"min_order_size", "neg_risk"}
    if book.bids:
        assert body["bids"][-1]["price"] == show(book.bids[0].price)


@pytest.mark.recorded
def test_the_hash_is_the_venues(recordings):
    """Every recorded REST book, and the books of the channel with the two fields they lack."""
    checked = 0
    for body in clob_bodies(recordings):
        if "bids" not in body:
            continue
        ordered = {name: body[name] for name in ("market", "asset_id", "timestamp", "hash", "bids", "asks")}
        ordered |= {
            "min_order_size": body.get("min_order_size", "5"),
            "tick_size": body["tick_size"],
            "neg_risk": body.get("neg_risk", False),
            "last_trade_price": body["last_trade_price"],
        }
        assert book_hash(ordered) == body["hash"]
        checked += 1
    assert checked > 200


# ── money ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_match_promises_mining_moves_and_belief_trails():
    ledger = WalletLedger()
    wallet = ledger.open(SOMEBODY, SOMEBODY)
    ledger.credit(SOMEBODY, COLLATERAL, 100)
    buy = Movement(SOMEBODY, COLLATERAL, 40, "7", 80)
    ledger.promise(buy)
    assert (wallet.free(COLLATERAL), wallet.on_chain(COLLATERAL), wallet.on_chain("7")) == (60, 100, 0)
    ledger.settle(buy)
    assert (wallet.free(COLLATERAL), wallet.on_chain(COLLATERAL), wallet.on_chain("7")) == (60, 60, 80)
    assert wallet.balance("7") == 0
    ledger.refresh(SOMEBODY, "7")
    assert wallet.balance("7") == 80
    sell = Movement(SOMEBODY, "7", 30, COLLATERAL, 20)
    ledger.promise(sell)
    assert wallet.free("7") == 50
    ledger.release(sell)
    assert wallet.free("7") == 80
    ledger.promise(sell)
    ledger.settle(sell)
    assert (wallet.balance("7"), wallet.free("7"), wallet.on_chain(COLLATERAL)) == (50, 50, 80)


# ── keys, buckets, modes, switches ──────────────────────────────────────────────────────────────────


def headers_of(key, method, path, body, at_s):
    message = f"{at_s}{method}{path}".encode() + body
    digest = hmac.new(base64.urlsafe_b64decode(key.secret), message, hashlib.sha256).digest()
    return {
        "POLY_ADDRESS": key.address,
        "POLY_API_KEY": key.key,
        "POLY_PASSPHRASE": key.passphrase,
        "POLY_TIMESTAMP": str(at_s),
        "POLY_SIGNATURE": base64.urlsafe_b64encode(digest).decode(),
    }


def test_every_part_of_an_l2_request_is_proven():
    keys = ClobKeys(1, PolymarketOptions())
    key = keys.create(SOMEBODY)
    good = headers_of(key, "DELETE", "/order", b'{"orderID":"0x1"}', 1_000_000)
    assert keys.check_l2(good, "DELETE", "/order", b'{"orderID":"0x1"}', 1_000_030.0) == key
    for headers, method, path, body, at_s in (
        (good, "POST", "/order", b'{"orderID":"0x1"}', 1_000_000),
        (good, "DELETE", "/orders", b'{"orderID":"0x1"}', 1_000_000),
        (good, "DELETE", "/order", b'{"orderID":"0x2"}', 1_000_000),
        (good, "DELETE", "/order", b'{"orderID":"0x1"}', 1_000_061),
        (good | {"POLY_PASSPHRASE": "no"}, "DELETE", "/order", b'{"orderID":"0x1"}', 1_000_000),
        (good | {"POLY_ADDRESS": "0x" + 40 * "b"}, "DELETE", "/order", b'{"orderID":"0x1"}', 1_000_000),
        (good | {"POLY_API_KEY": "no"}, "DELETE", "/order", b'{"orderID":"0x1"}', 1_000_000),
        (good | {"POLY_TIMESTAMP": "soon"}, "DELETE", "/order", b'{"orderID":"0x1"}', 1_000_000),
        ({}, "DELETE", "/order", b'{"orderID":"0x1"}', 1_000_000),
    ):
        with pytest.raises(PolymarketRefusal, match=UNAUTHORIZED) as refused:
            keys.check_l2(headers, method, path, body, at_s)
        assert refused.value.status == 401
    assert key.secret not in repr(key)
    assert key.passphrase not in repr(key)


def test_keys_are_made_once_and_the_same_for_a_seed():
    keys = ClobKeys(1, PolymarketOptions())
    made = keys.create(SOMEBODY, 3)
    with pytest.raises(PolymarketRefusal, match="Could not create"):
        keys.create(SOMEBODY.upper().replace("X", "x"), 3)
    assert keys.derive(SOMEBODY, 3) == made == ClobKeys(1, PolymarketOptions()).create(SOMEBODY, 3)
    with pytest.raises(PolymarketRefusal, match="Could not derive"):
        keys.derive(SOMEBODY, 4)
    keys.delete(made)
    assert keys.get(made.key) is None
    with pytest.raises(PolymarketRefusal, match=BAD_L1):
        keys.check_l1({"POLY_ADDRESS": SOMEBODY, "POLY_TIMESTAMP": "1", "POLY_SIGNATURE": "0x"}, 1.0)


def test_buckets_are_all_or_nothing_and_cancel_all_leaves_a_debt():
    now = [0.0]
    limits = RateLimits(
        PolymarketOptions(orders_burst=10, orders_per_s=5, cancels_burst=4, cancels_per_s=1), lambda: now[0]
    )
    assert limits.charge_orders("a", 9)["Poly-RateLimit-Remaining"] == "1.00"
    with pytest.raises(PolymarketRefusal) as refused:
        limits.charge_orders("a", 2)
    assert refused.value.status == 429
    limits.charge_orders("b", 10)
    limits.charge_orders("a", 1)
    now[0] = 1.0
    limits.charge_orders("a", 5)
    assert limits.charge_cancels("a", 10, overdraw=True)["Poly-RateLimit-Remaining"] == "-6.00"
    with pytest.raises(PolymarketRefusal):
        limits.charge_cancels("a", 1)


def test_a_restart_is_followed_by_a_time_for_makers():
    now = [0]
    modes = Modes(lambda: now[0], PolymarketOptions(restart_s=90, post_only_s=120))
    modes.check_order(post_only=False)
    modes.restart()
    for admit in (lambda: modes.check_order(post_only=True), modes.check_cancel):
        with pytest.raises(PolymarketRefusal) as refused:
            admit()
        assert refused.value.status == 425
    now[0] = 100 * 10**9
    modes.check_cancel()
    modes.check_order(post_only=True)
    with pytest.raises(PolymarketRefusal, match="post-only mode") as refused:
        modes.check_order(post_only=False)
    assert refused.value.extra == {"code": "post_only_mode", "retry_after_seconds": 110}
    now[0] = 210 * 10**9
    modes.check_order(post_only=False)
    modes.cancel_only = True
    modes.check_cancel()
    with pytest.raises(PolymarketRefusal, match="cancel-only"):
        modes.check_order(post_only=True)


@pytest.mark.asyncio
async def test_silence_after_a_heartbeat_fires_the_switch_once():
    world = World(1, 0, venues=[])
    fired: list[str] = []
    beats = Heartbeats(world, PolymarketOptions(heartbeat_s=10, heartbeat_buffer_s=5), fired.append)
    first = beats.beat("key", "")
    with pytest.raises(PolymarketRefusal, match="Invalid Heartbeat ID") as refused:
        beats.beat("key", "")
    assert refused.value.extra == {"error_msg": "Invalid Heartbeat ID", "heartbeat_id": first}
    await world.advance(14 * 10**9)
    second = beats.beat("key", first)
    await world.advance(28 * 10**9)
    assert fired == []
    await world.advance(60 * 10**9)
    assert fired == ["key"]
    beats.beat("key", second)
    await world.advance(100 * 10**9)
    assert fired == ["key", "key"]
