"""One turn of the exit machine: what one input makes it say about a position.

The order of business is always the same: what must leave is decided first, then the orders are brought
in line with it, and nothing is proposed that others, not proved dead, could still take.
"""

from libs.indicators.grid import can_rest, is_dust, quantity_down
from libs.machine.machine import Stamp
from proto.exit import HELD_TO_SETTLEMENT, ExitCancel, ExitProposal, ExitReason, PositionStage, PositionUpdate
from proto.feed import Answer, Market, MarketStatus, Side
from proto.ids import MessageId
from proto.message import Message
from proto.risk import TimeInForce
from proto.units import SECOND, Price, Quantity, as_quantity, later, scale, show
from services.exit import rules
from services.exit.params import ExitParams
from services.exit.state import ExitOrder, ExitState, Held, Step
from services.exit.stops import close_price, stop_price
from services.exit.targets import Target, first_goal, targets

PRODUCER = "exit"


class ExitDecision:
    """Collects the outputs of one input in ``out``; a proposal's id depends on its place there."""

    __slots__ = ("index", "now", "out", "params", "seq", "state")

    def __init__(self, state: ExitState, params: ExitParams, stamp: Stamp) -> None:
        self.state = state
        self.params = params
        self.now = stamp.now
        self.seq = stamp.seq
        self.index = stamp.index
        self.out: list[Message] = []

    # ── what must leave ────────────────────────────────────────────────────────────────────────────

    def open(self, held: Held) -> None:
        """A position was opened, or grew: its prices move, its targets wait for the rest of the entry."""
        held.target_at = max(held.target_at, self.now + self.params.target_delay_s * SECOND)
        self.derive(held)
        if held.stage is PositionStage.CLOSED:
            held.stage = PositionStage.OPEN
            held.reason = None
        if held.bought and not held.reference_at:
            held.reference_at = held.opened_at = self.now
            self._report_stage(held)

    def derive(self, held: Held) -> None:
        """Compute the prices that quotes are compared with."""
        market = self.state.markets.get(held.market)
        if market is not None:
            held.stop = stop_price(held.entry_price, market, self.params)
            held.movement = scale(held.entry_price, self.params.decay_movement)

    def evaluate_bid(self, held: Held, bid: Price | None, trusted: bool) -> bool:
        """Take a new bid in; whether it calls for action."""
        if held.reason is not None:
            return self.now >= held.close_at
        if bid is None or not trusted:
            return False
        if not held.reference or abs(bid - held.reference) >= max(1, held.movement):
            held.reference = bid
            held.reference_at = self.now
        if bid <= held.stop:
            self.close(held, ExitReason.STOP_LOSS)
            return True
        return self._leaves_at(held, bid)

    def _leaves_at(self, held: Held, bid: Price) -> bool:
        """Whether a rule about prices that is set makes a position leave at a trusted bid; then it does."""
        if not self.params.trailing_stop and not self.params.profit_by_age:
            return False
        if self._is_held_to_settlement(held):
            return False
        market = self.state.markets.get(held.market)
        if market is None or not held.bought:
            return False
        # A position of an older snapshot has no age: it begins here.
        held.opened_at = held.opened_at or self.now
        reason = rules.by_bid(held, bid, market, self.params, self.now)
        if reason is not None:
            self.close(held, reason)
        return reason is not None

    def tick(self, held: Held) -> None:
        """A second passed: look at the clock's reasons to leave, and at answers that never came."""
        limit = self.now - self.params.answer_max_s * SECOND
        held.orders = [o for o in held.orders if o.order or o.proposed_at > limit]
        if self._can_leave(held) and not held.reference_at:
            # It was opened before there was a configuration.
            self.open(held)
        if held.reason is None and self.state.quantity(held):
            self.derive(held)
            market = self.state.markets.get(held.market)
            is_ending = (
                market is not None and 0 < market.ends_at <= self.now + self.params.before_close_s * SECOND
            )
            is_kept = self._is_held_to_settlement(held)
            set_reason = None if is_kept or market is None else self._reason_by_clock(held, market)
            if is_ending and not is_kept:
                self.close(held, ExitReason.BEFORE_CLOSE)
            elif self._leaves_disputed(market):
                self.close(held, ExitReason.DISPUTED)
            elif set_reason is not None:
                self.close(held, set_reason)
            elif self._leaves_at_newest(held):
                pass
            elif not is_kept and self.now - held.reference_at >= self.params.decay_s * SECOND:
                self.close(held, ExitReason.TIME_DECAY)
            elif is_ending and not held.is_kept:
                held.is_kept = True
                self._report_stage(held, HELD_TO_SETTLEMENT)
        self.align_orders(held)

    def _reason_by_clock(self, held: Held, market: Market) -> ExitReason | None:
        """The reason to leave, of those that are set and that time brings."""
        held.opened_at = held.opened_at or self.now
        stale = rules.by_silence(held, self.state, self.params, self.now)
        return stale or rules.by_time(held, market, self.params, self.now)

    def _leaves_at_newest(self, held: Held) -> bool:
        """Look at the newest trusted bid again: with age the wanted gain falls."""
        top = self.state.tops.tops.get(held.instrument)
        return top is not None and not top.gapped and top.bid is not None and self._leaves_at(held, top.bid)

    def leave(self, held: Held, reason: ExitReason) -> None:
        """Set a position to leave, unless it does already or nothing of it can.

        A reversed signal moves no position that was bought for what its market pays; a fall of the account does.
        """
        if reason is ExitReason.REVERSAL and self._is_held_to_settlement(held):
            return
        if held.reason is None and self._can_leave(held):
            self.close(held, reason)
            self.align_orders(held)

    def _is_held_to_settlement(self, held: Held) -> bool:
        """Whether it was bought for what its market pays, by nobody who wants to leave before."""
        return not held.is_shared and held.strategy in self.params.hold_to_settlement

    def _leaves_disputed(self, market: Market | None) -> bool:
        """Whether the answer is disputed, and the policy is to leave then: who is right is settled by a vote in days."""
        return market is not None and market.answer is Answer.DISPUTED and self.params.disputed == "exit"

    def close(self, held: Held, reason: ExitReason) -> None:
        """From here on everything leaves; there is no way back."""
        held.reason = reason
        held.stage = PositionStage.CLOSING
        held.close_at = self.now
        self._report_stage(held)

    def flatten(self, held: Held) -> None:
        """Set a position to leave at once, because the operator says so; one that leaves already is tried again now."""
        if not self._can_leave(held):
            return
        if held.reason is None:
            self.close(held, ExitReason.FLATTEN)
        else:
            held.close_at = min(held.close_at, self.now)
        self.align_orders(held)

    def _can_leave(self, held: Held) -> bool:
        """Whether something is held that an order could sell."""
        quantity = self.state.quantity(held)
        return bool(quantity) and not is_dust(self.state.markets.get(held.market), quantity)

    def _is_over(self, held: Held) -> bool:
        """Whether nothing more can leave: all is sold, or what is left is below the lot and no more of it comes."""
        if not self.state.quantity(held):
            return True
        waits = self.now < held.target_at and held.reason is None
        return not self._can_leave(held) and not waits and not held.open_quantity

    def finish(self, held: Held, reason: str) -> None:
        """Nothing is held any more but what is below the lot, which stays until settlement; a later entry begins anew."""
        left = self.state.quantity(held)
        if left:
            reason = f"{reason}, {show(left)} below the lot kept until settlement"
        held.stage = PositionStage.CLOSED
        self._report_stage(held, reason)
        held.bought = held.paid = held.first_sold = held.reference = held.reference_at = 0
        held.opened_at = held.peak = held.proved_at = 0
        held.reason = None
        held.is_shared = held.is_kept = False

    # ── orders ─────────────────────────────────────────────────────────────────────────────────────

    def align_orders(self, held: Held) -> None:
        """Bring stage and orders in line with what is held."""
        quantity = self.state.quantity(held)
        market = self.state.markets.get(held.market)
        if held.stage is not PositionStage.CLOSED and self._is_over(held):
            self.finish(held, held.reason.value if held.reason else ExitReason.TARGET.value)
        if quantity and held.stage is PositionStage.OPEN and market is not None:
            goal = first_goal(held, market, self.params)
            if 0 < goal <= held.first_sold:
                held.stage = PositionStage.HALF_CLOSED
                self._report_stage(held)
        if not quantity or held.reason is not None:
            self._close_out(held, quantity, market)
        elif market is not None:
            self._rest_targets(held, quantity, market)

    def _close_out(self, held: Held, quantity: Quantity, market: Market | None) -> None:
        """Cancel what rests; once all of it is proved dead, sell what remains at the bid."""
        reason = held.reason.value if held.reason else PositionStage.CLOSED.value
        patience = self.params.close_order_max_s * SECOND
        for order in held.orders:
            if order.step is not Step.CLOSE or self.now - order.proposed_at >= patience:
                self._cancel(order, reason)
        if not quantity or held.reason is None or market is None or held.open_quantity:
            return
        amount = quantity_down(market, quantity)
        bid = self._bid(held)
        if not amount or bid is None or self.now < held.close_at or not self._is_tradable(market):
            return
        held.close_at = self.now + self.params.close_retry_s * SECOND
        price = close_price(bid, market, self.params)
        self._propose(held, Target(Step.CLOSE, price, amount), TimeInForce.IOC, held.reason)

    def _rest_targets(self, held: Held, quantity: Quantity, market: Market) -> None:
        """Make the resting targets what they should be: cancel what is wrong, propose what is missing."""
        for order in held.orders:
            if order.step not in (Step.FIRST, Step.REST):
                self._cancel(order, "not a target")
        waiting = self.now < held.target_at
        for target in targets(held, quantity, market, self.params):
            mine = [o for o in held.orders if o.step is target.step and o.open]
            resting = sum(o.open for o in mine)
            wrong = mine if resting > target.quantity else [o for o in mine if o.price != target.price]
            if wrong and not (waiting and resting <= target.quantity):
                for order in wrong:
                    self._cancel(order, "target moved")
            elif not wrong and not waiting and self._is_tradable(market):
                room = quantity_down(market, max(0, quantity - held.open_quantity))
                amount = min(target.quantity - resting, room)
                if can_rest(market, amount):
                    self._propose(held, target._replace(quantity=amount), TimeInForce.GTC, ExitReason.TARGET)
                elif amount > 0:
                    self._sell_at_target(held, target._replace(quantity=amount))

    def _sell_at_target(self, held: Held, target: Target) -> None:
        """Sell at once what is too small to rest, when the bid has come to its target; looked at each second."""
        bid = self._bid(held)
        if bid is None or bid < target.price or self.now < held.close_at:
            return
        held.close_at = self.now + self.params.close_retry_s * SECOND
        self._propose(held, target, TimeInForce.IOC, ExitReason.TARGET)

    def _propose(self, held: Held, target: Target, time_in_force: TimeInForce, reason: ExitReason) -> None:
        message_id = MessageId(self.state.tape, PRODUCER, self.seq, self.index + len(self.out))
        held.orders.append(
            ExitOrder(target.step, target.price, target.quantity, self.now, proposal=str(message_id))
        )
        self.out.append(
            ExitProposal(
                strategy=held.strategy,
                market=held.market,
                instrument=held.instrument,
                side=Side.SELL,
                price=as_quantity(target.price),
                quantity=as_quantity(target.quantity),
                time_in_force=time_in_force,
                reason=reason,
                expires_at=later(self.now, self.params.expires_s * SECOND),
            )
        )

    def _cancel(self, order: ExitOrder, reason: str) -> None:
        """Ask for an order's end, again after a while; nothing to ask before it has an id or after its end."""
        if not order.order or order.ended or not order.open:
            return
        if order.cancel_at and 0 <= self.now - order.cancel_at < self.params.cancel_retry_s * SECOND:
            return
        order.cancel_at = self.now
        self.out.append(ExitCancel(order=order.order, reason=reason))

    # ── small things ───────────────────────────────────────────────────────────────────────────────

    def _bid(self, held: Held) -> Price | None:
        """The newest bid, gapped or not: an immediate order never fills below its limit."""
        top = self.state.tops.tops.get(held.instrument)
        return None if top is None else top.bid

    def _is_tradable(self, market: Market) -> bool:
        return market.status is MarketStatus.OPEN and (not market.close_at or self.now < market.close_at)

    def _plan(self, held: Held) -> str:
        market = self.state.markets.get(held.market)
        is_leaving = held.reason is not None or held.stage is PositionStage.CLOSED
        return "" if is_leaving or market is None else rules.plan_of(held, market, self.params)

    def _stays(self, held: Held) -> str:
        return HELD_TO_SETTLEMENT if held.is_kept and held.stage is not PositionStage.CLOSED else ""

    def _report_stage(self, held: Held, reason: str = "") -> None:
        self.out.append(
            PositionUpdate(
                market=held.market,
                instrument=held.instrument,
                strategy=held.strategy,
                stage=held.stage,
                quantity=as_quantity(self.state.quantity(held)),
                entry_price=as_quantity(held.entry_price),
                reason=reason or (held.reason.value if held.reason else "") or self._stays(held),
                plan=self._plan(held),
            )
        )
