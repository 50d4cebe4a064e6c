"""From a venue's reports to facts for the tape: each once, whichever channel brought it, in any order.

The answer to an order, the user stream and the reconciliation say the same things, late, twice and out of
order. What was told before is known from the portfolio that is folded here alongside: the same fold, over
the same facts, as everywhere else.
"""

from collections.abc import Sequence
from hashlib import sha256

from msgspec.structs import replace

from libs.contract.codec import Unreadable, decode, encode
from libs.portfolio.portfolio import Portfolio
from libs.venues.gateway import FillReport, OrderReport, SettlementReport
from proto.feed import Side
from proto.message import Message
from proto.units import ONE, notional
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
from services.execution.desk.orders import OwnOrder, OwnOrders

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
    """The natural key of a fill."""
    if len(trade_id) > TRADE_ID_MAX:
        trade_id = sha256(trade_id.encode()).hexdigest()[:40]
    return f"fill:{venue}:{trade_id}:{order}"


class VenueFacts:
    """What is to be told of one venue. Every method returns the facts that are new, in their order.

    ``book`` is folded with what is told; it begins as the machine's copy. ``stopped`` holds markets that
    take no new orders → why. ``oddities`` are differences found on the way, until a reconciliation tells them.
    """

    def __init__(self, venue: str, orders: OwnOrders, book: Portfolio) -> None:
        self.venue = venue
        self.orders = orders
        self.book = book
        self.stopped: dict[str, str] = {}
        self.oddities: dict[tuple[str, str], Difference] = {}
        self.unconfirmed: dict[str, FillReport] = {}
        self.empty_fills = 0
        self._trades: dict[str, TradeStatus] = {}
        self._held: dict[tuple[str, str, str], FillReport] = {}

    # ── fills ──

    def take_fill(self, report: FillReport) -> list[Message]:
        """A fill, or news of one. One of an order not known (yet) by this id is held."""
        own = self.orders.find(report.client_order_id, report.venue_order_id)
        if own is None and self._is_past(report):
            return []
        if own is None:
            key = (report.trade_id, report.client_order_id, report.venue_order_id)
            self._held.pop(key, None)
            self._held[key] = report
            if len(self._held) > HELD_FILLS_MAX:
                del self._held[next(iter(self._held))]
            return []
        return [*self._take_own(own, report), *self._release(own)]

    def _is_past(self, report: FillReport) -> bool:
        """Whether it was told before, of an order that ended so long ago that nobody remembers it."""
        market = report.instrument.rpartition(":")[0]
        ledger = self.book.ledgers.get(market)
        if ledger is None:
            return market in self.book.forgotten
        trade = fill_id_of(self.venue, report.trade_id, "")
        told = (report.instrument, report.side is Side.BUY, report.price, report.quantity)
        return any(
            fill_id.startswith(trade) and (entry.instrument, entry.buy, entry.price, entry.quantity) == told
            for fill_id, entry in ledger.fills.items()
        )

    def take_held(self) -> list[Message]:
        """Fills that came before their order's id did."""
        found: list[Message] = []
        for key, report in list(self._held.items()):
            if self.orders.find(report.client_order_id, report.venue_order_id) is not None:
                del self._held[key]
                found += self.take_fill(report)
        return found

    def drop_held(self) -> list[FillReport]:
        """Fills that belong to nobody we know: they are not ours."""
        foreign = list(self._held.values())
        self._held.clear()
        return foreign

    @property
    def holds_fills(self) -> bool:
        """Whether fills wait for their order."""
        return bool(self._held)

    def _take_own(self, own: OwnOrder, report: FillReport) -> list[Message]:
        if report.quantity <= 0:
            self.empty_fills += 1
            return []
        approval = own.approval
        fill_id = fill_id_of(self.venue, report.trade_id, approval.order)
        fill = Fill(
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
            self._note("unreadable", f"{fill_id}: {report.instrument}", 0, 0)
            self.stopped[approval.market] = "fill of another instrument"
        if not _readable(fill):
            self._note("unreadable", fill_id, 0, report.quantity)
            return []
        before = own.fills.get(fill_id)
        out: list[Message] = []
        if self.book.apply(fill):
            out.append(fill)
        if before is None:
            own.fills[fill_id] = report.quantity
            self.check_total(own)
        elif before != report.quantity:
            self._note("fill_changed", fill_id, before, report.quantity)
        return out + self._take_trade(own, fill_id, report, was_known=not out)

    def check_total(self, own: OwnOrder) -> None:
        """More traded than was approved: nothing more is sent to that market until somebody has looked.

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
        self._note("over_fill", approval.order, approval.quantity, own.traded)
        self.stopped[approval.market] = "over-filled"

    def _take_trade(
        self, own: OwnOrder, fill_id: str, report: FillReport, *, was_known: bool
    ) -> list[Message]:
        before, now = self._trades.get(fill_id), report.status
        if before in FINAL or before is now:
            if before is TradeStatus.CONFIRMED and now is TradeStatus.FAILED:
                self._note("fill_changed", fill_id, report.quantity, 0)
            else:
                return []
        if before is not None and now not in FINAL and _RANKS[now] < _RANKS[before]:
            return []
        self._trades[fill_id] = now
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
                correction_id=f"correction:{fill_id}"[:120],
                fill_id=fill_id,
                order=own.approval.order,
                reason="the trade failed to settle",
            )
            if self.book.apply(correction):
                out.append(correction)
        return out

    # ── orders ──

    def take_report(self, own: OwnOrder, report: OrderReport, *, asked: bool) -> list[Message]:
        """What the venue says of an order: as an answer to a question (``asked``) or by itself.

        An ending waits until all fills that the venue counts are told: risk releases what an order reserved
        when it ends, so the fills have to be there first.
        """
        self.orders.learn(own, report.venue_order_id)
        own.misses = 0
        out = self.take_held()
        if report.status is AckStatus.UNKNOWN:
            return out if asked else [*out, self._ack(own, report)]
        own.venue_filled = max(own.venue_filled, report.filled)
        report = _over(own, report)
        if report.status in ENDED:
            if own.ending is None or not asked:
                own.ending = report
            return out + self._release(own, again=asked)
        if asked and own.ending is None and (report.remaining or not report.filled):
            return [*out, self._status(own, report)]
        if not asked and own.told is None:
            own.told = report.status
            return [*out, self._ack(own, report)]
        return out

    def _release(self, own: OwnOrder, *, again: bool = False) -> list[Message]:
        """Tell an ending whose fills are all told; ``again``: somebody asks, so the first time was lost."""
        report = own.ending
        if report is None or own.traded < own.venue_filled or (own.told in ENDED and not again):
            return []
        own.told = report.status
        return [self._ack(own, report)]

    def absent(self, own: OwnOrder) -> StatusReport:
        """Proof that the order is not, and will not be, at the venue."""
        return StatusReport(order=own.approval.order, found=False)

    def _ack(self, own: OwnOrder, report: OrderReport) -> Ack:
        return Ack(
            order=own.approval.order,
            status=report.status,
            remaining=max(report.remaining, 0),
            venue_order_id=report.venue_order_id[:512],
            reason=report.reason[:500],
        )

    def _status(self, own: OwnOrder, report: OrderReport) -> StatusReport:
        return StatusReport(
            order=own.approval.order,
            found=True,
            status=report.status,
            filled=max(report.filled, 0),
            remaining=max(report.remaining, 0),
        )

    def lacking(self) -> list[OwnOrder]:
        """Orders of which the venue counts more fills than were told."""
        return [own for own in self.orders if own.traded < own.venue_filled]

    # ── settlements ──

    def take_settlements(self, reports: Sequence[SettlementReport]) -> list[Message]:
        """Payouts of what we held; those of foreign positions are not ours to tell."""
        out: list[Message] = []
        for report in reports:
            ledger = self.book.ledgers.get(report.market)
            if ledger is None or report.instrument not in ledger.positions:
                continue
            settlement = Settlement(
                settlement_id=f"settlement:{self.venue}:{report.instrument}"[:120],
                market=report.market,
                instrument=report.instrument,
                price=report.price,
                at=max(report.at, 0),
            )
            if _readable(settlement) and self.book.apply(settlement):
                out.append(settlement)
        return out

    def _note(self, difference: str, topic: str, ours: int, theirs: int) -> None:
        self.oddities[(difference, topic)] = Difference(difference, topic[:512], ours, theirs)


def signed(report: FillReport) -> int:
    """What a fill does to the position."""
    return report.quantity if report.side is Side.BUY else -report.quantity


def _over(own: OwnOrder, report: OrderReport) -> OrderReport:
    """The report; as an ending where the venue filled all that it was asked for, and that was less.

    What an adapter rounds off an order it sends will never come, and after a restart nobody knows of it.
    """
    all_of_it = report.status is AckStatus.ACCEPTED and not report.remaining
    if not all_of_it or not 0 < report.filled < own.approval.quantity:
        return report
    return replace(report, status=AckStatus.CANCELED, reason="rounded")


def _readable(message: Message) -> bool:
    """Whether readers of the tape will accept it: a venue's figures may be anything."""
    try:
        decode(message.subject(), encode(message))
    except Unreadable:
        return False
    return True
