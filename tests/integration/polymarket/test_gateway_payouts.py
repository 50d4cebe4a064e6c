"""What resolved markets paid, from a small venue on loopback: more that lost than any list holds, and voids."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from libs.venues.errors import BadAnswer
from libs.venues.polymarket.trading import client, settlement
from libs.venues.polymarket.trading.auth import PolymarketCredentials
from libs.venues.polymarket.trading.gateway import PolymarketGateway
from proto.units import ONE

pytestmark = pytest.mark.asyncio

HALVES = [{"token_id": "1", "winner": False, "price": 0.5}, {"token_id": "2", "winner": False, "price": 0.5}]
UP_WON = [{"token_id": "1", "winner": True, "price": 1}, {"token_id": "2", "winner": False, "price": 0}]


def condition(number: int) -> str:
    return f"0x{number:064x}"


def row(number: int, price: float = 0, *, redeemable: bool = True) -> dict[str, Any]:
    fields = {"asset": "2", "size": 5.0, "outcome": "Down", "curPrice": price, "redeemable": redeemable}
    return fields | {"conditionId": condition(number)}


class Venue:
    """The paths that payouts are read from; ``asked`` counts questions about a market's result."""

    def __init__(self) -> None:
        self.positions: list[dict[str, Any]] = []
        self.redeemed: list[str] = []
        self.tokens: list[dict[str, Any]] = UP_WON
        self.flags: dict[str, Any] = {"closed": True}
        self.sorts = True
        self.asked: Counter[str] = Counter()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/positions", self._positions)
        app.router.add_get("/activity", self._activity)
        app.router.add_get("/markets/{condition}", self._result)
        app.router.add_get("/clob-markets/{condition}", self._market)
        return app

    async def _positions(self, request: web.Request) -> web.Response:
        offset, limit = int(request.query["offset"]), int(request.query["limit"])
        rows = self.positions
        if request.query["sortBy"] == "CURRENT" and self.sorts:
            rows = sorted(rows, key=lambda row: -float(row["curPrice"]))
        return web.json_response(rows[offset : offset + limit])

    async def _activity(self, _: web.Request) -> web.Response:
        lines = [
            {"conditionId": name, "type": "REDEEM", "timestamp": 1_785_000_000} for name in self.redeemed
        ]
        return web.json_response(lines)

    async def _result(self, request: web.Request) -> web.Response:
        name = request.match_info["condition"]
        self.asked[name] += 1
        return web.json_response({"condition_id": name, "tokens": self.tokens} | self.flags)

    async def _market(self, _: web.Request) -> web.Response:
        tokens = [{"t": "1", "o": "Up"}, {"t": "2", "o": "Down"}]
        return web.json_response({"t": tokens, "mts": 0.01, "nr": False})


@pytest.fixture
def venue() -> Venue:
    return Venue()


@pytest_asyncio.fixture
async def gateway(venue: Venue) -> AsyncIterator[PolymarketGateway]:
    runner = web.AppRunner(venue.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    credentials = PolymarketCredentials(private_key=bytes(range(1, 33)))
    gateway = PolymarketGateway(credentials, clob_url=url, gamma_url=url, data_url=url)
    yield gateway
    await gateway.close()
    await runner.cleanup()


async def told(gateway: PolymarketGateway) -> dict[str, int]:
    return {report.instrument: report.price for report in await gateway.settlements(0)}


def paid(number: int, up: int, down: int) -> dict[str, int]:
    return {f"polymarket:{condition(number)}:{name}": price for name, price in (("up", up), ("down", down))}


@pytest.mark.parametrize(
    ("tokens", "flags", "expected"),
    [
        (UP_WON, {"closed": True}, paid(1, ONE, 0)),
        (UP_WON, {"closed": False}, {}),
        (HALVES, {"closed": True, "is_50_50_outcome": True}, paid(1, ONE // 2, ONE // 2)),
        # No list of the venue's fields names that flag: money that was paid, without a winner, at half each, is a void.
        (HALVES, {"closed": True}, paid(1, ONE // 2, ONE // 2)),
        (HALVES, {"closed": False}, {}),
        ([HALVES[0] | {"winner": True}, HALVES[1]], {"closed": True}, paid(1, ONE, 0)),
        ([HALVES[0], HALVES[1] | {"price": 0.49}], {"closed": True}, {}),
        ([{"token_id": "1"}, {"token_id": "2"}], {"closed": True}, {}),
        ([], {"closed": True}, {}),
    ],
)
async def test_pain_point_15_a_void_is_known_without_its_flag(
    venue: Venue,
    gateway: PolymarketGateway,
    tokens: list[dict[str, Any]],
    flags: dict[str, Any],
    expected: dict[str, int],
):
    venue.redeemed, venue.tokens, venue.flags = [condition(1)], tokens, flags
    assert await told(gateway) == expected


async def test_halves_alone_prove_nothing_before_money_was_paid(venue: Venue, gateway: PolymarketGateway):
    venue.positions, venue.tokens = [row(1)], HALVES
    assert await told(gateway) == {}
    venue.tokens = UP_WON
    assert await told(gateway) == {f"polymarket:{condition(1)}:down": 0}


async def test_only_markets_that_our_books_hold_are_asked_about(venue: Venue, gateway: PolymarketGateway):
    """What lost stays in the wallet: asking about all of it each time, no reconciliation would ever end."""
    venue.positions = [row(number) for number in range(1_200)]
    venue.redeemed = [condition(number) for number in range(2_000, 2_050)]
    gateway.set_held_markets([f"polymarket:{condition(number)}" for number in (7, 1_100, 2_001, 5_000)])
    for _ in range(2):
        assert await told(gateway) == {
            f"polymarket:{condition(7)}:down": 0,
            f"polymarket:{condition(1_100)}:down": 0,
        } | paid(2_001, ONE, 0)
    assert venue.asked == {condition(7): 1, condition(1_100): 1, condition(2_001): 1}


async def test_what_lost_does_not_crowd_out_what_is_worth_something(
    venue: Venue, gateway: PolymarketGateway, monkeypatch: pytest.MonkeyPatch
):
    assert client.POSITIONS_MAX == client.OFFSET_MAX + client.ROWS_MAX
    listed = 150
    for module, name, value in (
        (client, "ROWS_MAX", 50),
        (client, "OFFSET_MAX", 100),
        (client, "POSITIONS_MAX", listed),
        (settlement, "POSITIONS_MAX", listed),
    ):
        monkeypatch.setattr(module, name, value)
    venue.positions = [row(number) for number in range(listed + 9)] + [row(9_000, 0.4, redeemable=False)]
    gateway.set_held_markets([f"polymarket:{condition(number)}" for number in (7, listed + 5, 9_000)])
    held = await gateway.positions()
    assert held[f"polymarket:{condition(9_000)}:down"] == 5 * ONE
    assert len(held) == listed
    # One that lost is past the end of the list, and is held by our books all the same.
    assert await told(gateway) == {
        f"polymarket:{condition(7)}:down": 0,
        f"polymarket:{condition(listed + 5)}:down": 0,
    }
    assert condition(9_000) not in venue.asked
    # A list that is cut anywhere else is none.
    venue.sorts = False
    venue.positions[100]["curPrice"] = 0.4
    with pytest.raises(BadAnswer, match="expected at most"):
        await gateway.positions()
    venue.positions = [row(number, 0.4, redeemable=False) for number in range(listed)]
    with pytest.raises(BadAnswer, match="expected at most"):
        await gateway.positions()
