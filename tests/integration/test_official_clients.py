"""Polymarket's own clients, unchanged, against the sandbox: whatever they can do at the venue they can do here.

What each of them does stands in tests/official, and runs in an environment of their own.
"""

from collections.abc import AsyncIterator
from decimal import Decimal  # noqa: TID251 - the clients tell it as text
from typing import Any

import pytest
import pytest_asyncio

from sandbox.polymarket.server import PolymarketServer
from sandbox.server import Sandbox


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(seed=11, venues=["polymarket"]) as running:
        options = server(running).options
        options.mined_after_s = options.confirmed_after_s = options.stale_balance_s = 0.05
        yield running


def server(sandbox: Sandbox) -> PolymarketServer:
    found = sandbox.servers["polymarket"]
    assert isinstance(found, PolymarketServer)
    return found


def told(sandbox: Sandbox, signature_type: int = 3) -> dict[str, Any]:
    """The venue's addresses, and the first account that signs in a way."""
    main = sandbox.credentials["polymarket"]
    account = next(row for row in [main, *main["others"]] if row["signature_type"] == signature_type)
    return {"urls": sandbox.urls["polymarket"], "account": account}


# ── polymarket-client ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.asyncio
async def test_the_new_client_discovers_markets_events_and_books(official, sandbox):
    found = await official.act("unified.look", urls=sandbox.urls["polymarket"])
    assert set(found["versions"]) == {"v1", "v2"}
    assert found["fee_schedules"]
    assert len(found["range"]) >= 3
    assert all(found["range"])
    assert found["condition_by_slug"] == found["condition"]
    assert [book["neg_risk"] for book in found["books"]] == found["neg_risk"]
    for book in found["books"]:
        assert book["bids"] == sorted(book["bids"], key=Decimal)
        assert book["asks"] == sorted(book["asks"], key=Decimal, reverse=True)
    assert found["found"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("word", "signature_type"),
    [
        ("updown-15m", 0),
        ("bitcoin-range", 1),
        ("up-or-down", 2),
        ("updown-15m", 3),
        ("bitcoin-range", 3),
        ("up-or-down", 3),
    ],
)
async def test_the_new_client_trades_with_every_wallet_on_every_exchange(
    official, sandbox, signature_type, word
):
    found = await official.act("unified.trade", **told(sandbox, signature_type), word=word)
    ok, status, order_id = found["resting"]
    assert (ok, status, found["resting_status"]) == (True, "live", "LIVE")
    assert found["open"] == found["canceled"] == [order_id]
    assert found["taken"] == [True, "matched"]
    assert found["settled"]
    assert set(found["statuses"]) == set(found["taken_trades"])
    assert all(seen == ["MATCHED", "MINED", "CONFIRMED"] for seen in found["statuses"].values())
    shares = Decimal(found["shares"])
    assert found["balance"] == round(shares * 1_000_000)
    ((asset, size),) = found["positions"]
    assert (asset, Decimal(size)) == (found["asset"], shares)
    assert Decimal(found["value"]) > 0
    assert Decimal(found["traded"]) == shares
    assert found["sold"] == "matched"


@pytest.mark.asyncio
async def test_the_new_client_places_every_kind_and_reads_every_refusal(official, sandbox):
    given = told(sandbox)
    found = await official.act("unified.place_every_kind", **given)
    assert found["wallet"] == given["account"]["funder"]
    assert (found["good"], found["signed"]) == ("live", "live")
    for name, words in {
        "crossing": "crosses book",
        "small": "lower than the minimum: 5",
        "dear": "balance is not enough",
        "nothing_there": "FAK orders are partially filled or killed",
        "not_whole": "FOK orders are fully filled or killed",
        "again": "Duplicated",
    }.items():
        assert words in found[name]
    placed, refused, message = found["batch"]
    assert (placed, refused) == (True, False)
    assert "lower than the minimum" in message
    assert found["canceled"] == 3


@pytest.mark.asyncio
async def test_the_new_clients_book_follows_the_market_channel(official, sandbox):
    found = await official.act("unified.follow", **told(sandbox))
    assert found["book"] == found["best"] == found["asset"]
    mine, mirror = ([asset, side, Decimal(price)] for asset, side, price, _ in found["changes"])
    assert mine == [found["asset"], "BUY", Decimal(found["price"])]
    assert mirror == [found["other"], "SELL", 1 - Decimal(found["price"])]
    assert Decimal(found["changes"][0][3]) == 7


