"""Turn a venue's reports into facts for the tape: each once, whichever channel brought it, in any order.

The answer to an order, the user stream and the reconciliation report the same events, late, twice and out of
order. The portfolio kept here shows what was published before: it is the same portfolio, over the same facts,
as everywhere else.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, TypeVar

from msgspec.structs import replace
from pydantic import ValidationError

from libs.bounded import keep_newest
from libs.portfolio.payouts import settlement_id_of
from libs.portfolio.portfolio import Portfolio
from libs.venues.gateway import FillReport, OrderReport, SettlementReport
from proto.feed import Side
from proto.ids import natural_key
from proto.message import Message, as_text
from proto.units import ONE, as_quantity, notional
from proto.venue import (
    Ack,
    AckStatus,
    Correction,
    Difference,
    Fill,
    Settlement,
    StatusReport,
    TradeState,
    TradeStatus,
)
from services.execution.desk.order_registry import OrderRegistry, OwnOrder

Fact = TypeVar("Fact", bound=Message)

TRADES_MAX = 50_000
"""Trades whose status is remembered, those that changed last: fills are asked for ten minutes back."""
HELD_FILLS_MAX = 1_000
"""Fills kept until the order they belong to is known by its venue id; seconds' worth, even in a storm."""
TRADE_ID_MAX = 60
"""Characters; a longer id of a venue's is replaced by its hash, so that the fill's id fits a name."""
ROUNDING_MAX = ONE // 100
"""A cent: what a venue's rounding may add to the money of an order."""
ENDED = (AckStatus.CANCELED, AckStatus.EXPIRED, AckStatus.REJECTED)
FINAL = (TradeStatus.CONFIRMED, TradeStatus.FAILED)
_RANKS = {TradeStatus.MATCHED: 0, TradeStatus.RETRYING: 1, TradeStatus.MINED: 1}


def fill_id_of(venue: str, trade_id: str, order: str) -> str:
    """Return the natural key of a fill."""
    if len(trade_id) > TRADE_ID_MAX:
        trade_id = sha256(trade_id.encode()).hexdigest()[:40]
    return natural_key("fill", venue, trade_id, order)


