"""Reconciliation of our books with a venue's: at the start, every half minute, and after anything was missed."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from libs.bounded import clip, cut
from libs.venues.brake import HasBrake
from libs.venues.errors import VenueError
from libs.venues.gateway import (
    Balance,
    FillReport,
    KnowsHeldMarkets,
    OrderReport,
    SettlementReport,
    VenueGateway,
)
from proto.message import as_integer, as_name, as_text
from proto.units import SECOND, as_money
from proto.venue import DIFFERENCES_MAX, Difference, Reconciliation
from services.execution.desk import differences
from services.execution.desk.order_registry import OwnOrder
from services.execution.desk.venue_books import CLAIM_MARGIN_NS, VenueBooks
from services.execution.desk.venue_gate import BRAKE, VenueGate
from services.execution.desk.venue_orders import VenueOrders
from services.execution.orders import WORKING

EVERY_S = 30.0
AGAIN_S = 2.0
"""After a difference seen for the first time, or a failure: an answer may have been a moment old."""
BLIND_S = 5.0
"""While the user stream is down, fills are learned from reconciliations."""
SOON_S = 0.2
"""Requests for one at once often come in a bunch."""
PATIENCE_S = 25.0
"""For all answers of one reconciliation, before orders are looked up."""
LOOK_UPS_PATIENCE_S = 10.0
"""For all look-ups together: at the smallest rate limit of a venue they take four. An order without an answer
by then is looked up again the next time."""
OVERLAP_NS = 600 * SECOND
"""Fills are asked for from so long before the last reconciliation: venues show some of them late."""
SETTLEMENTS_NS = 86_400 * SECOND
ABSENCE_MARGIN_NS = 120 * SECOND
"""Beyond an order's expiry before its absence can be proved. Covers the minute that Polymarket adds to every
expiry, and three times the longest delay after which an order was seen to appear (40 s)."""
CLEAN_MISSES = 2
"""Clean reconciliations that must miss an order before it counts as absent."""
MISSING_MAX = 40
"""Orders looked up in one reconciliation: at the smallest rate limit of a venue, four seconds' worth."""
MISSING_AT_ONCE_MAX = 8
AT_ONCE = ("over_fill", "unreadable", "fill_changed", "foreign_fill")
"""Differences that no later answer can explain; the others are published when they occur twice in a row."""
BOOKS = "books"
"""The name under which a stopping difference closes the gate."""

log = logging.getLogger("presage.desk")


class VenueAnswers(NamedTuple):
    """Everything that a venue was asked for in one reconciliation."""

    open_orders: Sequence[OrderReport]
    positions: dict[str, int]
    balance: Balance
    fills: Sequence[FillReport]
    settlements: Sequence[SettlementReport]
    brake: str


