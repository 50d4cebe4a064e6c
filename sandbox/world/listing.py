"""Which markets exist: series whose windows roll over, one open and the next listed at any time."""

from itertools import pairwise

from libs.venues.kalshi import KALSHI
from libs.venues.manifold import MANIFOLD
from libs.venues.polymarket import POLYMARKET
from proto.units import ONE, SECOND
from sandbox.world import ids
from sandbox.world.markets import MarketKind, SandboxMarket
from sandbox.world.venue_markets import MarketSeries, markets_of

SPAN_S_MIN = 10
"""A window shorter than this is over before a client has read its listing."""
SETTLEMENT_AVERAGE_S = 60
RANGE_WIDTH = 0.006
"""Inner ranges of a neg-risk event are so wide, as a fraction of the price: all outcomes stay in play."""


def span_s(series: MarketSeries, time_scale: float) -> int:
    """Return the real length of a series' windows, in whole seconds."""
    return max(SPAN_S_MIN, round(series.window_s / time_scale))


def make_markets(
    seed: int, series: MarketSeries, open_s: int, time_scale: float, *, listed_ns: int, price: int
) -> list[SandboxMarket]:
    """Return the markets of one window: one, or the ranges of a neg-risk event.

    ``price`` (millionths of a dollar) is Bitcoin's now, around which levels and ranges are set.
    """
    close_s = open_s + span_s(series, time_scale)
    if series.kind is MarketKind.NEG_RISK:
        return _ranges(seed, series, (open_s, close_s), time_scale, listed_ns, price)
    market = _market(seed, series, (open_s, close_s), time_scale, listed_ns)
    if series.kind is MarketKind.QUESTION:
        market.strike = round(price / ONE / 50) * 50 * ONE
        market.title = f"Bitcoin above ${market.strike // ONE:,} at the close? {_words(open_s, close_s)}"
    return [market]


def _words(open_s: int, close_s: int) -> str:
    return ids.window_words(open_s, close_s)


def _market(
    seed: int,
    series: MarketSeries,
    window: tuple[int, int],
    time_scale: float,
    listed_ns: int,
    suffix: str = "",
) -> SandboxMarket:
    open_s, close_s = window
    named = series.venue == POLYMARKET and series.name.endswith("-up-or-down")
    start = ids.named_hour(open_s) if named else str(open_s)
    slug = f"{series.name}-{start}{suffix}"
    up_down = series.kind is MarketKind.UPDOWN and series.venue == POLYMARKET
    neg_risk = series.kind is MarketKind.NEG_RISK
    market_id, tokens = _identity(seed, series, slug, close_s)
    count = open_s // (close_s - open_s)
    facts = markets_of(series.venue)
    return SandboxMarket(
        id=market_id,
        venue=series.venue,
        kind=series.kind,
        series=series.name,
        slug=slug,
        title=_title(series, window),
        outcomes=("up", "down") if up_down else ("yes", "no"),
        window_s=series.window_s,
        listed_ns=listed_ns,
        open_ns=open_s * SECOND,
        close_ns=close_s * SECOND,
        price_steps=facts.price_steps,
        event_id=market_id.rsplit("-", 1)[0] if series.venue == KALSHI else f"{series.name}-{start}",
        event_title=_title(series, window),
        number=ids.number(seed, f"{series.venue}/{slug}"),
        version=series.version,
        tokens=tokens,
        neg_risk=neg_risk,
        disputes=series.kind is MarketKind.VOID
        or (facts.disputed_every > 0 and count % facts.disputed_every == 0),
        settlement_average_s=max(1.0, SETTLEMENT_AVERAGE_S / time_scale),
    )


def _identity(seed: int, series: MarketSeries, slug: str, close_s: int) -> tuple[str, tuple[str, ...]]:
    if series.venue == KALSHI:
        return ids.kalshi_ticker(series.name, close_s), ()
    if series.venue == MANIFOLD:
        return ids.digest(seed, slug, "contract").hex()[:12], ()
    if series.version == "v2":
        return ids.position_ids(seed, slug, neg_risk=series.kind is MarketKind.NEG_RISK)
    return ids.condition_id(seed, slug), ids.token_ids(seed, slug)


def _title(series: MarketSeries, window: tuple[int, int]) -> str:
    words = _words(*window)
    if series.kind is MarketKind.VOID:
        return f"Will the sandbox's coin land on heads? {words}"
    if series.kind is MarketKind.NEG_RISK:
        return f"Where will Bitcoin be? {words}"
    if series.venue == KALSHI:
        return f"BTC price up in {series.window_s // 60} minutes?"
    return f"Bitcoin Up or Down - {words}"


def _ranges(
    seed: int, series: MarketSeries, window: tuple[int, int], time_scale: float, listed_ns: int, price: int
) -> list[SandboxMarket]:
    """Return four ranges, the outer ones open: below, just below, just above and above the present price."""
    width = round(price * RANGE_WIDTH / ONE) * ONE
    middle = round(price / ONE / 10) * 10 * ONE
    bounds: tuple[int | None, ...] = (None, middle - width, middle, middle + width, None)
    markets = []
    for i, (lower, upper) in enumerate(pairwise(bounds)):
        market = _market(seed, series, window, time_scale, listed_ns, suffix=f"-{i}")
        market.lower, market.upper = lower, upper
        market.label = _range_words(lower, upper)
        market.title = f"Will Bitcoin be {market.label}? {_words(*window)}"
        markets.append(market)
    return markets


def _range_words(lower: int | None, upper: int | None) -> str:
    if lower is None:
        return f"below ${(upper or 0) // ONE:,}"
    if upper is None:
        return f"at or above ${lower // ONE:,}"
    return f"${lower // ONE:,} to ${upper // ONE:,}"
