"""What REST bodies and lifecycle words say of a market: read and checked whole, before anything changes."""

import itertools
from typing import NamedTuple

import msgspec

from libs.bounded import clip, cut
from libs.venues.frame import DECODE_ERRORS, FrameError, check_length
from libs.venues.kalshi.fees import MAKER_RATE, MODEL, TAKER_RATE
from libs.venues.kalshi.market_data.grids import price_steps, structure_steps
from libs.venues.kalshi.market_data.market import KalshiMarket
from libs.venues.kalshi.market_data.payoff import Strikes, read_strikes
from libs.venues.kalshi.schemas import amounts
from libs.venues.kalshi.schemas import answers as rest
from libs.venues.numbers import number
from proto.feed import FeeSchedule, MarketStatus, PriceStep
from proto.units import ONE

REST_PREFIX = b'{"_rest"'
"""How a REST answer begins that was put among the frames."""
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

RestBody = rest.Markets | rest.OneMarket | rest.OneSeries | rest.Events | rest.OneBook | rest.Trades


class RestAnswer(NamedTuple):
    """A REST body among the frames; ``ticker`` names the market of a body that does not."""

    body: RestBody
    ticker: str = ""


class KalshiListing(NamedTuple):
    """A market as REST shows it, times in nanoseconds, prices in millionths; 0 and "" where it tells nothing."""

    ticker: str
    event: str
    series: str
    status: MarketStatus | None
    title: str
    strikes: Strikes
    open_at: int
    close_at: int
    expected_end_at: int
    result: str
    payout: int | None
    payout_floor: int
    price_steps: tuple[PriceStep, ...]


class EventFacts(NamedTuple):
    """What an event says of its markets. ``fees``: those that take the place of its series'."""

    ticker: str
    series: str
    exclusive: bool
    fees: FeeSchedule | None


class _Envelope(msgspec.Struct, rename={"name": "_rest"}, gc=False):
    name: str
    body: msgspec.Raw
    ticker: str = ""


_BODIES: dict[str, type[RestBody]] = {
    "markets": rest.Markets,
    "market": rest.OneMarket,
    "series": rest.OneSeries,
    "events": rest.Events,
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
        raise FrameError(clip(f"expected a Kalshi REST answer: {e}", 300)) from e
    return RestAnswer(body, amounts.ticker(envelope.ticker) if envelope.ticker else "")


def read_listing(body: rest.Market) -> KalshiListing:
    """The facts of a market.

    Raises:
        FrameError: for a price, strike or time that cannot be.
    """
    status = STATUSES.get(body.status)
    over = status in (MarketStatus.DETERMINED, MarketStatus.SETTLED)
    result = (body.result or "")[:20] if over else ""
    series = body.series_ticker or _shared_name(body.ticker, body.mve_collection_ticker or "")
    return KalshiListing(
        ticker=body.ticker,
        event=body.event_ticker or "",
        series=series,
        status=status,
        title=body.title or "",
        strikes=read_strikes(body.strike_type, body.floor_strike, body.cap_strike),
        open_at=amounts.nanoseconds(body.open_time) if body.open_time else 0,
        close_at=amounts.nanoseconds(body.close_time) if body.close_time else 0,
        expected_end_at=(
            amounts.nanoseconds(body.expected_expiration_time) if body.expected_expiration_time else 0
        ),
        result=result,
        payout=payout_of(result, body.settlement_value_dollars) if over else None,
        payout_floor=amounts.edge(body.settlement_floor_dollars or "0"),
        price_steps=price_steps(body.price_ranges or []) or structure_steps(body.price_level_structure or ""),
    )


def _shared_name(ticker: str, collection: str) -> str:
    """The series of a combination: what its ticker and its collection's both begin with, in whole words.

    Either goes on with words of its own (KXMVE…-SHARD1-S2026…-… and KXMVE…-SHARD1-R), and a series can have a hyphen.
    """
    shared = itertools.takewhile(
        lambda pair: pair[0] == pair[1], zip(ticker.split("-"), collection.split("-"), strict=False)
    )
    return "-".join(word for word, _ in shared)


def payout_of(result: str | None, value: str | None) -> int | None:
    """What YES pays where "yes" and "no" do not say it; ``None`` where they do, and where nothing is told.

    Raises:
        FrameError: for a value outside 0 to 1.
    """
    plain = {"yes": ONE, "no": 0}.get(result or "")
    payout = amounts.edge(value) if value else None
    return None if payout == plain else payout


def read_event(body: rest.Event) -> EventFacts:
    """The facts of an event.

    Raises:
        FrameError: for a multiplier that is no number.
    """
    fees = override_of(body.fee_type_override, body.fee_multiplier_override)
    return EventFacts(body.event_ticker, body.series_ticker or "", body.mutually_exclusive, fees)


def override_of(fee_type: str | None, multiplier: msgspec.Raw) -> FeeSchedule | None:
    """Fees of an event that replace its series'; ``None`` where it has none.

    Raises:
        FrameError: for a multiplier that is no number.
    """
    return schedule(fee_type, multiplier) if fee_type else None


def fees_of(series: rest.Series) -> FeeSchedule:
    """The fees of a series. One whose formula we do not know gets a name no formula has: it is not traded.

    Raises:
        FrameError: for a multiplier that is no number.
    """
    return schedule(series.fee_type, series.fee_multiplier)


def schedule(fee_type: str, raw: msgspec.Raw) -> FeeSchedule:
    """A fee type with its multiplier (its JSON text; none is 1).

    Raises:
        FrameError: for a multiplier that is no number.
    """
    text = bytes(raw).decode("utf-8", "replace").strip()
    multiplier = ONE if text in ("", "null") else number(text.strip('"'))
    if not 0 <= multiplier <= MULTIPLIER_MAX:
        raise FrameError(f"expected a fee multiplier from 0 to {MULTIPLIER_MAX // ONE}, was {clip(text, 40)}")
    taker, maker = TAKER_RATE * multiplier // ONE, MAKER_RATE * multiplier // ONE
    if fee_type == "quadratic":
        return FeeSchedule(model=MODEL, taker_rate=taker)
    # Combos charge makers too where the type says so; charging too much is the safe side.
    if fee_type in ("quadratic_with_maker_fees", "quadratic_with_combo_maker_fees"):
        return FeeSchedule(model=MODEL, taker_rate=taker, maker_rate=maker)
    return FeeSchedule(model=cut(f"kalshi_{fee_type or 'unknown'}", 100), taker_rate=taker)


def apply(market: KalshiMarket, listing: KalshiListing, at: int) -> None:
    """Apply a listing to a market; what the listing does not contain stays as it was."""
    market.strikes = market.strikes.updated(listing.strikes)
    if listing.event:
        market.event = listing.event
    if listing.expected_end_at:
        market.expected_end_at = listing.expected_end_at
    if listing.open_at:
        market.open_at = listing.open_at
    if listing.close_at:
        market.list_close(listing.close_at, at)
    if listing.title:
        market.set_title(listing.title)
    if listing.price_steps:
        market.price_steps = listing.price_steps
    if listing.result:
        market.result, market.payout = listing.result, listing.payout
    # A floor is raised while the market trades, and never lowered.
    market.payout_floor = max(market.payout_floor, listing.payout_floor)