class Reconciler:
    """Compares our books of one venue with the venue's, and makes good what was missed.

    ``is_suspicious``: the last reconciliation found a stopping difference for the first time.
    """

    def __init__(
        self,
        orders: VenueOrders,
        books: VenueBooks,
        gateway: VenueGateway,
        gate: VenueGate,
        wall_ns: Callable[[], int],
    ) -> None:
        self.is_suspicious = False
        self.absence_margin_ns = ABSENCE_MARGIN_NS
        self._orders = orders
        self._registry = orders.registry
        self._books = books
        self._facts = books.facts
        self._gateway = gateway
        self._venue = gateway.venue
        self._gate = gate
        self._wall_ns = wall_ns
        self._number = 0
        self._lock = asyncio.Lock()
        self._differences_before: set[tuple[str, str]] = set()

    async def loop(self) -> None:
        """Reconcile for ever."""
        requested = self._books.reconciliation_requested
        while True:
            requested.clear()
            result = await self.run()
            wait_s = EVERY_S if self._books.is_stream_up else BLIND_S
            if not result.complete or self.is_suspicious:
                wait_s = AGAIN_S
            try:
                async with asyncio.timeout(wait_s):
                    await requested.wait()
                await asyncio.sleep(SOON_S)
            except TimeoutError:
                continue

    async def run(self) -> Reconciliation:
        """Reconcile once: publish the result, and open or close the gate by it."""
        invalidations = self._gate.invalidations
        if isinstance(self._gateway, KnowsHeldMarkets):
            self._gateway.set_held_markets({market for market, _, _ in self._facts.book.open_positions()})
        result, stopping = await self._reconcile()
        self._books.publish(None, result)
        if not result.complete:
            self._gate.record_failure()
            log.warning("not reconciled", extra={"venue": self._venue, "detail": result.reason})
            return result
        if stopping:
            self._gate.hold(BOOKS, stopping)
        else:
            self._gate.release(BOOKS)
        if not self.is_suspicious:
            self._gate.record_reconciliation(result.at, invalidations)
        return result

    async def _reconcile(self) -> tuple[Reconciliation, str]:
        """Ask for everything, publish what is new, compare; the result, and which difference stops trading."""
        async with self._lock:
            began = self._wall_ns()
            self._books.drop_expired_fills(began)
            try:
                async with asyncio.timeout(PATIENCE_S):
                    answers = await self._ask(began)
                try:
                    # First: a look-up may tell by which id the venue names an order in its fills.
                    missing = await self._look_up_missing(answers)
                finally:
                    # Whatever became of the look-ups, these fills and payouts are known.
                    self._handle_answers(answers, began)
            except Exception as e:
                if not isinstance(e, VenueError | TimeoutError):
                    log.exception("gateway failed", extra={"venue": self._venue})
                reason = as_text(str(e)) or f"no answer within {PATIENCE_S:.0f} s"
                failed = Reconciliation(venue=self._venue, complete=False, reason=reason, at=began)
                return failed, ""
            found = self._compare(answers)
            self._count_misses(missing, found, began)
            self._forget_orders()
            return self._result(found, answers, began)

    # ── asking ──

    async def _ask(self, began: int) -> VenueAnswers:
        gateway = self._gateway
        # Positions before fills: what a position counts is then among the fills, as far as the venue knows.
        async with _task_group() as group:
            open_orders = group.create_task(gateway.open_orders())
            positions = group.create_task(gateway.positions())
            balance = group.create_task(gateway.balance())
        since = self._fills_since(began)
        async with _task_group() as group:
            fills = group.create_task(gateway.fills(since))
            paid_since = max(min(since, began - SETTLEMENTS_NS), 0)
            settlements = group.create_task(gateway.settlements(paid_since))
        return VenueAnswers(
            open_orders.result(),
            positions.result(),
            balance.result(),
            fills.result(),
            settlements.result(),
            await gateway.brake() if isinstance(gateway, HasBrake) else "",
        )

    def _fills_since(self, began: int) -> int:
        """Return the time from which on fills may be missing."""
        reconciled_at = self._books.reconciled_at
        moments = [reconciled_at or began]
        if not reconciled_at:
            moments += [own.claimed_at for own in self._registry]
        moments = [moment - OVERLAP_NS for moment in moments]
        moments += [own.claimed_at - CLAIM_MARGIN_NS for own in self._registry if self._registry.is_open(own)]
        unconfirmed = self._facts.unconfirmed.values()
        moments += [report.at - CLAIM_MARGIN_NS for report in unconfirmed if report.at]
        return max(min(moments), 0)

    async def _look_up_missing(self, answers: VenueAnswers) -> list[OwnOrder]:
        """Look up our open orders that do not rest; return those the venue does not find.

        At most so many that the whole reconciliation stays in time, those looked up longest ago first: the
        others stay as they are, reserved, until it is their turn. So does one about which the venue gives no
        answer: it is neither found nor missing, and does not stop trading.
        """
        registry = self._registry
        self._number += 1
        resting = {id(registry.match(r.client_order_id, r.venue_order_id)) for r in answers.open_orders}
        waiting = [
            own
            for own in registry
            if registry.is_open(own)
            and own.approval.order not in registry.in_flight
            and id(own) not in resting
        ]
        chosen = sorted(waiting, key=lambda own: (own.asked_in, own.claimed_at))[:MISSING_MAX]
        for own in chosen:
            own.asked_in = self._number
        limit = asyncio.Semaphore(MISSING_AT_ONCE_MAX)
        deadline_s = asyncio.get_running_loop().time() + LOOK_UPS_PATIENCE_S

        async def is_found(own: OwnOrder) -> bool:
            try:
                async with asyncio.timeout_at(deadline_s), limit:
                    return await self._orders.query(own)
            except (VenueError, TimeoutError) as e:
                own.misses = 0
                detail = str(e) or "no answer in time"
                log.warning(
                    "look-up failed",
                    extra={"venue": self._venue, "order": own.approval.order, "detail": detail},
                )
                return True

        results = await asyncio.gather(*(is_found(own) for own in chosen), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [own for own, found in zip(chosen, results, strict=True) if not found]

    # ── handling the answers ──

    def _handle_answers(self, answers: VenueAnswers, began: int) -> None:
        for report in answers.open_orders:
            own = self._registry.match(report.client_order_id, report.venue_order_id)
            tracked = self._registry.tracked(own) if own is not None else None
            if own is None or tracked is None:
                continue
            own.misses = 0
            if tracked.status not in WORKING:
                self._books.handle_order(own, report, asked=True)
        for fill in answers.fills:
            self._books.handle_fill(fill, reconciling=True)
        self._books.handle_settlements(answers.settlements)
        if answers.brake:
            self._gate.hold(BRAKE, answers.brake)
        else:
            self._gate.release(BRAKE)
        self._books.handle_balance(answers.balance, began)

    # ── comparing ──

    def _compare(self, answers: VenueAnswers) -> list[Difference]:
        facts, registry = self._facts, self._registry
        moving = self._books.moving_fills()
        found = list(facts.differences.values())
        found += differences.position_differences(facts.book, answers.positions, moving)
        # Some venues show what resting orders leave over, so money is compared while nothing rests.
        if not moving and not facts.has_held_fills and not answers.open_orders and not registry.in_flight:
            found += differences.balance_differences(facts.book, answers.balance)
        for report in answers.open_orders:
            own = registry.match(report.client_order_id, report.venue_order_id)
            if own is None:
                topic = report.venue_order_id[:200] or report.instrument
                found.append(Difference("foreign_order", topic, 0, report.remaining))
            elif not registry.is_open(own) and registry.tracked(own) is not None:
                found.append(Difference("still_working", own.approval.order, 0, report.remaining))
                self._orders.tasks.spawn(self._orders.cancel(own.approval.order))
        if facts.has_held_fills and not registry.in_flight and not registry.unknown_count:
            found += [
                Difference(
                    "foreign_fill", cut(f"{report.instrument} {report.trade_id}", 500), 0, report.quantity
                )
                for report in facts.drop_held_fills()
            ]
        return found

    def _result(
        self, found: list[Difference], answers: VenueAnswers, began: int
    ) -> tuple[Reconciliation, str]:
        """Return the reconciliation's message, and which certain difference stops trading."""
        before, self._differences_before = self._differences_before, {(d.difference, d.topic) for d in found}
        certain = [d for d in found if d.difference in AT_ONCE or (d.difference, d.topic) in before]
        self.is_suspicious = any(d.difference in differences.STOPPING and d not in certain for d in found)
        stopping = next((d for d in certain if d.difference in differences.STOPPING), None)
        result = Reconciliation(
            venue=self._venue,
            complete=True,
            clean=stopping is None and not self.is_suspicious,
            differences=tuple(_bounded(difference) for difference in certain[:DIFFERENCES_MAX]),
            open_orders=len(answers.open_orders),
            balance=as_money(answers.balance.total),
            available=as_money(answers.balance.available),
            at=began,
        )
        return result, clip(f"{stopping.difference} of {stopping.topic}", 200) if stopping is not None else ""

    def _count_misses(self, missing: list[OwnOrder], found: list[Difference], began: int) -> None:
        """Publish an absence that clean reconciliations prove, begun when the order could not arrive any more."""
        spoiling = (*differences.STOPPING, "foreign_fill")
        clean = not self._facts.has_held_fills and not any(d.difference in spoiling for d in found)
        for own in missing:
            over = began >= max(own.approval.expires_at, own.claimed_at) + self.absence_margin_ns
            own.misses = own.misses + 1 if over and clean else 0
            if own.misses >= CLEAN_MISSES:
                self._books.publish(own, self._facts.absent(own))

    def _forget_orders(self) -> None:
        """Remove orders that the machine has forgotten and of which no fill waits to become final."""
        unconfirmed = self._facts.unconfirmed.values()
        waiting = {report.client_order_id or report.venue_order_id for report in unconfirmed}
        for own in self._registry:
            is_waiting = own.client_order_id in waiting or own.venue_order_id in waiting
            if self._registry.tracked(own) is not None:
                own.was_tracked = True
            elif own.was_tracked and not is_waiting:
                self._registry.remove(own.approval.order)


@asynccontextmanager
async def _task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """Ask concurrently: when one request fails, the others are cancelled and its own error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as e:
        raise e.exceptions[0] from e


def _bounded(difference: Difference) -> Difference:
    """Cut names and figures to what a message can carry: a venue's may be anything."""
    return Difference(
        as_name(difference.difference),
        as_text(difference.topic),
        as_integer(difference.ours),
        as_integer(difference.theirs),
    )
