"""Numbers, times and markets as Kalshi writes them."""

from datetime import UTC, datetime
from typing import Any

from proto.feed import Level, MarketStatus
from proto.units import ONE
from sandbox.kalshi.shards import CRYPTO
from sandbox.world.markets import SandboxMarket

SETTLEMENT_TIMER_S = 3
"""As the world settles: so many seconds after the result."""
PRICE_GRID = 100
COUNT_GRID = 10_000
OBJECT_STATUS = {
    MarketStatus.LISTED: "initialized",
    MarketStatus.PAUSED: "inactive",
    MarketStatus.OPEN: "active",
    MarketStatus.CLOSED: "closed",
    MarketStatus.DETERMINED: "determined",
    MarketStatus.DISPUTED: "disputed",
    MarketStatus.SETTLED: "finalized",
}
"""Status words of market objects."""
FILTER_STATUS = {
    "unopened": frozenset({MarketStatus.LISTED}),
    "open": frozenset({MarketStatus.OPEN}),
    "paused": frozenset({MarketStatus.PAUSED}),
    "closed": frozenset({MarketStatus.CLOSED, MarketStatus.DETERMINED, MarketStatus.DISPUTED}),
    "settled": frozenset({MarketStatus.SETTLED}),
}
"""Status words of filters: others than those of the objects, and a wrong one is refused."""
RULES = "If the average of the index over the minute before the close is at or above the strike, Yes."


def dollars(value: int) -> str:
    """Return a price or an amount with four decimals, rounded down."""
    sign = "-" if value < 0 else ""
    whole, rest = divmod(abs(value), ONE)
    return f"{sign}{whole}.{rest // PRICE_GRID:04d}"


def fine_dollars(value: int) -> str:
    """Return an amount with six decimals, as fees and costs have."""
    sign = "-" if value < 0 else ""
    whole, rest = divmod(abs(value), ONE)
    return f"{sign}{whole}.{rest:06d}"


def count(value: int) -> str:
    """Return a number of contracts with two decimals."""
    sign = "-" if value < 0 else ""
    whole, rest = divmod(abs(value), ONE)
    return f"{sign}{whole}.{rest // COUNT_GRID:02d}"


def iso(at: int, *, fraction: bool = True) -> str:
    """Return a moment (ns) as the venue writes it."""
    seconds, rest = divmod(at, 1_000_000_000)
    text = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
    return f"{text}.{rest // 1_000:06d}Z" if fraction else f"{text}Z"


def price_ranges(market: SandboxMarket) -> list[dict[str, str]]:
    """Return the valid prices of a market, by band."""
    starts = [step.start for step in market.price_steps]
    return [
        {"start": dollars(step.start), "end": dollars(end), "step": dollars(step.step)}
        for step, end in zip(market.price_steps, [*starts[1:], ONE], strict=True)
    ]


def bids(market: SandboxMarket) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
    """Return the bids of both outcomes, best first; none once the market is not open."""
    if market.status is not MarketStatus.OPEN:
        return (), ()
    return market.book.levels(0)[0], market.book.levels(1)[0]


def rows(levels: tuple[Level, ...], depth: int = 0) -> list[list[str]]:
    """Return levels as the venue lists them: ascending, the best last; ``depth`` of the best, 0 for all."""
    kept = levels[:depth] if depth else levels
    return [[dollars(level.price), count(level.quantity)] for level in reversed(kept)]