class VenueFacts:
    """Makes the facts of one venue. Methods named after facts return those that are new, in their order.

    ``book`` applies every fact; it begins as a copy of the machine's. ``stopped`` holds markets that
    take no new orders → why. ``differences`` are those found on the way, for every later reconciliation.
    """

    def __init__(self, venue: str, registry: OrderRegistry) -> None:
        self.venue = venue
        self.registry = registry
        self.book = Portfolio()
        self.stopped: dict[str, str] = {}
        self.differences: dict[tuple[str, str], Difference] = {}
        self.unconfirmed: dict[str, FillReport] = {}
        self.empty_fills = 0
        self._trades: dict[str, TradeStatus] = {}
        self._held: dict[tuple[str, str, str], FillReport] = {}

    # ── fills ──

    def fill_facts(self, report: FillReport) -> list[Message]:
        """Return what is new in a fill. One of an order not known (yet) by this id is held."""
        own = self.registry.match(report.client_order_id, report.venue_order_id)
        if own is None and self._was_published(report):
            return []
        if own is None:
            key = (report.trade_id, report.client_order_id, report.venue_order_id)
            self._held.pop(key, None)
            self._held[key] = report
            keep_newest(self._held, HELD_FILLS_MAX)
            return []
        return [*self._own_fill_facts(own, report), *self._ending_facts(own)]

    def _was_published(self, report: FillReport) -> bool:
        """Whether a fill was published before, of an order that ended so long ago that nobody remembers it."""
        market = report.instrument.rpartition(":")[0]
        ledger = self.book.ledgers.get(market)
        if ledger is None:
            return market in self.book.forgotten
        trade = fill_id_of(self.venue, report.trade_id, "")
        figures = (report.instrument, report.side is Side.BUY, report.price, report.quantity)
        return any(
            fill_id.startswith(trade)
            and (entry.instrument, entry.buy, entry.price, entry.quantity) == figures
            for fill_id, entry in ledger.fills.items()
        )

    def held_fill_facts(self) -> list[Message]:
        """Return the facts of held fills whose order is known by now."""
        out: list[Message] = []
        for key, report in list(self._held.items()):
            if self.registry.match(report.client_order_id, report.venue_order_id) is not None:
                del self._held[key]
                out += self.fill_facts(report)
        return out

    def drop_held_fills(self) -> list[FillReport]:
        """Remove and return the held fills: they belong to no order of ours."""
        foreign = list(self._held.values())
        self._held.clear()
        return foreign

    @property
    def has_held_fills(self) -> bool:
        """Whether fills wait for their order."""
        return bool(self._held)

    def _own_fill_facts(self, own: OwnOrder, report: FillReport) -> list[Message]:
        if report.quantity <= 0:
            self.empty_fills += 1
            return []
        approval = own.approval
        fill_id = fill_id_of(self.venue, report.trade_id, approval.order)
        fill = _message_or_none(
            Fill,
            fill_id=fill_id,
            order=approval.order,
            market=approval.market,
            instrument=report.instrument,
            strategy=approval.strategy,
            side=report.side,
            price=report.price,
            quantity=report.quantity,
            fee=report.fee,
            maker=report.maker,
            at=max(report.at, 0),
        )
        own.misses = 0
        if report.instrument != approval.instrument:
            self._record_difference("unreadable", f"{fill_id}: {report.instrument}", 0, 0)
            self.stopped[approval.market] = "fill of another instrument"
        if fill is None:
            self._record_difference("unreadable", fill_id, 0, report.quantity)
            return []
        before = own.fills.get(fill_id)
        out: list[Message] = []
        if self.book.apply(fill):
            out.append(fill)
        if before is None:
            own.fills[fill_id] = report.quantity
            self.check_total(own)
        elif before != report.quantity:
            self._record_difference("fill_changed", fill_id, before, report.quantity)
        return out + self._trade_facts(own, fill_id, report, was_known=not out)

    def check_total(self, own: OwnOrder) -> None:
        """Stop an order's market when more traded than was approved, until an operator has looked into it.

        A purchase may bring more contracts for the money that was approved: Polymarket spends the whole
        amount of an order that trades at once, also at better prices.
        """
        approval = own.approval
        if own.traded <= approval.quantity:
            return
        if approval.side is Side.BUY:
            ledger = self.book.ledgers.get(approval.market)
            entries = (
                [] if ledger is None else [e for f in own.fills if (e := ledger.fills.get(f)) is not None]
            )
            spent = sum(notional(entry.price, entry.quantity) for entry in entries)
            if spent <= notional(approval.price, approval.quantity) + ROUNDING_MAX:
                return
        self._record_difference("over_fill", approval.order, approval.quantity, own.traded)
        self.stopped[approval.market] = "over-filled"

    def _trade_facts(
        self, own: OwnOrder, fill_id: str, report: FillReport, *, was_known: bool
    ) -> list[Message]:
        before, now = self._trades.get(fill_id), report.status
        if before in FINAL or before is now:
            if before is TradeStatus.CONFIRMED and now is TradeStatus.FAILED:
                self._record_difference("fill_changed", fill_id, report.quantity, 0)
            else:
                return []
        if before is not None and now not in FINAL and _RANKS[now] < _RANKS[before]:
            return []
        self._trades.pop(fill_id, None)
        self._trades[fill_id] = now
        keep_newest(self._trades, TRADES_MAX)
        if now in FINAL:
            self.unconfirmed.pop(fill_id, None)
        else:
            self.unconfirmed[fill_id] = report
        if now is TradeStatus.CONFIRMED and before is None and not was_known:
            return []
        out: list[Message] = [
            TradeState(
                fill_id=fill_id,
                order=own.approval.order,
                instrument=report.instrument,
                status=now,
                at=max(report.at, 0),
            )
        ]
        if now is TradeStatus.FAILED:
            correction = Correction(
                correction_id=natural_key("correction", fill_id),
                fill_id=fill_id,
                order=own.approval.order,
                reason="the trade failed to settle",
            )
            if self.book.apply(correction):
                out.append(correction)
        return out

    # ── orders ──

    def order_facts(self, own: OwnOrder, report: OrderReport, *, asked: bool) -> list[Message]:
        """Return what is new in a report of an order: the answer to a look-up (``asked``) or sent unasked.

        An ending waits until all fills that the venue counts are published: risk releases what an order reserved
        when it ends, so the fills have to be there first.
        """
        self.registry.set_venue_id(own, report.venue_order_id)
        own.misses = 0
        out = self.held_fill_facts()
        if report.status is AckStatus.UNKNOWN:
            return out if asked else [*out, self._ack(own, report)]
        own.venue_filled = max(own.venue_filled, report.filled)
        report = _as_ended_by_rounding(own, report)
        if report.status in ENDED:
            if own.ending is None or not asked:
                own.ending = report
            return out + self._ending_facts(own, again=asked)
        if asked and own.ending is None and (report.remaining or not report.filled):
            return [*out, self._status(own, report)]
        if not asked and own.published_status is None:
            own.published_status = report.status
            return [*out, self._ack(own, report)]
        return out

    def _ending_facts(self, own: OwnOrder, *, again: bool = False) -> list[Message]:
        """Return an ending whose fills are all published; ``again``: it was asked for, so the first was lost."""
        report = own.ending
        if report is None or own.traded < own.venue_filled:
            return []
        if own.published_status in ENDED and not again:
            return []
        own.published_status = report.status
        return [self._ack(own, report)]

    def absent(self, own: OwnOrder) -> StatusReport:
        """Make the fact that the order is not, and will not be, at the venue."""
        return StatusReport(order=own.approval.order, found=False)

    def _ack(self, own: OwnOrder, report: OrderReport) -> Ack:
        return Ack(
            order=own.approval.order,
            status=report.status,
            remaining=as_quantity(report.remaining),
            venue_order_id=as_text(report.venue_order_id),
            reason=as_text(report.reason),
        )

    def _status(self, own: OwnOrder, report: OrderReport) -> StatusReport:
        return StatusReport(
            order=own.approval.order,
            found=True,
            status=report.status,
            filled=as_quantity(report.filled),
            remaining=as_quantity(report.remaining),
        )

    def orders_with_missing_fills(self) -> list[OwnOrder]:
        """Return the orders of which the venue counts more fills than were published."""
        return [own for own in self.registry if own.traded < own.venue_filled]

    # ── settlements ──

    def settlement_facts(self, reports: Sequence[SettlementReport]) -> list[Message]:
        """Return new payouts of what we held; those of foreign positions are not ours to publish.

        A market that was resolved anew pays another price: of an instrument, the newest report counts.
        """
        out: list[Message] = []
        newest = {report.instrument: report for report in sorted(reports, key=lambda report: report.at)}
        for report in newest.values():
            ledger = self.book.ledgers.get(report.market)
            if ledger is None or report.instrument not in ledger.positions:
                continue
            if ledger.payouts.get(report.instrument) == report.price:
                continue
            settlement = _message_or_none(
                Settlement,
                settlement_id=settlement_id_of(
                    self.venue,
                    report.instrument,
                    ledger.payouts.get(report.instrument),
                    report.price,
                    report.at,
                ),
                market=report.market,
                instrument=report.instrument,
                price=report.price,
                at=max(report.at, 0),
            )
            if settlement is not None and self.book.apply(settlement):
                out.append(settlement)
        return out

    def _record_difference(self, difference: str, topic: str, ours: int, theirs: int) -> None:
        self.differences[(difference, topic)] = Difference(difference, topic, ours, theirs)


def _as_ended_by_rounding(own: OwnOrder, report: OrderReport) -> OrderReport:
    """Make an ending of a report where the venue filled all that it was sent, and that was less than approved.

    What an adapter rounds off an order never trades, and after a restart the adapter does not know of it.
    """
    all_of_it = report.status is AckStatus.ACCEPTED and not report.remaining
    if not all_of_it or not 0 < report.filled < own.approval.quantity:
        return report
    return replace(report, status=AckStatus.CANCELED, reason="rounded")


def _message_or_none(model: type[Fact], **fields: Any) -> Fact | None:
    """Make a fact, or return ``None`` for one that no message can carry: a venue's figures may be anything."""
    try:
        return model(**fields)
    except ValidationError:
        return None
