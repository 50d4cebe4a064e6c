"""What is at stake: reserved orders, and the worst loss of a group of outcomes.

An order is reserved from its approval until the fills it reports have arrived and it is terminal. In
between it may or may not fill, so it counts with whatever is worse. Unknown orders are nothing special
here: they are not terminal, so they stay reserved.
"""

from collections.abc import Iterable, Sequence
from itertools import chain

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
    held, orders = tuple(legs), tuple(working)
    return max(0, *[_loss(paying, held, orders) for paying in _endings(markets)])


def _endings(markets: Sequence[Market]) -> list[tuple[str, ...]]:
    """The instruments that pay, for each way the markets can end."""
    if len(markets) == 1:
        return [(instrument,) for _, instrument in markets[0].outcomes] or [()]
    every = [[instrument for _, instrument in market.outcomes] for market in markets]
    losing = [names[1:] for names in every]
    endings = [tuple(chain.from_iterable(losing))]
    for index, names in enumerate(every):
        others = losing[:index] + losing[index + 1 :]
        endings.append((*names[:1], *chain.from_iterable(others)))
    return endings


def _loss(paying: tuple[str, ...], legs: tuple[Leg, ...], working: tuple[WorkingOrder, ...]) -> int:
    loss = 0
    for leg in legs:
        loss += leg.cost - leg.quantity if leg.instrument in paying else leg.cost
    for order in working:
        lost = order.value - order.quantity if order.instrument in paying else order.value
        if not order.buys:
            lost = -lost
        if lost > 0:
            loss += lost
    return loss


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
