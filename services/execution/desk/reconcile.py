"""Our books beside a venue's: at the start, every half minute, and whenever something was missed."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from libs.venues.brake import HasBrake
from libs.venues.errors import VenueError
from libs.venues.gateway import Balance, FillReport, OrderReport, SettlementReport
from proto.units import SECOND
from proto.venue import DIFFERENCES_MAX, Difference, Reconciliation
from services.execution.desk import differences
from services.execution.desk.orders import OwnOrder
from services.execution.desk.unsettled import give_up
from services.execution.desk.venue_gate import BRAKE
from services.execution.orders import WORKING

if TYPE_CHECKING:
    from services.execution.desk.venue import VenueDesk

EVERY_S = 30.0
AGAIN_S = 2.0
"""After a difference seen for the first time, or a failure: an answer may have been a moment old."""
BLIND_S = 5.0
"""While the user stream is down, this is how fills are heard of."""
SOON_S = 0.2
"""What asks for one at once often comes in a bunch."""
PATIENCE_S = 25.0
"""For all answers of one reconciliation, before orders are looked up."""
LOOK_UPS_PATIENCE_S = 10.0
"""For all look-ups together: at the smallest rate limit of a venue they take four. Who has no answer by then
is asked about again the next time."""
MOVING_NS = 45 * SECOND
"""So new, a fill may not be counted in the positions yet. They are read first, and a whole reconciliation may take
35 s (both patiences); ten more for a venue whose positions lag behind its fills."""
OVERLAP_NS = 600 * SECOND
"""Fills are asked for from so long before the last reconciliation: venues tell some of them late."""
SETTLEMENTS_NS = 86_400 * SECOND
CLAIM_MARGIN_NS = 60 * SECOND
ABSENCE_MARGIN_NS = 120 * SECOND
"""Beyond an order's expiry before its absence can be proved. Covers the minute that Polymarket adds to every
expiry, and three times the longest delay after which an order was seen to appear (40 s)."""
CLEAN_MISSES = 2
"""Clean reconciliations that must miss an order before it counts as absent."""
MISSING_MAX = 40
"""Orders asked for in one reconciliation: at the smallest rate limit of a venue, four seconds' worth."""
MISSING_AT_ONCE_MAX = 8
AT_ONCE = ("over_fill", "unreadable", "fill_changed", "foreign_fill")
"""Differences that no later answer can explain; the others are told when they are seen twice."""


log = logging.getLogger("presage.desk")


class Answers(NamedTuple):
    """All that a venue was asked. ``missing``: open orders of ours that it did not find."""

    open_orders: Sequence[OrderReport]
    positions: dict[str, int]
    balance: Balance
    fills: Sequence[FillReport]
    settlements: Sequence[SettlementReport]
    brake: str


