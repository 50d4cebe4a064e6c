"""What scripts of an earlier build import and call, in today's terms.

The cases beside the recordings were written at build 829ba1a and stay as they are: their inputs and right values
stand. When something that one of them uses moves again, only these tables move with it.
"""

import importlib
import sys
from typing import Any

import asyncpg
import msgspec

from proto.feed import Market
from proto.message import Message
from services.feed.live.kalshi import KalshiSource

MODULES = {
    "libs.venues.binance.normalise": "libs.venues.binance.market_data.normalise",
    "libs.venues.coinbase.normalise": "libs.venues.coinbase.market_data.normalise",
    "libs.venues.kalshi.following": "libs.venues.kalshi.market_data.following",
    "libs.venues.kalshi.listings": "libs.venues.kalshi.market_data.listings",
    "libs.venues.kalshi.normalise": "libs.venues.kalshi.market_data.normalise",
    "libs.venues.kalshi.rest": "libs.venues.kalshi.schemas.answers",
    "libs.venues.manifold.normalise": "libs.venues.manifold.market_data.normalise",
    "libs.venues.polymarket.auth": "libs.venues.polymarket.trading.auth",
    "libs.venues.polymarket.normalise": "libs.venues.polymarket.market_data.normalise",
    "libs.venues.polymarket.request": "libs.venues.polymarket.trading.request",
    "tests.journal_tape": "tests.support.journal_tape",
    "tests.unit.exit_world": "tests.support.exit_world",
    "tests.unit.risk_world": "tests.support.risk_world",
    "tests.unit.signal_world": "tests.support.signal_world",
}
"""Former module → today's."""

NAMES = {
    "libs.exchange.exchange": {"Exchange": "PaperExchange"},
    "libs.exchange.orders": {"NewOrder": "ExchangeOrder"},
    "libs.venues.polymarket.trading.auth": {"Account": "SigningAccount"},
}
"""Today's module → former name → today's name."""


POSITIONS = "SELECT *, realised_profit - cost AS profit FROM journal.positions"


def restore() -> None:
    """Let this process use former names: for a process that runs one script and ends.

    Raises:
        ImportError: a module of the table has moved; the error names it.
        AttributeError: a name of it has changed.
    """
    for former, today in MODULES.items():
        module = importlib.import_module(today)
        sys.modules[former] = module
        package, _, name = former.rpartition(".")
        setattr(importlib.import_module(package), name, module)
    for path, names in NAMES.items():
        owner = importlib.import_module(path)
        for former, today in names.items():
            setattr(owner, former, getattr(owner, today))
    _restore_messages()
    _restore_kalshi_source()
    _restore_columns()


def _restore_messages() -> None:
    """Messages were structs: they were copied and asked for their fields as such."""
    replace = msgspec.structs.replace

    def replace_any(value: Any, **changes: Any) -> Any:
        return value.replace(**changes) if isinstance(value, Message) else replace(value, **changes)

    setattr(msgspec.structs, "replace", replace_any)  # noqa: B010  an assignment is refused by the types
    setattr(Market, "__struct_fields__", tuple(Market.model_fields))  # noqa: B010


def _restore_kalshi_source() -> None:
    """A look asked for series and markets; a poll asks for events besides, which the cases' venue does not have."""

    async def look(source: KalshiSource) -> None:
        for series in source._params.series:
            await source._poll_series(series)

    setattr(KalshiSource, "look", look)  # noqa: B010
    setattr(KalshiSource, "_look_at", KalshiSource._poll_series)  # noqa: B010


def _restore_columns() -> None:
    """A column ``profit`` of a position counted what is held at nothing: its realised profit less its cost."""
    fetch = asyncpg.Connection.fetchrow

    async def fetch_row(connection: Any, query: str, *arguments: Any) -> Any:
        return await fetch(
            connection, query.replace("SELECT * FROM journal.positions", POSITIONS), *arguments
        )

    setattr(asyncpg.Connection, "fetchrow", fetch_row)  # noqa: B010
