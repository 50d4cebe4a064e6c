"""Typed parameters of risk: configuration section ``risk``."""

from typing import Annotated, Literal, Self

from pydantic import model_validator

from libs.config.section import Section, amount, setting, whole
from proto.units import ONE, show

Fraction = Annotated[int, amount(0, ONE)]
Amount = Annotated[int, amount(0, 1_000_000 * ONE)]
Seconds = Annotated[int, whole(0, 7 * 86_400)]
Lifetime = Annotated[int, whole(1, 86_400)]
Count = Annotated[int, whole(0, 10_000)]
Confidence = Annotated[int, amount(500_000, 999_900)]
Hour = Annotated[int, whole(0, 23)]
HourEnd = Annotated[int, whole(1, 24)]
Window = Annotated[int, whole(1, 3_600)]
"""An hour: what is kept for it, one figure a second at most, stays small."""


class RiskParams(Section):
    """What may be bet, on what, and how often. ``config/risk.yaml`` gives the reason of each default.

    Fractions, prices and quantities are in millionths; limits called fractions are of equity, where
    equity counts positions at the best bid.
    """

    autonomy: Literal["alerts", "semi", "auto"] = setting(
        "auto", "`alerts` places no entry, `semi` asks the operator for each, `auto` places them"
    )
    exits_wait: bool = setting(False, "under `semi`, exits wait for the operator too")
    order_time_in_force: Literal["ioc", "fok", "gtc"] = setting("ioc", "of entries; exits bring their own")
    approval_ttl_s: Lifetime = setting(5, "an approval not claimed by then is void")
    pending_ttl_s: Lifetime = setting(60, "how long an order waits for the operator")
    sizing: Literal["kelly", "fixed", "volatility", "risk"] = setting(
        "kelly",
        "`kelly`, `fixed` for the fraction `fixed_bet` of equity, `volatility` for a target of the outcome's spread, "
        "`risk` for a loss at the stop",
    )
    kelly_share: Fraction = setting(500_000, "which part of the full Kelly stake")
    fixed_bet: Fraction = setting(20_000, "stake of `fixed` sizing, a fraction")
    bet_max: Fraction = setting(
        200_000, "most one entry may cost, a fraction; a larger size is cut to it", former="max_bet"
    )
    market_stake_max: Fraction = setting(
        500_000, "highest exposure in one market, a fraction", former="max_market"
    )
    heat_max: Fraction = setting(250_000, "highest exposure, a fraction", former="max_heat")
    group_loss_max: Fraction = setting(
        250_000, "worst loss over the outcomes of one group of markets, a fraction", former="max_group"
    )
    daily_loss_max: Fraction = setting(
        300_000,
        "loss since midnight UTC that ends the day, a fraction of equity at midnight",
        former="daily_loss",
    )
    drawdown_reduce: Fraction = setting(
        100_000, "fall from the highest equity from where sizes shrink, a fraction of it"
    )
    drawdown_stop: Fraction = setting(
        400_000, "fall from the highest equity from where nothing is bet, a fraction of it"
    )
    positions_max_count: Count = setting(
        5, "markets with a position or a working entry at a time", former="max_positions_count"
    )
    one_position_per_market: bool = setting(
        True, "no second entry into a market; otherwise only none into its other outcomes"
    )
    cooldown_s: Seconds = setting(
        60, "rest of a market after an entry was approved in it or its position was closed"
    )
    order_rate_max_count: Count = setting(
        10, "entries approved within `order_rate_window_s`", former="order_rate_count"
    )
    order_rate_window_s: Lifetime = setting(60, "see `order_rate_max_count`")
    repeat_s: Seconds = setting(30, "the same instrument, side and price is not approved twice within")
    book_age_max_s: Lifetime = setting(
        10, "a book without any message for longer is stale", former="book_age_s_max"
    )
    time_to_close_min_s: Seconds = setting(
        120, "no entry later than this before the market is expected to end", former="time_to_close_s_min"
    )
    spread_max: Fraction = setting(10_000, "widest spread as a fraction of the mid price")
    spread_max_ticks: Count = setting(
        2, "a spread of so many ticks is always allowed", former="spread_ticks_min"
    )
    depth_min: Amount = setting(500 * ONE, "contracts in the top five levels, on each side")
    collar: Fraction = setting(50_000, "farthest a price may be from the mid price")
    price_min: Fraction = setting(10_000, "lowest price of an entry")
    price_max: Fraction = setting(990_000, "highest price of an entry")
    edge_min: Fraction = setting(10_000, "fair value less price and fee, per contract")
    quantity_min: Amount = setting(ONE, "smallest order, in contracts")
    kelly_joint: bool = setting(False, "`kelly` counts what is held of the market and its group")
    volatility_target: Fraction = setting(
        10_000, "standard deviation of one outcome under `volatility`, a fraction of equity"
    )
    risk_per_trade: Fraction = setting(10_000, "loss at the stop under `risk`, a fraction of equity")
    risk_stop: Fraction = setting(50_000, "where that stop is: loss with slippage, a fraction of the price")
    depth_share_max: Fraction = setting(
        0, "largest part of what the book offers that one entry takes; 0: off"
    )
    market_age_min_s: Seconds = setting(0, "no entry before the market has been open for so long; 0: off")
    hour_first: Hour = setting(0, "first hour of the day, UTC, in which entries are made")
    hour_end: HourEnd = setting(
        24, "hour of the day, UTC, from which none is made any more; below `hour_first`: past midnight"
    )
    venue_stake_max: Fraction = setting(ONE, "highest exposure at one venue, a fraction; 1.0: off")
    asset_stake_max: Fraction = setting(
        ONE, "highest exposure to the price of one coin or share, a fraction; 1.0: off"
    )
    family_stake_max: Fraction = setting(
        ONE, "highest exposure in one family of markets, a fraction; 1.0: off"
    )
    strategy_stake_max: Fraction = setting(ONE, "highest exposure of one strategy, a fraction; 1.0: off")
    correlated_stake_max: Fraction = setting(
        ONE, "highest exposure with what moves together counted together, a fraction; 1.0: off"
    )
    asset_correlation: Fraction = setting(800_000, "correlation of markets on the price of one coin or share")
    var_max: Fraction = setting(ONE, "highest value at risk, a fraction of equity; 1.0: off")
    shortfall_max: Fraction = setting(ONE, "highest expected shortfall, a fraction of equity; 1.0: off")
    tail_confidence: Confidence = setting(990_000, "confidence of both")
    venue_cash_apart: bool = setting(False, "an entry is paid from the cash at its own venue")
    self_trade_refused: bool = setting(False, "no entry that would trade with an order of our own")
    loss_streak_max_count: Count = setting(0, "trades lost in a row from which entries rest; 0: off")
    loss_streak_rest_s: Seconds = setting(3_600, "how long they rest after the last of them")
    anomaly_stop: bool = setting(False, "no entry after something unusual, until the operator resumes")
    anomaly_distance_max: Fraction = setting(100_000, "a fill so far outside the book is unusual")
    anomaly_excess_max: Amount = setting(ONE, "contracts filled beyond an approval that are unusual")
    anomaly_loss_max: Fraction = setting(
        100_000, "loss within `anomaly_window_s` that is unusual, a fraction of equity"
    )
    anomaly_window_s: Window = setting(60, "see `anomaly_loss_max`")

    @model_validator(mode="after")
    def _is_rising(self) -> Self:
        _refuse_unless_rising("drawdown_reduce", self.drawdown_reduce, "drawdown_stop", self.drawdown_stop)
        _refuse_unless_rising("price_min", self.price_min, "price_max", self.price_max)
        if self.hour_first == self.hour_end:
            raise ValueError(f"expected hour_end other than hour_first, was {self.hour_end} for both")
        return self


def _refuse_unless_rising(low_name: str, low: int, high_name: str, high: int) -> None:
    if low >= high:
        raise ValueError(f"expected {low_name} below {high_name}, was {show(low)} and {show(high)}")
