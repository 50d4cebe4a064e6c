"""Differences between our books and a venue's that neither fills on their way nor rounding explain. Pure."""

from collections.abc import Iterable, Mapping

from libs.portfolio.portfolio import Portfolio
from libs.venues.gateway import Balance, FillReport
from proto.feed import Side
from proto.units import ONE
from proto.venue import Difference

BALANCE_TOLERANCE = ONE // 100
"""A cent: fees and payouts are rounded by the venue, fill by fill."""
BALANCE_TOLERANCE_SHARE = 10_000
"""And one ten-thousandth of the balance, which many such roundings may add up to."""
STOPPING = ("position", "unreadable", "fill_changed")
"""Differences with which nothing new is sent; an over-filled order stops its own market."""


def position_differences(
    book: Portfolio, theirs: Mapping[str, int], moving: Iterable[FillReport]
) -> list[Difference]:
    """Return the instruments of which the venue shows another quantity than our books.

    ``moving``: fills so new, or so little settled, that the venue may or may not count them yet.
    What was paid out is no position any more, although a venue may go on showing it: at Polymarket what
    lost stays in the wallet.
    """
    slack: dict[str, tuple[int, int]] = {}
    for report in moving:
        less, more = slack.get(report.instrument, (0, 0))
        if report.side is Side.BUY:
            less += report.quantity
        else:
            more += report.quantity
        slack[report.instrument] = less, more
    found: list[Difference] = []
    ours = {instrument: position.quantity for _, instrument, position in book.open_positions()}
    paid_out = {instrument for ledger in book.ledgers.values() for instrument in ledger.payouts}
    for instrument in sorted({*ours, *theirs} - paid_out):
        mine, other = ours.get(instrument, 0), theirs.get(instrument, 0)
        less, more = slack.get(instrument, (0, 0))
        if not mine - less <= other <= mine + more:
            kind = "position" if _is_ours(book, instrument) else "foreign_position"
            found.append(Difference(kind, instrument, mine, other))
    return found


def balance_differences(book: Portfolio, theirs: Balance) -> list[Difference]:
    """Return the money that our fills, fees and payouts do not explain: a deposit, a withdrawal, or an error."""
    tolerance = max(BALANCE_TOLERANCE, abs(theirs.total) // BALANCE_TOLERANCE_SHARE)
    if abs(theirs.total - book.cash) <= tolerance:
        return []
    return [Difference("balance", "money", book.cash, theirs.total)]


def _is_ours(book: Portfolio, instrument: str) -> bool:
    """Whether an order of ours ever traded it, as far as the book remembers."""
    return any(instrument in ledger.positions for ledger in book.ledgers.values())
