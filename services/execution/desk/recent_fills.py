"""Fills so new that the venue's positions may not count them yet."""

from libs.venues.gateway import FillReport
from proto.units import SECOND

MOVING_NS = 45 * SECOND
"""So new, a fill may not be counted in the positions yet. They are read first, and a whole reconciliation may take
35 s (both patiences); ten more for a venue whose positions lag behind its fills."""


class RecentFills:
    """The fills of the last ``MOVING_NS``."""

    def __init__(self) -> None:
        self._fills: dict[tuple[str, str], tuple[int, FillReport]] = {}

    def record(self, report: FillReport, now: int) -> None:
        """Record a fill, if it is new."""
        at = report.at or now
        if at > now - MOVING_NS:
            key = (report.trade_id, report.venue_order_id or report.client_order_id)
            self._fills.setdefault(key, (at, report))

    def moving(self, now: int) -> list[FillReport]:
        """Return those that are still new."""
        self._fills = {key: (at, r) for key, (at, r) in self._fills.items() if at > now - MOVING_NS}
        return [report for _, report in self._fills.values()]
