"""What a terminal shows of a running sandbox."""

from rich.console import Group
from rich.table import Table
from rich.text import Text

from libs.venues.kalshi import KALSHI
from proto.feed import MarketStatus
from proto.units import ONE, SECOND
from sandbox.server import Sandbox
from sandbox.texts import fixed
from sandbox.world.markets import SandboxMarket
from sandbox.world.venue_markets import market_venues
from sandbox.world.venue_prices import PriceSource

SHOWN_AFTER_CLOSE_S = 30
"""An ended market stays in the table for so long, to be seen settling."""
_STYLES = {
    MarketStatus.OPEN: "green",
    MarketStatus.LISTED: "dim",
    MarketStatus.DISPUTED: "red",
    MarketStatus.SETTLED: "blue",
}


def overview(sandbox: Sandbox) -> Group:
    """Return the price, the markets, and what struck."""
    world = sandbox.world
    prices = "   ".join(f"{source} {world.price.at(source):,.2f}" for source in PriceSource)
    table = Table(expand=False, pad_edge=False)
    for name in ("venue", "market", "status", "ends in", "bid", "ask", "last", "result"):
        right = name in ("ends in", "bid", "ask", "last")
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    now = world.now()
    for venue in market_venues():
        for market in world.markets(venue):
            if now < market.close_ns + SHOWN_AFTER_CLOSE_S * SECOND:
                table.add_row(*_row(market, now), style=_STYLES.get(market.status, ""))
    return Group(Text(prices), table, Text(_activity(sandbox)))


def _row(market: SandboxMarket, now: int) -> list[str]:
    bid, ask = market.book.best()
    left_s = max(0, market.close_ns - now) // SECOND
    name = market.id if market.venue == KALSHI else market.slug
    title = f"{name} {market.label}".rstrip()
    return [
        market.venue,
        title[:52],
        market.status.value,
        f"{left_s // 60}:{left_s % 60:02d}",
        *(_cents(price) for price in (bid, ask, market.last_price)),
        market.result,
    ]


def _cents(price: int | None) -> str:
    return "" if price is None else fixed(price, 3 if price % (ONE // 100) else 2)


def _activity(sandbox: Sandbox) -> str:
    struck = ", ".join(f"{venue} {kind} {n}" for (venue, kind), n in sorted(sandbox.faults.counts.items()))
    return f"{len(sandbox.arrivals)} requests that change something; faults: {struck or 'none'}"
