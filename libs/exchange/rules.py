"""What an exchange refuses before it matches anything."""

from libs.exchange.fees import is_known_model
from libs.exchange.orders import ExchangeOrder
from proto.feed import Market, MarketStatus
from proto.risk import TimeInForce
from proto.units import ONE, notional

OVER = (MarketStatus.CLOSED, MarketStatus.DETERMINED, MarketStatus.DISPUTED, MarketStatus.SETTLED)
"""States of a market in which nothing trades any more and resting orders are gone."""


def leg_of(market: Market, instrument: str) -> tuple[str, bool]:
    """The instrument whose book an order meets, and whether prices are turned round for it.

    The two outcomes of a binary market share one book, shown from either end: a bid for NO at 0.44 is
    an offer of YES at 0.56. With more outcomes each has a book of its own.
    """
    outcomes = market.outcomes
    if len(outcomes) == 2 and instrument == outcomes[1].instrument:
        return outcomes[0].instrument, True
    return instrument, False


def on_grid(market: Market, price: int) -> bool:
    """Whether a price is strictly between 0 and 1 and on the market's price steps.

    Steps are stated for the first outcome; the price of the other one mirrors it.
    """
    if not 0 < price < ONE:
        return False
    step = 1
    for row in market.price_steps:
        if row.start <= price and row.step:
            step = row.step
    return price % step == 0


def refusal(market: Market | None, new: ExchangeOrder, at: int) -> str:
    """Why an order that arrives ``at`` is refused, in one word; empty when it is not."""
    if market is None:
        return "unknown_market"
    if at >= new.expires_at:
        return "expired"
    if market.status is not MarketStatus.OPEN or 0 < market.close_at <= at:
        return "market_not_open"
    if not any(outcome.instrument == new.instrument for outcome in market.outcomes):
        return "unknown_instrument"
    if not is_known_model(market.fees.model):
        return "unknown_fees"
    _, turned = leg_of(market, new.instrument)
    if not on_grid(market, ONE - new.price if turned else new.price):
        return "price_off_grid"
    if new.quantity <= 0 or (market.quantity_step and new.quantity % market.quantity_step):
        return "quantity_off_grid"
    return _too_small(market, new)


def _too_small(market: Market, new: ExchangeOrder) -> str:
    """Why an order is below the venue's least size; empty when it is not."""
    if new.time_in_force in (TimeInForce.GTC, TimeInForce.GTD):
        return "quantity_too_small" if new.quantity < market.quantity_min else ""
    return "notional_too_small" if is_too_cheap(market, new) else ""


def is_too_cheap(market: Market, new: ExchangeOrder) -> bool:
    """Whether a purchase is worth less than the venue takes of one that trades at once; sales have no least value."""
    return new.buy and notional(new.price, new.quantity) < market.taker_notional_min
