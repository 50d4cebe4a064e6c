"""The stop of a position, and the price at which it leaves at once: without any state."""

from libs.indicators.grid import price_down, price_min, price_step
from proto.feed import Market
from proto.units import Price, scale
from services.exit.params import ExitParams


def stop_price(entry: Price, market: Market, params: ExitParams) -> Price:
    """The bid at or below which the loss is stopped.

    At least ``stop_min_ticks`` ticks below the entry: one tick of a cheap contract is already more
    than the configured loss, and the spread alone would stop every position the moment it opens.
    """
    ticks = params.stop_min_ticks * price_step(market, entry)
    return max(0, entry - max(scale(entry, params.stop_loss), ticks))


def close_price(bid: Price, market: Market, params: ExitParams) -> Price:
    """The worst price a marketable exit accepts: some ticks below the bid, above 0."""
    lowest = price_min(market)
    wanted = bid - params.slippage_ticks * price_step(market, bid)
    return lowest if wanted <= lowest else price_down(market, wanted)
