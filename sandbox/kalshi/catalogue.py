"""Public REST: the exchange and its shards, series, events and their fees. No key needed."""

from typing import Any

from aiohttp import web

from libs.venues.kalshi import KALSHI
from sandbox.kalshi.bodies import event_body, iso, market_body, series_body
from sandbox.kalshi.exchange import KalshiExchange
from sandbox.kalshi.market_data import PREFIX, market_filter
from sandbox.kalshi.markets import MARKETS
from sandbox.kalshi.pages import flag, newest_first
from sandbox.kalshi.refusals import answer, not_found
from sandbox.kalshi.shards import DEFAULT, SHARDS
from sandbox.world.markets import SandboxMarket
from sandbox.world.world import World

EVENTS_LIMIT = 200
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
NOTHING_ARCHIVED = "2026-01-01T00:00:00Z"
"""What is older than this is historical at the venue; here nothing ever is."""


class KalshiCatalogue:
    """Handlers of these reads."""

    def __init__(self, world: World, exchange: KalshiExchange) -> None:
        self._world = world
        self._exchange = exchange

    def routes(self) -> list[web.RouteDef]:
        """Return the routes: fixed paths before those with a ticker in them."""
        return [
            web.get(f"{PREFIX}/exchange/status", self._status),
            web.get(f"{PREFIX}/exchange/schedule", self._schedule),
            web.get(f"{PREFIX}/exchange/user_data_timestamp", self._user_data_timestamp),
            web.get(f"{PREFIX}/historical/cutoff", self._cutoff),
            web.get(f"{PREFIX}/series", self._all_series),
            web.get(f"{PREFIX}/series/fee_changes", self._fee_changes),
            web.get(f"{PREFIX}/series/{{series}}", self._series),
            web.get(f"{PREFIX}/events", self._events),
            web.get(f"{PREFIX}/events/fee_changes", self._event_fee_changes),
            web.get(f"{PREFIX}/events/{{event}}", self._event),
            web.get(f"{PREFIX}/events/{{event}}/metadata", self._metadata),
        ]

    async def _status(self, _request: web.Request) -> web.Response:
        """Tell each shard's state; the top level is that of the default one."""
        paused = self._exchange.paused_shards
        shards = [
            {
                "exchange_index": index,
                "description": words,
                "exchange_active": True,
                "trading_active": index not in paused,
                "intra_exchange_transfers_active": False,
            }
            for index, words in SHARDS.items()
        ]
        return answer(
            {
                "exchange_active": True,
                "trading_active": DEFAULT not in paused,
                "intra_exchange_transfers_active": False,
                "exchange_index_statuses": shards,
            }
        )

    async def _schedule(self, _request: web.Request) -> web.Response:
        week = {day: [{"open_time": "00:00", "close_time": "00:00"}] for day in DAYS}
        hours = [{"start_time": "2026-01-01T00:00:00Z", "end_time": "2027-01-01T00:00:00Z", **week}]
        return answer({"schedule": {"standard_hours": hours, "maintenance_windows": []}})

    async def _user_data_timestamp(self, _request: web.Request) -> web.Response:
        """Tell until when accounts' data is complete: here always until now."""
        return answer({"as_of_time": iso(self._world.now())})

    async def _cutoff(self, _request: web.Request) -> web.Response:
        names = (
            "market_settled_ts", "trades_created_ts", "orders_updated_ts", "market_positions_last_updated_ts",
        )  # fmt: skip
        return answer(dict.fromkeys(names, NOTHING_ARCHIVED))

    async def _all_series(self, _request: web.Request) -> web.Response:
        return answer({"series": [series_body(s.name) for s in MARKETS.series]})

    async def _fee_changes(self, _request: web.Request) -> web.Response:
        return answer({"series_fee_change_arr": []})

    async def _series(self, request: web.Request) -> web.Response:
        name = request.match_info["series"]
        if not any(series.name == name for series in MARKETS.series):
            raise not_found("series")
        return answer({"series": series_body(name)})

    async def _events(self, request: web.Request) -> web.Response:
        wanted = market_filter(request)
        groups: dict[str, list[SandboxMarket]] = {}
        for market in filter(wanted, self._world.markets(KALSHI)):
            groups.setdefault(market.event_id, []).append(market)
        events = list(groups.items())
        page, cursor = newest_first(request, events, lambda _: True, EVENTS_LIMIT)
        nested = flag(request, "with_nested_markets")
        fees = self._exchange.event_fees
        rows = [event_body(e, ms, fees.override_of(e), nested=nested) for e, ms in page]
        return answer({"events": rows, "cursor": cursor})

    async def _event_fee_changes(self, request: web.Request) -> web.Response:
        """Tell the changes to come; what is in force is told by the events themselves."""
        event, changes = request.query.get("event_ticker", ""), self._exchange.event_fees.changes
        page, cursor = newest_first(
            request, changes, lambda change: not change.is_done and event in ("", change.event), EVENTS_LIMIT
        )
        return answer({"event_fee_changes": [change.body() for change in page], "cursor": cursor})

    async def _event(self, request: web.Request) -> web.Response:
        name, markets = self._event_of(request)
        nested = flag(request, "with_nested_markets")
        override = self._exchange.event_fees.override_of(name)
        body: dict[str, Any] = {"event": event_body(name, markets, override, nested=nested)}
        # The schema requires the list beside the event, whether or not it is nested too.
        body["markets"] = [] if nested else [market_body(market) for market in markets]
        return answer(body)

    async def _metadata(self, request: web.Request) -> web.Response:
        _, markets = self._event_of(request)
        details = [{"market_ticker": m.id, "image_url": "", "color_code": ""} for m in markets]
        return answer({"image_url": "", "market_details": details, "settlement_sources": []})

    def _event_of(self, request: web.Request) -> tuple[str, list[SandboxMarket]]:
        name = request.match_info["event"]
        markets = [market for market in self._world.markets(KALSHI) if market.event_id == name]
        if not markets:
            raise not_found("event")
        return name, markets