@pytest.mark.asyncio
async def test_the_new_clients_heartbeats_keep_orders_alive(official, sandbox):
    options = server(sandbox).options
    options.heartbeat_s, options.heartbeat_buffer_s = 0.5, 0.1
    assert await official.act("unified.beat_and_stop", **told(sandbox)) == {
        "kept": "LIVE",
        "gone": "CANCELED",
    }


@pytest.mark.asyncio
async def test_the_new_client_reads_what_else_the_venue_tells(official, sandbox):
    found = await official.act("unified.look_around", **told(sandbox))
    assert found["scoring"] is False
    assert list(found["all_scoring"].values()) == [False]
    assert sorted(set(found["notified"])) == [1, 2]
    assert found["dropped"] == 0
    assert "btc-updown-15m" in found["series"]
    assert set(found["activity"]) == {"TRADE"}
    ((asked, interest),) = found["interest"]
    assert asked
    assert Decimal(interest) > 0
    topics = ("prices.crypto", "prices.crypto.twap")
    assert found["prices"] == sorted(
        f"{topic} {kind}" for topic in topics for kind in ("subscribe", "update")
    )


# ── clob-client-v2 for Node ─────────────────────────────────────────────────────────────────────────


@pytest.mark.asyncio
async def test_the_client_for_node_reads_every_list_of_markets(node_official, sandbox):
    found = await node_official.act("read", **told(sandbox))
    assert found["markets"] == found["simplified"] > 0
    assert found["sampling"] == found["sampling_simplified"] > 0
    assert found["book_hash"][0] == found["book_hash"][1]
    assert found["condition"]
    assert 0 < Decimal(found["middle"]) < 1


@pytest.mark.asyncio
@pytest.mark.parametrize("signature_type", [0, 3])
async def test_the_client_for_node_trades(node_official, sandbox, signature_type):
    found = await node_official.act("trade", **told(sandbox, signature_type))
    near, far = found["ids"]
    assert found["resting"] == ["live", "live"]
    assert sorted(found["open"]) == sorted(found["canceled"]) == sorted([near, far])
    assert found["scoring"] is True
    assert found["all_scoring"] == {near: True, far: False}
    assert found["taken"] == [True, "matched"]
    assert found["trades"] > 0
    assert int(found["balance"]) > 0
    assert set(found["notified"]) == {1, 2}
    assert found["kept"] == 1
    assert "lower than the minimum" in found["refused"]


# ── py-clob-client-v2 ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.asyncio
@pytest.mark.parametrize("signature_type", [0, 3])
async def test_the_old_client_trades_too(official, sandbox, signature_type):
    found = await official.act("clob.trade", **told(sandbox, signature_type))
    assert found["ok"] == "OK"
    assert found["book_hash"] == found["book_hash_computed"]
    assert found["resting"]["status"] == "live"
    assert [order["id"] for order in found["open"]] == [found["resting"]["orderID"]]
    assert found["canceled"]["canceled"]
    taken = found["taken"]
    assert taken["status"] == "matched"
    assert len(taken["transactionsHashes"]) == len(taken["tradeIDs"])
    assert {trade["id"] for trade in found["trades"]} == set(taken["tradeIDs"])
    assert "crosses book" in found["refused"]


@pytest.mark.asyncio
async def test_the_old_client_sends_batches_and_cancels_by_market(official, sandbox):
    found = await official.act("clob.cancel_batches", **told(sandbox))
    assert [answer["status"] for answer in found["placed"]] == ["live"] * 3
    assert len(found["canceled"]["canceled"]) == 3
    assert found["nothing_left"] == {"canceled": [], "not_canceled": {}}
    first, second = found["beats"]
    assert first != second
    assert "Invalid Heartbeat ID" in found["refused"]


@pytest.mark.asyncio
async def test_the_clients_agree_about_what_they_ask_for(official, sandbox):
    """One client's order is known to the other one by the same id: the digest both would compute."""
    order_id = await official.act("clob.place", **told(sandbox), size=7)
    assert Decimal(await official.act("unified.size_of", **told(sandbox), order_id=order_id)) == 7
