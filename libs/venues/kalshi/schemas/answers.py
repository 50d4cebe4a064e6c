"""Kalshi's REST bodies as typed structs: what is read of them, forgiving of everything else.

Money and counts are decimal strings on the wire (``*_dollars``, ``*_fp``); they stay strings here and are
read by whoever needs the number.
Source: docs/reference/venue-facts.md, Kalshi numbers; Kalshi market data; Kalshi fills and positions.
"""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from libs.venues.kalshi.schemas.wire import Level, Moment, PriceRange, Side, Ticker

Word = Annotated[str, Meta(max_length=120)]


class Market(Struct, gc=False):
    """A market, as lists and single answers give it. Times are missing only in nested summaries.

    Strikes are kept as their JSON text, to be read exactly.
    """

    ticker: Ticker
    status: Word = ""
    event_ticker: Word | None = None
    series_ticker: Word | None = None
    mve_collection_ticker: Word | None = None
    title: str | None = None
    yes_sub_title: str | None = None
    result: Word | None = None
    open_time: Moment | None = None
    close_time: Moment | None = None
    expected_expiration_time: Moment | None = None
    settlement_timer_seconds: int | None = None
    settlement_value_dollars: Word | None = None
    settlement_bounds_type: Word | None = None
    settlement_floor_dollars: Word | None = None
    price_level_structure: Word | None = None
    price_ranges: list[PriceRange] | None = None
    strike_type: Word | None = None
    floor_strike: msgspec.Raw = msgspec.Raw()
    cap_strike: msgspec.Raw = msgspec.Raw()
    exchange_index: int = 0


class Markets(Struct, gc=False):
    """A page of markets; ``cursor`` "" on the last. Each row is read by itself."""

    markets: list[msgspec.Raw]
    cursor: str = ""


class OneMarket(Struct, gc=False):
    """``GET /markets/{ticker}``."""

    market: Market


class Series(Struct, gc=False):
    """A series; ``fee_multiplier`` is kept as its JSON text, to be read exactly."""

    ticker: Word
    fee_type: Word = ""
    fee_multiplier: msgspec.Raw = msgspec.Raw()
    exchange_index: int | None = None
    title: str = ""


class OneSeries(Struct, gc=False):
    """``GET /series/{ticker}``."""

    series: Series


class Event(Struct, gc=False):
    """An event, with its markets when they are asked for."""

    event_ticker: Word
    series_ticker: Word | None = None
    mutually_exclusive: bool = False
    fee_type_override: Word | None = None
    fee_multiplier_override: msgspec.Raw = msgspec.Raw()
    markets: list[msgspec.Raw] | None = None


class Events(Struct, gc=False):
    """A page of events, each read by itself."""

    events: list[msgspec.Raw]
    cursor: str = ""


class BookBody(Struct, gc=False):
    """Bids of both outcomes, ascending: the best is the last."""

    yes_dollars: list[Level] | None = None
    no_dollars: list[Level] | None = None


class OneBook(Struct, gc=False):
    """``GET /markets/{ticker}/orderbook``; it does not name its market."""

    orderbook_fp: BookBody


class Trade(Struct, gc=False):
    """A public trade."""

    trade_id: Annotated[str, Meta(min_length=1, max_length=80, pattern=r"^[!-~]+\Z")]
    ticker: Ticker
    count_fp: Word
    yes_price_dollars: Word
    created_time: Moment | None = None
    taker_outcome_side: Side | None = None
    taker_side: Side | None = None
    is_block_trade: bool = False


class Trades(Struct, gc=False):
    """A page of trades, newest first."""

    trades: list[Trade]
    cursor: str = ""


class CandleBody(Struct, gc=False):
    """Prices of one period as decimal strings by name (``open_dollars`` …); ``None`` without a trade."""

    end_period_ts: int
    price: dict[str, str | None]
    yes_bid: dict[str, str | None]
    yes_ask: dict[str, str | None]
    volume_fp: Word = "0"
    open_interest_fp: Word = "0"


class Candles(Struct, gc=False):
    """``GET /series/{series}/markets/{ticker}/candlesticks``."""

    ticker: Word = ""
    candlesticks: list[CandleBody] = []


class ShardStatus(Struct, gc=False):
    """Whether a shard works, and whether it trades."""

    exchange_index: int
    exchange_active: bool
    trading_active: bool


class ExchangeStatus(Struct, gc=False):
    """Whether the exchange works, and whether it trades: between the two lies maintenance."""

    exchange_active: bool
    trading_active: bool
    exchange_index_statuses: list[ShardStatus] = []


class ShardBalance(Struct, gc=False):
    """Dollars on one shard: orders of its markets spend from it alone."""

    exchange_index: int
    balance: Word


