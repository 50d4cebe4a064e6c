"""Where a resting order stands in the queue of its price level.

An order joins behind everything on display at its price. Then:

- a trade at its price serves the queue ahead of it first; what the trade has left over fills it;
- a trade through its price means the level was swept: it fills, as far as the trade's volume goes;
- when the level shows less than the queue ahead, the queue ahead shrinks to what is shown. That is the
  cautious reading: whoever cancels is taken to have stood behind us, until nobody is left there;
- such a shrinking may be the shadow of a trade that is reported a moment later, so it is remembered as
  credit for ``TRADE_LAG``, and a trade pays the credit off before it moves the queue again.
"""

from libs.exchange.book import View
from libs.exchange.orders import UNSEEN, Working
from proto.units import SECOND

TRADE_LAG = SECOND
"""How much later than the book a trade may be reported; in the recordings it is milliseconds."""


def join(order: Working, view: View) -> None:
    """Take a place at the end of the order's own level."""
    order.ahead = view.shown(order.leg_buy, order.leg_price)


def watch(order: Working, view: View, now: int) -> None:
    """Follow the level's displayed size."""
    shown = view.shown(order.leg_buy, order.leg_price)
    if shown == UNSEEN:
        return
    if order.ahead == UNSEEN:
        order.ahead = shown
    elif shown < order.ahead:
        held = order.credit if now < order.credit_until else 0
        order.credit = held + order.ahead - shown
        order.credit_until = now + TRADE_LAG
        order.ahead = shown


def serve(order: Working, price: int, volume: int, now: int) -> int:
    """How much of ``order`` a trade of ``volume`` at ``price`` fills; moves its queue position."""
    if price != order.leg_price:
        if not order.reaches(price):
            return 0
        order.ahead = 0
        return min(order.remaining, volume)
    if order.ahead == UNSEEN:
        return 0
    if order.credit and now < order.credit_until:
        paid = min(order.credit, volume)
        order.credit -= paid
        volume -= paid
    served = min(order.ahead, volume)
    order.ahead -= served
    return min(order.remaining, volume - served)
