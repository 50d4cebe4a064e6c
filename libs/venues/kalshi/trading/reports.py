"""The venue's orders, fills, positions and payouts in our words. Pure."""

from datetime import UTC, datetime
from typing import Any, Protocol

from libs.bounded import clip
from libs.venues.errors import BadAnswer
from libs.venues.gateway import FillReport, OrderReport, SettlementReport, TradeStatus
from libs.venues.kalshi import KALSHI
from libs.venues.kalshi.legs import (
    NO,
    YES,
    BookSide,
    YesLeg,
    contract_of,
    instrument_of,
    market_of,
    own_leg,
    positioned,
)
from libs.venues.kalshi.schemas import answers as rest
from proto.units import ONE, SECOND, UnitError, parse
from proto.venue import AckStatus

_STATUSES = {
    "resting": AckStatus.ACCEPTED,
    "executed": AckStatus.ACCEPTED,
    "canceled": AckStatus.CANCELED,
    "pending": AckStatus.ACCEPTED,
}
"""An expired order is a canceled one at this venue; an executed one was accepted and has nothing left."""


_SIDES = {YES: "bid", NO: "ask"}
"""The outcome an order or fill is positioned for → its side of the YES book."""


class _Directed(Protocol):
    """The fields that give the side of the book. On the fields before May 2026 (``side``, ``action``) the sources disagree."""

    book_side: Any
    outcome_side: Any


def order_report(order: rest.Order, instrument: str) -> OrderReport:
    """An order of ours; ``instrument`` "" takes the outcome the venue says it is positioned for.

    A status that nobody knows is reported as such: the order may still trade.

    Raises:
        BadAnswer: for numbers or sides that are none.
    """
    status = _STATUSES.get(order.status, AckStatus.UNKNOWN)
    at = order.last_update_time or order.created_time
    return OrderReport(
        client_order_id=order.client_order_id or "",
        venue_order_id=order.order_id,
        instrument=instrument or instrument_of(order.ticker, positioned(book_side(order))),
        status=status,
        filled=amount(order.fill_count_fp),
        remaining=amount(order.remaining_count_fp) if status is not AckStatus.CANCELED else 0,
        at=moment_ns(at) if at else 0,
    )


def created_report(created: rest.Created, client_order_id: str, instrument: str, rests: bool) -> OrderReport:
    """The answer to a new order. One that does not rest and is not filled is canceled already."""
    filled, remaining = amount(created.fill_count), amount(created.remaining_count)
    gone = not rests and (not filled or bool(remaining))
    return OrderReport(
        client_order_id=client_order_id,
        venue_order_id=created.order_id,
        instrument=instrument,
        status=AckStatus.CANCELED if gone else AckStatus.ACCEPTED,
        filled=filled,
        remaining=remaining if rests else 0,
        at=created.ts_ms * 1_000_000,
    )


def fill_report(fill: rest.Fill, client_order_id: str, instrument: str) -> FillReport:
    """A fill of ours in the space of ``instrument``; "" takes the venue's words: long YES or long NO.

    Raises:
        BadAnswer: when it cannot be read whole, its fee included.
    """
    if fill.fee_cost is None:
        raise BadAnswer(KALSHI, f"expected the fee of fill {clip(fill.trade_id, 80)}")
    side = book_side(fill)
    instrument = instrument or instrument_of(fill.ticker or fill.market_ticker or "", positioned(side))
    leg = own_leg(contract_of(instrument).outcome, YesLeg(side, amount(fill.yes_price_dollars)))
    return FillReport(
        trade_id=fill.trade_id,
        client_order_id=client_order_id or fill.client_order_id or "",
        venue_order_id=fill.order_id,
        instrument=instrument,
        side=leg.side,
        price=leg.price,
        quantity=amount(fill.count_fp),
        fee=amount(fill.fee_cost),
        maker=not fill.is_taker,
        # No chain: a match is final.
        status=TradeStatus.CONFIRMED,
        at=moment_ns(fill.created_time) if fill.created_time else (fill.ts or 0) * SECOND,
    )


def book_side(found: _Directed) -> BookSide:
    """The side of the YES book an order or a fill is on.

    Raises:
        BadAnswer: when nothing says so, or in words that nobody knows.
    """
    said = found.book_side if found.book_side is not None else _SIDES.get(found.outcome_side)
    if said == "bid":
        return "bid"
    if said == "ask":
        return "ask"
    raise BadAnswer(
        KALSHI, f"expected a side of the book, was {clip(str(found.book_side or found.outcome_side), 40)!r}"
    )


def position_of(position: rest.MarketPosition) -> tuple[str, int] | None:
    """Instrument and contracts: a negative position is one in NO. ``None`` for none."""
    contracts = amount(position.position_fp)
    if not contracts:
        return None
    return instrument_of(position.ticker, YES if contracts > 0 else NO), abs(contracts)


def settlement_reports(settlement: rest.SettlementBody, yes_price: int) -> list[SettlementReport]:
    """Report both instruments' payouts: the venue nets YES against NO, our books may hold both."""
    at = moment_ns(settlement.settled_time)
    return [
        SettlementReport(
            market=market_of(settlement.ticker),
            instrument=instrument_of(settlement.ticker, outcome),
            price=price,
            at=at,
        )
        for outcome, price in ((YES, yes_price), (NO, ONE - yes_price))
    ]


def yes_payout(settlement: rest.SettlementBody) -> int | None:
    """What a YES contract paid; ``None`` where only the market says it exactly: scalar, void, or with a floor.

    ``value`` is whole cents, and payouts have up to four decimals.
    """
    if settlement.market_result == YES and settlement.value in (None, 100):
        return ONE
    if settlement.market_result == NO and settlement.value in (None, 0):
        return 0
    return None


def amount(text: str) -> int:
    """A decimal string in millionths.

    Raises:
        BadAnswer: for anything else.
    """
    try:
        return parse(text)
    except UnitError as e:
        raise BadAnswer(KALSHI, str(e)) from e


def moment_ns(moment: datetime) -> int:
    """A moment as nanoseconds since the epoch, exactly to the microsecond."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