def market_body(market: SandboxMarket) -> dict[str, Any]:
    """Return a market object."""
    yes, no = bids(market)
    yes_bid, yes_bid_size = (yes[0].price, yes[0].quantity) if yes else (0, 0)
    no_bid, no_bid_size = (no[0].price, no[0].quantity) if no else (0, 0)
    strike = _dollar_words(market)
    body: dict[str, Any] = {
        "ticker": market.id,
        "event_ticker": market.event_id,
        "market_type": "binary",
        "title": market.title,
        "yes_sub_title": strike,
        "no_sub_title": strike,
        "created_time": iso(market.listed_ns),
        "open_time": iso(market.open_ns, fraction=False),
        "close_time": iso(market.close_ns, fraction=False),
        "expiration_time": iso(market.close_ns, fraction=False),
        "expected_expiration_time": iso(market.close_ns, fraction=False),
        "latest_expiration_time": iso(market.close_ns + 7 * 86_400 * 10**9, fraction=False),
        "occurrence_datetime": iso(market.close_ns, fraction=False),
        "updated_time": iso(max(market.listed_ns, market.closed_ns, market.determined_ns, market.settled_ns)),
        "settlement_timer_seconds": SETTLEMENT_TIMER_S,
        "status": OBJECT_STATUS[market.status],
        "result": market.result if market.status is not MarketStatus.CLOSED else "",
        "expiration_value": dollars(market.settlement_value)
        if market.result and market.settlement_value
        else "",
        "yes_bid_dollars": dollars(yes_bid),
        "yes_bid_size_fp": count(yes_bid_size),
        "yes_ask_dollars": dollars(ONE - no_bid),
        "yes_ask_size_fp": count(no_bid_size),
        "no_bid_dollars": dollars(no_bid),
        "no_ask_dollars": dollars(ONE - yes_bid),
        "last_price_dollars": dollars(market.last_price or 0),
        "previous_price_dollars": "0.0000",
        "previous_yes_bid_dollars": "0.0000",
        "previous_yes_ask_dollars": "0.0000",
        "volume_fp": count(market.volume),
        "volume_24h_fp": count(market.volume),
        "open_interest_fp": count(market.open_interest),
        "liquidity_dollars": "0.0000",
        "notional_value_dollars": "1.0000",
        "price_level_structure": "tapered_deci_cent",
        "price_ranges": price_ranges(market),
        "settlement_bounds_type": "default",
        "can_close_early": True,
        "early_close_condition": "",
        "strike_type": "greater_or_equal",
        "rules_primary": RULES,
        "rules_secondary": "This market is synthetic: nobody pays anything for it.",
        "exchange_index": CRYPTO,
    }
    if market.strike is not None:
        body["floor_strike"] = market.strike // COUNT_GRID / 100
    if market.status is MarketStatus.SETTLED:
        body["settlement_ts"] = iso(market.settled_ns)
        body["settlement_value_dollars"] = dollars(market.payout(0))
    return body


def _dollar_words(market: SandboxMarket) -> str:
    return f"${market.strike / ONE:,.2f} or above" if market.strike is not None else "Target price TBD"


def series_body(name: str) -> dict[str, Any]:
    """Return a series object."""
    return {
        "ticker": name,
        "title": "Bitcoin price up or down",
        "category": "Crypto",
        "categories": ["Crypto"],
        "frequency": "custom",
        "tags": ["BTC"],
        "fee_type": "quadratic",
        "fee_multiplier": 1,
        "exchange_index": CRYPTO,
        "settlement_sources": [{"name": "the sandbox", "url": "http://localhost"}],
        "contract_url": "",
        "contract_terms_url": "",
        "additional_prohibitions": [],
        "product_metadata": {},
        "last_updated_ts": "2026-08-19T15:45:47.523967Z",
    }


def event_body(
    event_id: str, markets: list[SandboxMarket], override: dict[str, Any], *, nested: bool
) -> dict[str, Any]:
    """Return an event object, with its markets when asked for; ``override`` is what it says of its own fees."""
    first = markets[0]
    body: dict[str, Any] = {
        "event_ticker": event_id,
        "series_ticker": first.series,
        "title": first.event_title,
        "sub_title": "",
        "category": "Crypto",
        "collateral_return_type": "",
        "mutually_exclusive": False,
        "available_on_brokers": True,
        "strike_period": "",
        "product_metadata": {},
        "settlement_sources": [],
        "exchange_index": CRYPTO,
        "last_updated_ts": iso(first.listed_ns),
        **override,
    }
    if nested:
        body["markets"] = [market_body(market) for market in markets]
    return body
