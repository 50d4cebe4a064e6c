"""Fills of a run looked at from outside: was there somebody to trade with, and is the fee the venue's?"""

from typing import NamedTuple

from libs.exchange.book import View
from libs.exchange.fees import Charged, FeeAccumulator
from libs.exchange.rules import leg_of
from proto.feed import Book, Gap, Market, Quote, Side, Trade
from proto.message import Message
from proto.risk import Approval
from proto.units import ONE, show
from proto.venue import Ack, AckStatus, Fill
from tools.research.verdicts import Verdict

NOTHING = View()


class _Resting(NamedTuple):
    """An order as its instrument's own book sees it."""

    leg: str
    buys: bool
    price: int


class _Views:
    """What an instrument's book shows, and what it showed before its newest message.

    An order that became due is filled at the book of before the message that came after its moment.
    """

    def __init__(self) -> None:
        self.now = self.before = NOTHING
        self._taken: dict[tuple[bool, int], int] = {}

    def book(self, book: Book) -> None:
        self._turn(View(book, None))

    def quote(self, quote: Quote) -> None:
        self._turn(View(self.now.book, quote))

    def lose(self) -> None:
        """Messages of it are missing."""
        self._turn(NOTHING)

    def _turn(self, view: View) -> None:
        self.before, self.now = self.now, view
        self._taken.clear()

    def shown(self, bids: bool, price: int) -> int:
        """The larger quantity on display at a price, of the two views."""
        levels = (*self.now.levels(bids), *self.before.levels(bids))
        return max((level.quantity for level in levels if level.price == price), default=0)

    def take(self, bids: bool, price: int, quantity: int) -> int:
        """What was taken of a level since the newest message, with this."""
        taken = self._taken[bids, price] = self._taken.get((bids, price), 0) + quantity
        return taken


class FillsChecked:
    """Follows books, trades and our orders; looks at every fill."""

    def __init__(self, precision: int) -> None:
        self._precision = precision
        self._views: dict[str, _Views] = {}
        self._markets: dict[str, Market] = {}
        self._mirrors: dict[str, str] = {}
        self._approvals: dict[str, Approval] = {}
        self._resting: dict[str, dict[str, _Resting]] = {}
        self._reached: set[str] = set()
        self._fees: dict[str, FeeAccumulator] = {}
        self._seen: set[str] = set()
        self._limit = Verdict(
            "limit", "no fill is at a worse price than risk approved, or of another instrument"
        )
        self._shown = Verdict(
            "shown",
            "what took liquidity got a price that was on display, and all together no more than was there",
        )
        self._waited = Verdict("waited", "what rested was filled only after the market had come to its price")
        self._fee = Verdict("fees", "each fee is what the venue's formula says of its market's schedule")

    @property
    def verdicts(self) -> list[Verdict]:
        """Its checks."""
        return [self._limit, self._shown, self._waited, self._fee]

    def add(self, seq: int, message: Message) -> None:
        """Take one message of the tape."""
        kind = type(message)
        if kind is Quote or kind is Book:
            self._on_view(message)  # type: ignore[arg-type]  # one of the two
        elif isinstance(message, Trade):
            self._on_trade(message)
        elif isinstance(message, Market):
            self._markets[message.market] = message
            if len(message.outcomes) == 2:
                self._mirrors[message.outcomes[1].instrument] = message.outcomes[0].instrument
        elif isinstance(message, Approval):
            self._approvals[message.order] = message
        elif isinstance(message, Ack):
            self._on_ack(message)
        elif isinstance(message, Fill):
            self._on_fill(seq, message)
        elif isinstance(message, Gap):
            self._on_gap(message)

    def _on_view(self, message: Quote | Book) -> None:
        views = self._views.get(message.instrument)
        if views is None:
            views = self._views[message.instrument] = _Views()
        if isinstance(message, Book):
            views.book(message)
        else:
            views.quote(message)
        for order, resting in self._resting.get(message.instrument, {}).items():
            best = views.now.best(not resting.buys)
            if best is not None and _reaches(resting, best):
                self._reached.add(order)

    def _on_trade(self, trade: Trade) -> None:
        leg = self._mirrors.get(trade.instrument, trade.instrument)
        price = trade.price if leg == trade.instrument else ONE - trade.price
        for order, resting in self._resting.get(leg, {}).items():
            if _reaches(resting, price):
                self._reached.add(order)

    def _on_gap(self, gap: Gap) -> None:
        for name, views in self._views.items():
            if name == gap.instrument or (not gap.instrument and name.startswith(f"{gap.venue}:")):
                views.lose()

    def _on_ack(self, ack: Ack) -> None:
        approval = self._approvals.get(ack.order)
        if approval is None:
            return
        resting = self._leg(approval, approval.price)
        if ack.status is AckStatus.ACCEPTED:
            self._resting.setdefault(resting.leg, {})[ack.order] = resting
        else:
            self._resting.get(resting.leg, {}).pop(ack.order, None)

    def _leg(self, approval: Approval, price: int) -> _Resting:
        market = self._markets.get(approval.market)
        leg, turned = (approval.instrument, False) if market is None else leg_of(market, approval.instrument)
        return _Resting(leg, (approval.side is Side.BUY) is not turned, ONE - price if turned else price)

    def _on_fill(self, seq: int, fill: Fill) -> None:
        if fill.fill_id in self._seen:
            return
        self._seen.add(fill.fill_id)
        approval = self._approvals.get(fill.order)
        if approval is None or (approval.instrument, approval.side) != (fill.instrument, fill.side):
            self._limit.check(False, seq, "a fill of an approved order", fill.order)
            return
        better = fill.price <= approval.price if fill.side is Side.BUY else fill.price >= approval.price
        self._limit.check(better, seq, f"{show(approval.price)} or better", show(fill.price))
        if fill.maker:
            self._waited.check(fill.order in self._reached, seq, "a trade or quote at its price", "none")
        else:
            self._check_shown(seq, fill, self._leg(approval, fill.price))
        self._check_fee(seq, fill)

    def _check_shown(self, seq: int, fill: Fill, leg: _Resting) -> None:
        views = self._views.get(leg.leg) or _Views()
        shown = views.shown(not leg.buys, leg.price)
        # Orders that take the same level at one time have it once.
        taken = views.take(not leg.buys, leg.price, fill.quantity)
        self._shown.check(
            shown >= taken, seq, f"{show(taken)} contracts on display at {show(fill.price)}", show(shown)
        )

    def _check_fee(self, seq: int, fill: Fill) -> None:
        market = self._markets.get(fill.market)
        if market is None:
            self._fee.check(False, seq, "a market with a schedule of fees", "none")
            return
        charged = Charged(fill.price, fill.quantity, fill.side is Side.BUY, fill.maker)
        account = self._fees.setdefault(fill.order, FeeAccumulator())
        fee = account.charge(market.fees, charged, self._precision)
        self._fee.check(fee == fill.fee, seq, show(fee), show(fill.fee))


def _reaches(resting: _Resting, price: int) -> bool:
    return price <= resting.price if resting.buys else price >= resting.price
