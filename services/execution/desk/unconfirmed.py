"""Fills that are not final: tracked on, also after a restart, since a trade may have failed meanwhile."""

import logging

from libs.portfolio.portfolio import Portfolio
from libs.venues.gateway import FillReport
from proto.feed import Side
from proto.units import SECOND
from proto.venue import TradeStatus
from services.execution.desk.order_registry import OwnOrder

TRACKED_NS = 7 * 86_400 * SECOND
"""Since the trade. Fills are asked for from the oldest one that is tracked, in every reconciliation."""

log = logging.getLogger("presage.desk")


def restore_fill(own: OwnOrder, fill_id: str, at: int, book: Portfolio, now: int) -> FillReport | None:
    """Return the fill as the books have it, as if the venue had just reported it as matched.

    ``None``: it is final by now, or too old. ``at`` (when it traded) and ``now`` are in ns.
    """
    ledger = book.ledgers.get(own.approval.market)
    entry = ledger.fills.get(fill_id) if ledger is not None else None
    if entry is None or entry.undone or _is_expired(at, now):
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


def drop_expired(unconfirmed: dict[str, FillReport], now: int) -> None:
    """Drop what is not final after so long (by fill id); the monitor has alerted long ago.

    One without a time stays: nothing is asked for on its behalf.
    """
    expired = [
        fill_id for fill_id, report in unconfirmed.items() if report.at and _is_expired(report.at, now)
    ]
    for fill_id in expired:
        del unconfirmed[fill_id]
        log.warning("fill never final, followed no more", extra={"fill": fill_id})


def _is_expired(at: int, now: int) -> bool:
    return at < now - TRACKED_NS
