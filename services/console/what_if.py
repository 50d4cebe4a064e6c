"""Which setting a check of risk compares with: what a what-if about it changes first."""

from typing import Any

from services.console.fold import ConsoleFold
from services.console.settings import written_of

SETTING_OF_CHECK = {
    "anomaly": "anomaly_distance_max",
    "asset_stake": "asset_stake_max",
    "bet": "bet_max",
    "book_age_s": "book_age_max_s",
    "cooldown_s": "cooldown_s",
    "correlated_stake": "correlated_stake_max",
    "daily_loss": "daily_loss_max",
    "depth": "depth_min",
    "drawdown": "drawdown_stop",
    "edge": "edge_min",
    "expected_shortfall": "shortfall_max",
    "family_stake": "family_stake_max",
    "group_loss": "group_loss_max",
    "heat": "heat_max",
    "loss_streak_count": "loss_streak_max_count",
    "market_age_s": "market_age_min_s",
    "market_stake": "market_stake_max",
    "order_rate_count": "order_rate_max_count",
    "positions_count": "positions_max_count",
    "price_collar": "collar",
    "quantity": "quantity_min",
    "repeat_s": "repeat_s",
    "spread": "spread_max",
    "strategy_stake": "strategy_stake_max",
    "time_to_close_s": "time_to_close_min_s",
    "value_at_risk": "var_max",
    "venue_stake": "venue_stake_max",
}
"""Check → key of the section ``risk``."""


def setting_of(check: str) -> str:
    """The path of the setting that a check's limit is made of; empty where it has none with a number."""
    key = SETTING_OF_CHECK.get(check)
    return f"risk.{key}" if key else ""


def paths_of(fold: ConsoleFold) -> list[str]:
    """Settings that have one number: what a what-if usually changes."""
    return [
        f"{section}.{name}"
        for section, setting in sorted(fold.sections.items())
        if section.partition(".")[0] in ("risk", "exit", "signal", "paper", "execution")
        for name, value in setting.document.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]


def value_now(fold: ConsoleFold, path: str) -> str:
    """What a setting is now, as a file writes it; empty for what is none."""
    section, _, key = path.rpartition(".")
    setting = fold.sections.get(section)
    found: Any = None if setting is None else setting.document.get(key)
    return "" if found is None else written_of(section, key, found)
