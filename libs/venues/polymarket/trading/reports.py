"""The venue's rows as reports in our words: orders, and each of our parts in a trade.

A trade's top level is the taker's; when we were the maker, our fill is an element of ``maker_orders``
with its own order, outcome, side and price: on a mint or merge that is the other outcome's.
"""

from collections.abc import Callable

from libs.bounded import clip
from libs.venues.errors import BadAnswer
from libs.venues.gateway import FillReport, OrderReport
from libs.venues.polymarket import POLYMARKET
from libs.venues.polymarket.fees import fill_fee
from libs.venues.polymarket.schemas.answers import MakerRow, OrderRow, TradeRow, amount, moment
from libs.venues.polymarket.trading.directory import TradedMarket
from proto.feed import Side
from proto.units import ONE
from proto.venue import AckStatus, TradeStatus

REASON_CHARACTERS_MAX = 200
SEPARATE_CANCELS = "CANCELED_"
_WORKING = ("LIVE", "DELAYED", "UNMATCHED")
_EXPIRED = ("EXPIRED", "CANCELED_EXPIRED_ORDER", "CANCELED_ORDER_TIMED_OUT")


def is_working(row: OrderRow) -> bool:
    """Whether an order may still trade; one of an unknown status may."""
    return _status(row, 0, 0) is AckStatus.UNKNOWN or _word(row) in _WORKING


def order_report(row: OrderRow, instrument: str, at: int = 0) -> OrderReport:
    """An order as the venue knows it.

    A status that nobody knows is reported as such: the order may still trade.

    Raises:
        BadAnswer: for quantities that are none.
    """
    size, filled = amount(row.original_size, "size"), amount(row.size_matched, "matched size")
    status = _word(row)
    working = is_working(row)
    return OrderReport(
        client_order_id=row.id,
        venue_order_id=row.id,
        instrument=instrument,
        status=_status(row, size, filled),
        filled=filled,
        remaining=max(0, size - filled) if working else 0,
        reason="" if working or status == "MATCHED" else _reason(status),
        at=at or moment(row.timestamp),
    )


def _word(row: OrderRow) -> str:
    return row.status.upper().removeprefix("ORDER_STATUS_")


def _status(row: OrderRow, size: int, filled: int) -> AckStatus:
    status = _word(row)
    if status in _WORKING:
        return AckStatus.ACCEPTED
    if status == "MATCHED":
        # An order that trades at once and was not filled whole is over all the same.
        return AckStatus.ACCEPTED if filled >= size else AckStatus.CANCELED
    if status in _EXPIRED:
        return AckStatus.EXPIRED
    if status.startswith("CANCEL") or status == "INVALID":
        return AckStatus.CANCELED
    return AckStatus.UNKNOWN


def _reason(status: str) -> str:
    """The venue's words for why: what follows ``CANCELED_`` is one word or a whole sentence."""
    words = status.removeprefix(SEPARATE_CANCELS)
    return clip("".join(c for c in words if c.isprintable()), REASON_CHARACTERS_MAX).lower()


def trade_status(text: str) -> TradeStatus | None:
    """Return a trade's status; ``None`` for an unknown word."""
    word = text.lower().removeprefix("trade_status_")
    if word == "matched_not_broadcasted":
        # Matched, and not on its way to the chain yet.
        return TradeStatus.MATCHED
    try:
        return TradeStatus(word)
    except ValueError:
        return None


Ours = Callable[[str, str], bool]
"""Whether an owner (API key) or maker address is ours."""


def fill_reports(row: TradeRow, market: TradedMarket, ours: Ours) -> list[FillReport]:
    """Our parts of a trade: the taker's, a maker's, several makers', or none.

    With a status that nobody knows it is matched and not final: it is in the list, and what becomes of it is asked
    again until there is a word that we know.

    Raises:
        BadAnswer: for values that are none, or a token that is not of the market.
    """
    # Whole seconds: the user channel tells no more, and a fill must be the same by whatever way it comes.
    status, at = trade_status(row.status) or TradeStatus.MATCHED, moment(row.match_time)
    found = []
    makers = row.maker_orders or []
    if _is_taker(row, ours):
        price = _taker_price(row, makers)
        size = amount(row.size, "size")
        found.append(
            _fill(
                row.id,
                row.taker_order_id or "",
                row.asset_id,
                row.side,
                price,
                size,
                False,
                status,
                at,
                market,
            )
        )
    for maker in makers:
        if ours(maker.owner or "", maker.maker_address or ""):
            side = maker.side or _maker_side(row, maker)
            price, size = amount(maker.price, "price"), amount(maker.matched_amount, "matched amount")
            found.append(
                _fill(row.id, maker.order_id, maker.asset_id, side, price, size, True, status, at, market)
            )
    return found


def _is_taker(row: TradeRow, ours: Ours) -> bool:
    """``trader_side`` says on which side we are; without it the owner of the top level does."""
    if row.trader_side:
        return row.trader_side.upper() == "TAKER" and (
            not row.owner or ours(row.owner, row.maker_address or "")
        )
    return ours(row.owner or "", "")


def _maker_side(row: TradeRow, maker: MakerRow) -> str:
    """Older rows do not say: against the same outcome the other side, against the other one the same."""
    if maker.asset_id == row.asset_id:
        return "SELL" if row.side.upper() == "BUY" else "BUY"
    return row.side


def _taker_price(row: TradeRow, makers: list[MakerRow]) -> int:
    """Return what a contract really cost: the mean over the matched orders, where all of them are reported."""
    told = amount(row.price, "price")
    met = [(amount(m.matched_amount, "matched amount"), _in_space(m, row.asset_id)) for m in makers]
    total = sum(quantity for quantity, _ in met)
    if not met or total != amount(row.size, "size") or total == 0:
        return told
    return (2 * sum(quantity * price for quantity, price in met) + total) // (2 * total)


def _in_space(maker: MakerRow, asset: str) -> int:
    price = amount(maker.price, "price")
    return price if maker.asset_id == asset else ONE - price


def _fill(  # noqa: PLR0913, PLR0917 - one value each of a fill
    trade: str,
    order: str,
    asset: str,
    side: str,
    price: int,
    size: int,
    maker: bool,
    status: TradeStatus,
    at: int,
    market: TradedMarket,
) -> FillReport:
    token = next((t for t in market.tokens if t.token == asset), None)
    if token is None or side.upper() not in ("BUY", "SELL") or not 0 < price < ONE:
        raise BadAnswer(
            POLYMARKET, f"expected a fill of a token of its market, was {asset[:12]} {side[:8]} at {price}"
        )
    return FillReport(
        trade_id=trade,
        client_order_id=order,
        venue_order_id=order,
        instrument=token.instrument,
        side=Side(side.lower()),
        price=price,
        quantity=size,
        fee=fill_fee(market.fees, price, size, maker),
        maker=maker,
        status=status,
        at=at,
    )
