"""What is at stake: reserved orders, and the worst loss of a group of outcomes.

An order is reserved from its approval until the fills it reports have arrived and it is terminal. In
between it may or may not fill, so it counts with whatever is worse. Unknown orders are nothing special
here: they are not terminal, so they stay reserved.
"""

from collections.abc import Iterable, Sequence

import msgspec

from proto.feed import Market, Side
from proto.risk import TimeInForce
from proto.units import ONE, notional


class Reservation(msgspec.Struct, kw_only=True):
    """An order that may still fill, or (``pending``) that waits for the operator.

    ``quantity`` is what it may fill in total: the approved size, and once it is ``terminal`` what it
    reported as filled. ``filled`` counts the fills that arrived. ``fee`` is the estimate for the
    approved size. ``order``, the key, is not repeated here.
    """

    strategy: str
    market: str
    instrument: str
    side: Side
    price: int
    approved_quantity: int
    quantity: int
    fee: int
    time_in_force: TimeInForce
    expires_at: int
    proposal: str
    reduce_only: bool
    pending: bool
    fair_value: int = 0
    reason: str = ""
    filled: int = 0
    terminal: bool = False

    @property
    def remaining(self) -> int:
        """What may still fill, in millionths of a contract."""
        return max(self.quantity - self.filled, 0)

    @property
    def stake(self) -> int:
        """Money it may still take: price and share of the fee. Reduce-only orders take none."""
        remaining = self.remaining
        if self.reduce_only or not remaining:
            return 0
        return notional(self.price, remaining) - (-self.fee * remaining // self.approved_quantity)


class Leg(msgspec.Struct, frozen=True, gc=False):
    """Contracts held: ``cost`` is what was paid for them."""

    market: str
    instrument: str
    quantity: int
    cost: int


class WorkingOrder(msgspec.Struct, frozen=True, gc=False):
    """Contracts an order may still trade for ``value`` in all (fees included)."""

    market: str
    instrument: str
    buys: bool
    quantity: int
    value: int


def worst_loss(markets: Sequence[Market], legs: Iterable[Leg], working: Iterable[WorkingOrder]) -> int:
    """The largest loss over every way the markets of one group can end; at least 0.

    Held contracts cost what was paid and pay 1 or nothing. An order counts in each outcome only if its
    fill would make that outcome worse, so no combination of fills loses more.

    Args:
        markets: the markets with a leg or an order. Several are of one group: at most one of them pays
            its first outcome. The group's other markets add only "none of these pays", which is here.
        legs: positions in these markets.
        working: orders in these markets, also unknown ones.
    """
    lost, gains = _totals(legs, working)
    if len(markets) == 1:
        instruments = [instrument for _, instrument in markets[0].outcomes]
        return max(0, *[lost - gains.get(instrument, 0) for instrument in instruments or [""]])
    # In most endings all but the first outcomes pay; in the others, one market pays its first outcome instead.
    turns = [0]
    known: dict[str, None] = {}
    for market in markets:
        turn, is_first = 0, True
        for _, instrument in market.outcomes:
            gain = gains.get(instrument, 0)
            if instrument in known:
                # Of two markets: nobody knows what it pays, so it pays what is worse.
                gain = min(gain, 0) if is_first else 0
            known[instrument] = None
            if is_first:
                turn -= gain
            else:
                turn += gain
                lost -= gain
            is_first = False
        turns.append(turn)
    return max(0, lost + max(turns))


def _totals(legs: Iterable[Leg], working: Iterable[WorkingOrder]) -> tuple[int, dict[str, int]]:
    """The loss if nothing pays, and by how much less it is if an instrument does."""
    lost, gains = 0, dict[str, int]()
    for leg in legs:
        lost += leg.cost
        gains[leg.instrument] = gains.get(leg.instrument, 0) + leg.quantity
    for order in working:
        value, rest = order.value, order.value - order.quantity
        if not order.buys:
            value, rest = -value, -rest
        # A fill counts only where it makes things worse.
        unpaid, paid = max(value, 0), max(rest, 0)
        lost += unpaid
        gains[order.instrument] = gains.get(order.instrument, 0) + unpaid - paid
    return lost, gains


def lone_loss(market: Market, instrument: str, quantity: int, cost: int) -> int:
    """``worst_loss`` of one purchase, where nothing else is held or ordered: what nearly every entry asks for."""
    for _, other in market.outcomes:
        if other != instrument:
            return max(0, cost)
    return max(0, cost - quantity) if market.outcomes else max(0, cost)


def price_step_at(market: Market, price: int) -> int:
    """The venue's tick at ``price``, at least one millionth."""
    step = 1
    for start, band_step in market.price_steps:
        if start > price:
            break
        step = band_step
    return max(step, 1)


def contract_stake(price: int, fee_per_hundred: int) -> int:
    """Price and fee of one contract, given the fee of a hundred, rounded up.

    A hundred, because some venues round the fee of each order up to a cent: taken for one contract it
    would be several times the real one.
    """
    return price - (-fee_per_hundred // 100)


HUNDRED = 100 * ONE
"""The size whose fee stands for the fee per contract, see ``contract_stake``."""
