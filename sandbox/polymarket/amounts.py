"""The price and size that the two amounts of a signed order mean, and whether the venue takes them.

A limit order's amounts give its price exactly. A market order's do not (amount ÷ price is rounded), so its
limit is the grid price that the ratio still reaches: a buyer never pays above it, a seller never gets less.
"""

from msgspec import Struct

from proto.units import ONE, show
from sandbox.polymarket.keys import PolymarketRefusal
from sandbox.polymarket.wire import WireRequest

DECIMALS = {
    100_000: (1, 2, 3),
    10_000: (2, 2, 4),
    5_000: (3, 2, 5),
    2_500: (4, 2, 6),
    1_000: (3, 2, 5),
    100: (4, 2, 6),
}
"""Tick → decimals of price, size and amount (docs/reference/venue-facts.md, Polymarket amounts)."""
MARKETABLE_MINIMUM = ONE
"""A buy that takes at once must be worth $1."""


class Terms(Struct, frozen=True):
    """What an order asks for, in millionths; ``cost`` is what a buyer signed away at most."""

    price: int
    size: int
    cost: int


def _accurate(value: int, decimals: int) -> bool:
    step: int = 10 ** (6 - decimals)
    return value % step == 0


def _inaccurate(kind: str, maker_decimals: int, taker_decimals: int) -> PolymarketRefusal:
    return PolymarketRefusal(
        400,
        f"invalid amounts, the {kind} orders maker amount supports a max accuracy of {maker_decimals} "
        f"decimals, taker amount a max of {taker_decimals} decimals",
    )


def terms_of(request: WireRequest, order_id: str, tick: int, minimum: int) -> Terms:
    """Return price and size of an order on a grid of ``tick``; raises the venue's own refusals."""
    order = request.order
    maker, taker = int(order.maker_amount), int(order.taker_amount)
    if maker <= 0 or taker <= 0 or max(maker, taker) >= 2**63:
        raise PolymarketRefusal(400, "Invalid order payload")
    buy = order.side == "BUY"
    money, size = (maker, taker) if buy else (taker, maker)
    at_market = request.order_type in ("FOK", "FAK")
    _, size_decimals, amount_decimals = DECIMALS[tick]
    # A market buy names money in the precision of sizes, and shares in that of amounts.
    swapped = buy and at_market and not _accurate(size, size_decimals)
    most_money, most_size = (size_decimals, amount_decimals) if swapped else (amount_decimals, size_decimals)
    if not _accurate(money, most_money) or not _accurate(size, most_size):
        first, second = (most_money, most_size) if buy else (most_size, most_money)
        raise _inaccurate(f"{'market ' if swapped else ''}{'buy' if buy else 'sell'}", first, second)
    price = _price(money, size, tick, buy, at_market, order_id)
    if not tick <= price <= ONE - tick:
        raise _off_grid(order_id, money * ONE // size, tick)
    if not at_market and size < minimum:
        text = f"order {order_id} is invalid. Size ({show(size)}) lower than the minimum: {show(minimum)}"
        raise PolymarketRefusal(400, text)
    return Terms(price=price, size=size, cost=money if buy else 0)


def _price(money: int, size: int, tick: int, buy: bool, at_market: bool, order_id: str) -> int:
    exact, rest = divmod(money * ONE, size)
    if not at_market:
        if rest or exact % tick:
            raise _off_grid(order_id, exact, tick)
        return exact
    return exact // tick * tick if buy else -(-(exact + bool(rest)) // tick) * tick


def _off_grid(order_id: str, price: int, tick: int) -> PolymarketRefusal:
    text = f"order {order_id} is invalid. Price ({show(price)}) breaks minimum tick size rule: {show(tick)}"
    return PolymarketRefusal(400, text)