class Reconciler:
    """Reconciles one venue's desk.

    ``stopping`` says which difference stops trading, ``suspicious`` that one was seen for the first time.
    """

    def __init__(self, desk: "VenueDesk") -> None:
        self.stopping = ""
        self.suspicious = False
        self.absence_margin_ns = ABSENCE_MARGIN_NS
        self._desk = desk
        self._number = 0
        self._lock = asyncio.Lock()
        self._wanted = asyncio.Event()
        self._before: dict[tuple[str, str], int] = {}
        self._recent: dict[tuple[str, str], tuple[int, FillReport]] = {}

    def soon(self) -> None:
        """Ask for one now rather than in half a minute."""
        self._wanted.set()

    async def loop(self) -> None:
        """Reconcile for ever."""
        while True:
            self._wanted.clear()
            found = await self._desk.reconcile()
            wait_s = EVERY_S if self._desk.stream_up else BLIND_S
            if not found.complete or self.suspicious:
                wait_s = AGAIN_S
            try:
                async with asyncio.timeout(wait_s):
                    await self._wanted.wait()
                await asyncio.sleep(SOON_S)
            except TimeoutError:
                continue

    async def run(self) -> Reconciliation:
        """Ask everything, tell what is new, compare."""
        desk = self._desk
        async with self._lock:
            began = desk.wall_ns()
            give_up(desk.facts.unconfirmed, began)
            try:
                async with asyncio.timeout(PATIENCE_S):
                    answers = await self._ask(began)
                try:
                    # First: a look-up may tell by which id the venue names an order in its fills.
                    missing = await self._ask_missing(answers)
                finally:
                    # Whatever became of the look-ups, these fills and payouts are known.
                    self._take(answers, began)
            except Exception as e:
                if not isinstance(e, VenueError | TimeoutError):
                    log.exception("gateway failed", extra={"venue": desk.venue})
                reason = str(e) or f"no answer within {PATIENCE_S:.0f} s"
                return Reconciliation(venue=desk.venue, complete=False, reason=reason[:500], at=began)
            found = self._compare(answers)
            self._count_misses(missing, found, began)
            self._forget()
            return self._told(found, answers, began)

    # ── asking ──

    async def _ask(self, began: int) -> Answers:
        gateway = self._desk.gateway
        # Positions before fills: what a position counts is then among the fills, as far as the venue knows.
        async with _together() as asked:
            open_orders = asked.create_task(gateway.open_orders())
            positions = asked.create_task(gateway.positions())
            balance = asked.create_task(gateway.balance())
        since = self._since(began)
        async with _together() as asked:
            fills = asked.create_task(gateway.fills(since))
            paid_since = max(min(since, began - SETTLEMENTS_NS), 0)
            settlements = asked.create_task(gateway.settlements(paid_since))
        return Answers(
            open_orders.result(),
            positions.result(),
            balance.result(),
            fills.result(),
            settlements.result(),
            await gateway.brake() if isinstance(gateway, HasBrake) else "",
        )

    def _since(self, began: int) -> int:
        """From when on fills may be missing."""
        desk = self._desk
        moments = [desk.reconciled_at or began]
        if not desk.reconciled_at:
            moments += [own.claimed_at for own in desk.orders]
        moments = [moment - OVERLAP_NS for moment in moments]
        moments += [own.claimed_at - CLAIM_MARGIN_NS for own in desk.orders if desk.is_open(own)]
        moments += [report.at - CLAIM_MARGIN_NS for report in desk.facts.unconfirmed.values() if report.at]
        return max(min(moments), 0)

    async def _ask_missing(self, answers: Answers) -> list[OwnOrder]:
        """Orders of ours that are neither resting nor found when asked for.

        So many at a time that the whole reconciliation stays in time, whoever was asked for longest ago
        first: the others stay as they are, reserved, until it is their turn. So does one about which the
        venue does not say: it is neither there nor missing, and it keeps nobody else from trading.
        """
        desk = self._desk
        self._number += 1
        resting = {id(desk.orders.find(r.client_order_id, r.venue_order_id)) for r in answers.open_orders}
        waiting = [
            own
            for own in desk.orders
            if desk.is_open(own) and own.approval.order not in desk.in_flight and id(own) not in resting
        ]
        chosen = sorted(waiting, key=lambda own: (own.asked_in, own.claimed_at))[:MISSING_MAX]
        for own in chosen:
            own.asked_in = self._number
        limit = asyncio.Semaphore(MISSING_AT_ONCE_MAX)
        deadline_s = asyncio.get_running_loop().time() + LOOK_UPS_PATIENCE_S

        async def is_there(own: OwnOrder) -> bool:
            try:
                async with asyncio.timeout_at(deadline_s), limit:
                    return await desk.ask(own)
            except (VenueError, TimeoutError) as e:
                own.misses = 0
                detail = str(e) or "no answer in time"
                log.warning(
                    "look-up failed",
                    extra={"venue": desk.venue, "order": own.approval.order, "detail": detail},
                )
                return True

        found = await asyncio.gather(*(is_there(own) for own in chosen), return_exceptions=True)
        for answer in found:
            if isinstance(answer, BaseException):
                raise answer
        return [own for own, there in zip(chosen, found, strict=True) if not there]

    # ── taking ──

    def _take(self, answers: Answers, began: int) -> None:
        desk = self._desk
        for report in answers.open_orders:
            own = desk.orders.find(report.client_order_id, report.venue_order_id)
            tracked = desk.tracked(own) if own is not None else None
            if own is None or tracked is None:
                continue
            own.misses = 0
            if tracked.status not in WORKING:
                for message in desk.facts.take_report(own, report, asked=True):
                    desk.tell(own, message)
        for fill in answers.fills:
            desk.take_fill(fill, reconciling=True)
        for message in desk.facts.take_settlements(answers.settlements):
            desk.tell(None, message)
        desk.money = answers.balance
        desk.gate.hold(BRAKE, answers.brake)
        if not desk.facts.book.accounts and not desk.facts.holds_fills:
            desk.deposit(answers.balance.total, began)

    def note_fill(self, report: FillReport, now: int) -> None:
        """A fill was heard of: while it is new, the venue's position may not count it."""
        at = report.at or now
        if at > now - MOVING_NS:
            self._recent.setdefault(
                (report.trade_id, report.venue_order_id or report.client_order_id), (at, report)
            )

    def _moving(self, now: int) -> list[FillReport]:
        self._recent = {key: (at, r) for key, (at, r) in self._recent.items() if at > now - MOVING_NS}
        return [*(report for _, report in self._recent.values()), *self._desk.facts.unconfirmed.values()]

    # ── comparing ──

    def _compare(self, answers: Answers) -> list[Difference]:
        desk = self._desk
        facts = desk.facts
        moving = self._moving(desk.wall_ns())
        found = list(facts.oddities.values())
        found += differences.positions(facts.book, answers.positions, moving)
        # Some venues show what resting orders leave over, so money is compared while nothing rests.
        if not moving and not facts.holds_fills and not answers.open_orders and not desk.in_flight:
            found += differences.balance(facts.book, answers.balance)
        for report in answers.open_orders:
            own = desk.orders.find(report.client_order_id, report.venue_order_id)
            if own is None:
                found.append(
                    Difference(
                        "foreign_order", report.venue_order_id[:200] or report.instrument, 0, report.remaining
                    )
                )
            elif not desk.is_open(own) and desk.tracked(own) is not None:
                found.append(Difference("still_working", own.approval.order, 0, report.remaining))
                desk.spawn(desk.cancel(own.approval.order))
        if facts.holds_fills and not desk.in_flight and not desk.unresolved:
            found += [
                Difference("foreign_fill", f"{report.instrument} {report.trade_id}"[:500], 0, report.quantity)
                for report in facts.drop_held()
            ]
        return found

    def _told(self, found: list[Difference], answers: Answers, began: int) -> Reconciliation:
        keys = {(d.difference, d.topic): 1 for d in found}
        certain = [d for d in found if d.difference in AT_ONCE or (d.difference, d.topic) in self._before]
        self.suspicious = any(d.difference in differences.STOPPING and d not in certain for d in found)
        self._before = keys
        stopping = [d for d in certain if d.difference in differences.STOPPING]
        self.stopping = f"{stopping[0].difference} of {stopping[0].topic}"[:200] if stopping else ""
        return Reconciliation(
            venue=self._desk.venue,
            complete=True,
            clean=not self.stopping and not self.suspicious,
            differences=tuple(certain[:DIFFERENCES_MAX]),
            open_orders=len(answers.open_orders),
            balance=answers.balance.total,
            available=answers.balance.available,
            at=began,
        )

    def _count_misses(self, missing: list[OwnOrder], found: list[Difference], began: int) -> None:
        """Absence is proved by clean reconciliations that began when the order could not come any more."""
        desk = self._desk
        spoiling = (*differences.STOPPING, "foreign_fill")
        clean = not desk.facts.holds_fills and not any(d.difference in spoiling for d in found)
        for own in missing:
            over = began >= max(own.approval.expires_at, own.claimed_at) + self.absence_margin_ns
            own.misses = own.misses + 1 if over and clean else 0
            if own.misses >= CLEAN_MISSES:
                desk.tell(own, desk.facts.absent(own))

    def _forget(self) -> None:
        """Drop orders of which the machine has no memory any more, and for which no trade is still open."""
        desk = self._desk
        waiting = {
            report.client_order_id or report.venue_order_id for report in desk.facts.unconfirmed.values()
        }
        for own in desk.orders:
            names = (own.client_order_id, own.venue_order_id)
            if desk.tracked(own) is None and own.seen_tracked and not any(name in waiting for name in names):
                desk.orders.forget(own.approval.order)
            elif desk.tracked(own) is not None:
                own.seen_tracked = True


@asynccontextmanager
async def _together() -> AsyncIterator[asyncio.TaskGroup]:
    """Questions asked side by side: when one fails, none of the others goes on behind its back."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as e:
        raise e.exceptions[0] from e
