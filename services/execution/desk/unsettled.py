"""Fills of the process before that are not final: followed on, since a trade may have failed meanwhile."""

from libs.portfolio.portfolio import Portfolio
from libs.venues.gateway import FillReport
from proto.feed import Side
from proto.units import SECOND
from proto.venue import TradeStatus
from services.execution.desk.orders import OwnOrder

FOLLOWED_NS = 7 * 86_400 * SECOND
"""Since the trade. Fills are asked for from the oldest one that is followed, in every reconciliation."""


def followed(own: OwnOrder, fill_id: str, at: int, book: Portfolio, now: int) -> FillReport | None:
    """The fill as the books have it, as if the venue had told it just now as matched.

    ``None``: nothing can become of it any more. ``at`` (when it traded) and ``now`` are in ns.
    """
    ledger = book.ledgers.get(own.approval.market)
    entry = ledger.fills.get(fill_id) if ledger is not None else None
    if entry is None or entry.undone or at < now - FOLLOWED_NS:
        return None
    return FillReport(
        trade_id=fill_id,
        client_order_id=own.client_order_id,
        venue_order_id=own.venue_order_id,
        instrument=entry.instrument,
        side=Side.BUY if entry.buy else Side.SELL,
        price=entry.price,
        quantity=entry.quantity,
        fee=entry.fee,
        maker=False,
        status=TradeStatus.MATCHED,
        at=at,
    )