class BalanceBody(Struct, gc=False):
    """``balance`` in cents; ``balance_dollars`` exactly, on newer servers."""

    balance: int
    balance_dollars: Word | None = None
    balance_breakdown: list[ShardBalance] | None = None


class MarketPosition(Struct, gc=False):
    """``position_fp`` is positive for YES contracts, negative for NO."""

    ticker: Ticker
    position_fp: Word
    market_exposure_dollars: Word = "0"
    realized_pnl_dollars: Word = "0"
    fees_paid_dollars: Word = "0"


class Positions(Struct, gc=False):
    """A page of positions, each a ``MarketPosition``."""

    market_positions: list[msgspec.Raw]
    cursor: str = ""


class Fill(Struct, gc=False):
    """A fill of ours. ``fee_cost`` in dollars; its side in the words of May 2026, the ones before are not read."""

    trade_id: Word
    order_id: Word
    count_fp: Word
    yes_price_dollars: Word
    is_taker: bool
    ticker: Word | None = ""
    market_ticker: Word | None = ""
    fill_id: Word | None = ""
    client_order_id: Word | None = ""
    book_side: Word | None = None
    outcome_side: Word | None = None
    fee_cost: Word | None = None
    created_time: datetime | None = None
    ts: int | None = None


class Fills(Struct, gc=False):
    """A page of fills, each a ``Fill``, newest first."""

    fills: list[msgspec.Raw]
    cursor: str = ""


class SettlementBody(Struct, gc=False):
    """A payout of a market. ``value`` is what a YES contract paid, in cents, where the venue reports it."""

    ticker: Ticker
    market_result: Word
    settled_time: Moment
    yes_count_fp: Word = "0"
    no_count_fp: Word = "0"
    value: int | None = None


class Settlements(Struct, gc=False):
    """A page of settlements, each a ``SettlementBody``, newest first."""

    settlements: list[msgspec.Raw]
    cursor: str = ""


class Order(Struct, gc=False):
    """An order as the venue knows it; ``status`` resting, canceled or executed."""

    order_id: Word
    ticker: Ticker
    status: Word
    yes_price_dollars: Word
    initial_count_fp: Word
    fill_count_fp: Word
    remaining_count_fp: Word
    client_order_id: Word | None = ""
    book_side: Word | None = None
    outcome_side: Word | None = None
    created_time: datetime | None = None
    last_update_time: datetime | None = None
    order_group_id: Word | None = None


class Orders(Struct, gc=False):
    """A page of orders, each an ``Order``."""

    orders: list[msgspec.Raw]
    cursor: str = ""


class OneOrder(Struct, gc=False):
    """``GET /portfolio/orders/{id}``."""

    order: Order


class Created(Struct, gc=False):
    """The answer to an order; for IOC and FOK the counts are final."""

    order_id: Annotated[str, Meta(min_length=1, max_length=120)]
    fill_count: Word
    remaining_count: Word
    client_order_id: Word = ""
    average_fill_price: Word | None = None
    average_fee_paid: Word | None = None
    ts_ms: int = 0


class ItemError(Struct, gc=False):
    """Why an item of a batch failed."""

    code: str = ""
    message: str = ""
    details: str = ""


class BatchItem(Struct, gc=False):
    """One order of a batch: either its answer, or ``error``."""

    order_id: Word = ""
    client_order_id: Word | None = None
    fill_count: Word | None = None
    remaining_count: Word | None = None
    reduced_by: Word | None = None
    ts_ms: int | None = None
    error: ItemError | None = None


class Batch(Struct, gc=False):
    """Answers of a batch, in the order of its items."""

    orders: list[BatchItem]


class Reduced(Struct, gc=False):
    """The answer to a cancel or a decrease: by how much the order shrank."""

    order_id: Word
    reduced_by: Word = "0"
    client_order_id: Word | None = None
    remaining_count: Word | None = None
    ts_ms: int | None = None


class Amended(Struct, gc=False):
    """The answer to an amendment."""

    order_id: Word
    client_order_id: Word | None = None
    fill_count: Word | None = None
    remaining_count: Word | None = None
    ts_ms: int | None = None


class NewGroup(Struct, gc=False):
    """A new order group."""

    order_group_id: Annotated[str, Meta(min_length=1, max_length=120)]


class GroupSummary(Struct, gc=False):
    """An order group in a list; ``contracts_limit_fp`` is counted over a rolling 15 seconds."""

    id: Word
    is_auto_cancel_enabled: bool = True
    contracts_limit_fp: Word | None = None
    exchange_index: int = 0


class Groups(Struct, gc=False):
    """``GET /portfolio/order_groups``."""

    order_groups: list[GroupSummary] = []


class Group(Struct, gc=False):
    """``GET /portfolio/order_groups/{id}``; not enabled means triggered: it takes no order until reset."""

    is_auto_cancel_enabled: bool
    orders: list[str] = []
    contracts_limit_fp: Word | None = None
