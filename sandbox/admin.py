"""``/_sandbox``: what tests, benches and the soak read, and where they switch faults on. Loopback only."""

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from libs.bounded import clip
from sandbox.accounts import Accounts, ClientAccount
from sandbox.arrivals import Arrivals
from sandbox.faults.rules import FaultScript
from sandbox.faults.script import Faults
from sandbox.venue import VenueServer
from sandbox.world.markets import SandboxMarket
from sandbox.world.venue_markets import market_venues
from sandbox.world.world import World


class Admin:
    """The sandbox's own endpoints. ``urls``: where each venue listens, by then."""

    def __init__(
        self,
        world: World,
        accounts: Accounts,
        servers: Mapping[str, VenueServer],
        faults: Faults,
        arrivals: Arrivals,
        urls: Mapping[str, Mapping[str, str]],
    ) -> None:
        self._world = world
        self._accounts = accounts
        self._servers = servers
        self._faults = faults
        self._arrivals = arrivals
        self._urls = urls

    def application(self) -> web.Application:
        """Return the application behind ``urls["admin"]``."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/_sandbox/state", self._get_state),
                web.get("/_sandbox/arrivals", self._get_arrivals),
                web.get("/_sandbox/faults", self._get_faults),
                web.post("/_sandbox/faults", self._set_faults),
                web.delete("/_sandbox/faults", self._clear_faults),
                web.post("/_sandbox/tick", self._set_tick),
                web.post("/_sandbox/event-fees", self._set_event_fees),
            ]
        )
        return app

    async def _get_state(self, _request: web.Request) -> web.Response:
        return _json(self._state())

    async def _get_arrivals(self, request: web.Request) -> web.Response:
        venue, operation = request.query.get("venue"), request.query.get("operation")
        found = [a for a in self._arrivals if venue in (None, a.venue) and operation in (None, a.operation)]
        return _json({"arrivals": found})

    async def _get_faults(self, _request: web.Request) -> web.Response:
        faults = self._faults
        counts = [
            {"venue": venue, "kind": kind, "count": n} for (venue, kind), n in sorted(faults.counts.items())
        ]
        return _json({"seed": faults.seed, "rules": faults.rules, "counts": counts, "log": list(faults.log)})

    async def _set_faults(self, request: web.Request) -> web.Response:
        """Replace the rules by a script; with ``?add=1`` add its rules to those in force."""
        try:
            script = msgspec.json.decode(await request.read(), type=FaultScript)
        except msgspec.DecodeError as e:
            return web.json_response({"error": f"expected a fault script: {e}"}, status=400)
        if request.query.get("add"):
            self._faults.add(*script.faults)
        else:
            self._faults.load(script)
        return _json({"rules": self._faults.rules})

    async def _clear_faults(self, _request: web.Request) -> web.Response:
        self._faults.clear()
        return _json({"rules": ()})

    async def _set_tick(self, request: web.Request) -> web.Response:
        """Change a market's tick: ``{"venue","market","tick"}``, tick in millionths."""
        try:
            asked = msgspec.json.decode(await request.read(), type=_Tick)
        except msgspec.DecodeError as e:
            return web.json_response({"error": f"expected venue, market and tick: {e}"}, status=400)
        market = self._world.market(asked.venue, asked.market)
        if market is None:
            return web.json_response({"error": f"no market {clip(asked.market, 80)!r}"}, status=404)
        self._world.change_tick(market, asked.tick)
        return _json({"market": market.id, "tick": market.tick})

    async def _set_event_fees(self, request: web.Request) -> web.Response:
        """Change an event's fees: ``{"venue","event","fee_type","multiplier","in_s"}``; without a type, its series'."""
        try:
            asked = msgspec.json.decode(await request.read(), type=_EventFees)
            server = self._servers.get(asked.venue)
            found = server is not None and server.change_event_fees(
                asked.event, asked.fee_type, asked.multiplier, asked.in_s
            )
        except (msgspec.DecodeError, ValueError) as e:
            return web.json_response({"error": f"expected an event's fees: {e}"}, status=400)
        if not found:
            return web.json_response({"error": f"no event {clip(asked.event, 80)!r} with fees"}, status=404)
        return _json({"event": asked.event})

    def _state(self) -> dict[str, Any]:
        """Return accounts, positions, orders and markets of every venue; numbers in millionths, times in ns."""
        venues: dict[str, dict[str, Any]] = {
            name: {
                "accounts": [_account(account) for account in self._accounts.of(name)],
                "server": server.state(),
            }
            for name, server in self._servers.items()
        }
        for name, shown in venues.items():
            if name in market_venues():
                shown["markets"] = [_market(market) for market in self._world.markets(name)]
        return {
            "seed": self._world.settings.seed,
            "at": self._world.now(),
            "price": {source: self._world.price.at(source) for source in self._world.spot},
            "urls": self._urls,
            "venues": venues,
        }


class _EventFees(msgspec.Struct, forbid_unknown_fields=True):
    venue: str
    event: str
    fee_type: str | None = None
    multiplier: float | None = None
    in_s: float = 0.0


class _Tick(msgspec.Struct, forbid_unknown_fields=True):
    venue: str
    market: str
    tick: int


def _market(market: SandboxMarket) -> dict[str, Any]:
    """Return a market in short."""
    bid, ask = market.book.best()
    return {
        "id": market.id,
        "slug": market.slug,
        "title": market.title,
        "kind": market.kind,
        "status": market.status,
        "open_ns": market.open_ns,
        "close_ns": market.close_ns,
        "strike": market.strike,
        "tick": market.tick,
        "outcomes": market.outcomes,
        "tokens": market.tokens,
        "bid": bid,
        "ask": ask,
        "last_price": market.last_price,
        "result": market.result,
    }


def _account(account: ClientAccount) -> dict[str, Any]:
    return {
        "owner": account.owner,
        "cash": account.cash,
        "available": account.available,
        "fees_paid": account.fees_paid,
        "positions": [
            {"market": market, "outcome": outcome, "quantity": quantity}
            for (market, outcome), quantity in sorted(account.positions.items())
            if quantity
        ],
        "orders": [{"market": market.id, "order": order} for market, order in account.open.values()],
        "fills": len(account.fills),
    }


def _json(document: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), content_type="application/json")
