"""Typed parameters of risk: configuration section ``risk``."""

from typing import Annotated, Literal

import msgspec

from proto.units import MILLIONTHS, ONE, show

Fraction = Annotated[int, msgspec.Meta(ge=0, le=ONE, extra=MILLIONTHS)]
Amount = Annotated[int, msgspec.Meta(ge=0, le=1_000_000 * ONE, extra=MILLIONTHS)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=7 * 86_400)]
Lifetime = Annotated[int, msgspec.Meta(ge=1, le=86_400)]
Count = Annotated[int, msgspec.Meta(ge=0, le=10_000)]


class RiskParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """What may be bet, on what, and how often. ``config/risk.yaml`` gives the reason of each default.

    Fractions, prices and quantities are in millionths; limits called fractions are of equity, where
    equity counts positions at the best bid.

    Attributes:
        autonomy: ``alerts`` places no entry, ``semi`` asks the operator for each, ``auto`` places them.
        exits_wait: under ``semi``, exits wait for the operator too.
        order_time_in_force: of entries; exits bring their own.
        approval_ttl_s: an approval not claimed by then is void.
        pending_ttl_s: how long an order waits for the operator.
        sizing: ``kelly``, or ``fixed`` for the fraction ``fixed_bet`` of equity.
        kelly_share: which part of the full Kelly stake.
        fixed_bet: stake of ``fixed`` sizing, a fraction.
        max_bet: most one entry may cost, a fraction; a larger size is cut to it.
        max_market: most that may be at stake in one market, a fraction.
        max_heat: most that may be at stake in all, a fraction.
        max_group: worst loss over the outcomes of one group of markets, a fraction.
        daily_loss: loss since midnight UTC that ends the day, a fraction of equity at midnight.
        drawdown_reduce: fall from the highest equity from where sizes shrink, a fraction of it.
        drawdown_stop: fall from the highest equity from where nothing is bet, a fraction of it.
        max_positions_count: markets with a position or a working entry at a time.
        one_position_per_market: no second entry into a market; otherwise only none into its other outcomes.
        cooldown_s: rest of a market after an entry was approved in it or its position was closed.
        order_rate_count: entries approved within ``order_rate_window_s``.
        order_rate_window_s: see ``order_rate_count``.
        repeat_s: the same instrument, side and price is not approved twice within.
        book_age_s_max: a book without any message for longer is stale.
        time_to_close_s_min: no entry later than this before the market closes.
        spread_max: widest spread as a fraction of the mid price.
        spread_ticks_min: a spread of so many ticks is always allowed.
        depth_min: contracts in the top five levels, on each side.
        collar: farthest a price may be from the mid price.
        price_min: lowest price of an entry.
        price_max: highest price of an entry.
        edge_min: fair value less price and fee, per contract.
        quantity_min: smallest order, in contracts.
    """

    autonomy: Literal["alerts", "semi", "auto"] = "auto"
    exits_wait: bool = False
    order_time_in_force: Literal["ioc", "fok", "gtc"] = "ioc"
    approval_ttl_s: Lifetime = 5
    pending_ttl_s: Lifetime = 60
    sizing: Literal["kelly", "fixed"] = "kelly"
    kelly_share: Fraction = 500_000
    fixed_bet: Fraction = 20_000
    max_bet: Fraction = 200_000
    max_market: Fraction = 500_000
    max_heat: Fraction = 250_000
    max_group: Fraction = 250_000
    daily_loss: Fraction = 300_000
    drawdown_reduce: Fraction = 100_000
    drawdown_stop: Fraction = 400_000
    max_positions_count: Count = 5
    one_position_per_market: bool = True
    cooldown_s: Seconds = 60
    order_rate_count: Count = 10
    order_rate_window_s: Lifetime = 60
    repeat_s: Seconds = 30
    book_age_s_max: Lifetime = 10
    time_to_close_s_min: Seconds = 120
    spread_max: Fraction = 10_000
    spread_ticks_min: Count = 2
    depth_min: Amount = 500 * ONE
    collar: Fraction = 50_000
    price_min: Fraction = 10_000
    price_max: Fraction = 990_000
    edge_min: Fraction = 10_000
    quantity_min: Amount = ONE

    def __post_init__(self) -> None:
        _rising("drawdown_reduce", self.drawdown_reduce, "drawdown_stop", self.drawdown_stop)
        _rising("price_min", self.price_min, "price_max", self.price_max)


def _rising(low_name: str, low: int, high_name: str, high: int) -> None:
    if low >= high:
        raise ValueError(f"expected {low_name} below {high_name}, was {show(low)} and {show(high)}")
