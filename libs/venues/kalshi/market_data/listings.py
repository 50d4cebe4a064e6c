"""What REST bodies and lifecycle words say of a market: read and checked whole, before anything changes."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from libs.venues.frame import DECODE_ERRORS, FrameError, check_length
from libs.venues.kalshi.fees import MAKER_RATE, MODEL, TAKER_RATE
from libs.venues.kalshi.market_data.market import STRUCTURES, KalshiMarket
from libs.venues.kalshi.schemas import amounts
from libs.venues.kalshi.schemas import answers as rest
from libs.venues.kalshi.schemas.wire import PriceRange
from libs.venues.numbers import PRICE_GRID, number
from proto.feed import FeeSchedule, MarketStatus, PriceStep
from proto.units import ONE

REST_PREFIX = b'{"_rest"'
"""How a REST answer begins that was put among the frames."""
PRICE_RANGES_MAX = 32
"""Bands of a price grid; the finest structure documented has three."""
MULTIPLIER_MAX = 10 * ONE

EVENTS = {
    "created": MarketStatus.LISTED,
    "activated": MarketStatus.OPEN,
    "open": MarketStatus.OPEN,
    "opened": MarketStatus.OPEN,
    "deactivated": MarketStatus.PAUSED,
    "close": MarketStatus.CLOSED,
    "closed": MarketStatus.CLOSED,
    "determined": MarketStatus.DETERMINED,
    "disputed": MarketStatus.DISPUTED,
    "settled": MarketStatus.SETTLED,
}
"""What a lifecycle event makes of a market; others (a new close, new metadata) leave its stage."""
STATUSES = {
    "initialized": MarketStatus.LISTED,
    "inactive": MarketStatus.PAUSED,
    "active": MarketStatus.OPEN,
    "open": MarketStatus.OPEN,
    "closed": MarketStatus.CLOSED,
    "determined": MarketStatus.DETERMINED,
    "amended": MarketStatus.DETERMINED,
    "disputed": MarketStatus.DISPUTED,
    "finalized": MarketStatus.SETTLED,
    "settled": MarketStatus.SETTLED,
}
"""Status words of the REST interface, which the recorder copies."""

RestBody = rest.Markets | rest.OneMarket | rest.OneSeries | rest.OneBook | rest.Trades


class RestAnswer(NamedTuple):
    """A REST body among the frames; ``ticker`` names the market of a body that does not."""

    body: RestBody
    ticker: str = ""


class KalshiListing(NamedTuple):
    """A market as REST shows it, times in nanoseconds, prices in millionths."""

    ticker: str
    status: MarketStatus | None
    title: str
    strike: int | None
    open_at: int
    close_at: int
    result: str
    payout: int | None
    payout_floor: int
    price_steps: tuple[PriceStep, ...]


class _Envelope(msgspec.Struct, rename={"name": "_rest"}, gc=False):
    name: str
    body: msgspec.Raw
    ticker: str = ""


_BODIES: dict[str, type[RestBody]] = {
    "markets": rest.Markets,
    "market": rest.OneMarket,
    "series": rest.OneSeries,
    "orderbook": rest.OneBook,
    "trades": rest.Trades,
}


def rest_frame(name: str, body: bytes, ticker: str = "") -> bytes:
    """Put a REST body among the frames, byte for byte as it came."""
    market = b',"ticker":' + msgspec.json.encode(ticker) if ticker else b""
    return REST_PREFIX + b":" + msgspec.json.encode(name) + market + b',"body":' + body + b"}"


def decode_rest(data: bytes) -> RestAnswer | None:
    """Read a REST answer; ``None`` for one of a kind that is not used here.

    Raises:
        FrameError: for a body of another shape than documented.
    """
    check_length(data)
    try:
        envelope = msgspec.json.decode(data, type=_Envelope)
        kind = _BODIES.get(envelope.name)
        if kind is None:
            return None
        body: RestBody = msgspec.json.decode(envelope.body, type=kind)
    except DECODE_ERRORS as e:
        raise FrameError(f"expected a Kalshi REST answer: {e}"[:300]) from e
    return RestAnswer(body, amounts.ticker(envelope.ticker) if envelope.ticker else "")


def read_listing(body: rest.Market) -> KalshiListing:
    """The facts of a market.

    Raises:
        FrameError: for a price, strike or time that cannot be.
    """
    status = STATUSES.get(body.status)
    over = status in (MarketStatus.DETERMINED, MarketStatus.SETTLED)
    return KalshiListing(
        ticker=body.ticker,
        status=status,
        title=body.title,
        strike=amounts.strike(body.floor_strike),
        open_at=amounts.nanoseconds(body.open_time) if body.open_time else 0,
        close_at=amounts.nanoseconds(body.close_time) if body.close_time else 0,
        result=body.result[:20] if over else "",
        payout=_payout(body) if over else None,
        payout_floor=amounts.edge(body.settlement_floor_dollars or "0"),
        price_steps=price_steps(body.price_ranges) or STRUCTURES.get(body.price_level_structure, ()),
    )


def _payout(body: rest.Market) -> int | None:
    """What YES pays where "yes" and "no" do not say it."""
    value = body.settlement_value_dollars
    plain = {"yes": ONE, "no": 0}.get(body.result)
    payout = None if not value else amounts.edge(value)
    return None if payout == plain else payout


def price_steps(ranges: Sequence[PriceRange]) -> tuple[PriceStep, ...]:
    """The price grid of a market, lowest band first; nothing for none.

    Raises:
        FrameError: for bands that are no grid.
    """
    if len(ranges) > PRICE_RANGES_MAX:
        raise FrameError(f"expected at most {PRICE_RANGES_MAX} price ranges, was {len(ranges)}")
    rows = sorted((number(row.start), number(row.step)) for row in ranges)
    for start, step in rows:
        if not (0 <= start < ONE and 0 < step <= ONE) or start % PRICE_GRID or step % PRICE_GRID:
            raise FrameError(f"expected a price range on the grid of 0.0001, was {start} by {step}")
    return tuple(PriceStep(start, step) for start, step in rows)


def fees_of(series: rest.Series) -> FeeSchedule:
    """The fees of a series. One whose formula we do not know gets a name no formula has: it is not traded.

    Raises:
        FrameError: for a multiplier that is no number.
    """
    text = bytes(series.fee_multiplier).decode("utf-8", "replace").strip()
    multiplier = ONE if text in ("", "null") else number(text.strip('"'))
    if not 0 <= multiplier <= MULTIPLIER_MAX:
        raise FrameError(f"expected a fee multiplier from 0 to {MULTIPLIER_MAX // ONE}, was {text[:40]}")
    taker, maker = TAKER_RATE * multiplier // ONE, MAKER_RATE * multiplier // ONE
    if series.fee_type == "quadratic":
        return FeeSchedule(model=MODEL, taker_rate=taker)
    # Combos charge makers too where the type says so; charging too much is the safe side.
    if series.fee_type in ("quadratic_with_maker_fees", "quadratic_with_combo_maker_fees"):
        return FeeSchedule(model=MODEL, taker_rate=taker, maker_rate=maker)
    return FeeSchedule(model=f"kalshi_{series.fee_type or 'unknown'}"[:100], taker_rate=taker)


def apply(market: KalshiMarket, listing: KalshiListing) -> None:
    """Take over what a listing tells; what it does not tell stays as it was."""
    if listing.strike is not None:
        market.strike = listing.strike
    if listing.open_at:
        market.open_at = listing.open_at
    if listing.close_at:
        market.set_close(listing.close_at)
    if listing.title:
        market.set_title(listing.title)
    if listing.price_steps:
        market.price_steps = listing.price_steps
    if listing.result:
        market.result, market.payout = listing.result, listing.payout
    market.payout_floor = max(market.payout_floor, listing.payout_floor)
