"""Sections as stored tapes hold them: read by their former names, and the same bytes when nothing was changed."""

import json

import msgspec
import pytest

from libs.config.load import override
from libs.config.wanted import former_names
from libs.machine.machine import StateMachine
from services.risk.params import RiskParams
from tests.support.paths import ROOT
from tools.system.composition import factories, models, venue_models

STORED = json.loads((ROOT / "tests" / "golden" / "sections.json").read_text())
"""Every section as the build before the keys were renamed put it on the tape."""
ADDED = {
    "exit": {
        "disputed",
        "hold_to_settlement",
        "trailing_stop",
        "trailing_from",
        "profit_by_age",
        "time_stops",
        "reversal",
        "stale_exit_s",
        "drawdown_level",
        "drawdown_share",
    },
    "risk": {
        "kelly_joint",
        "volatility_target",
        "risk_per_trade",
        "risk_stop",
        "depth_share_max",
        "market_age_min_s",
        "hour_first",
        "hour_end",
        "venue_stake_max",
        "asset_stake_max",
        "family_stake_max",
        "strategy_stake_max",
        "correlated_stake_max",
        "asset_correlation",
        "var_max",
        "shortfall_max",
        "tail_confidence",
        "venue_cash_apart",
        "self_trade_refused",
        "loss_streak_max_count",
        "loss_streak_rest_s",
        "anomaly_stop",
        "anomaly_distance_max",
        "anomaly_excess_max",
        "anomaly_loss_max",
        "anomaly_window_s",
    },
    "venues.binance": {"history_s"},
    "venues.coinbase": {"history_s"},
    "venues.kalshi": {"series_facts"},
}
"""Keys that sections got since: a tape without them has their defaults."""
SINCE = {"alerts"}
"""Sections that there are since: a tape without them has nothing to do for them."""


def stored_keys(section, model):
    """Today's section as it was when the tapes were stored."""
    new = ADDED.get(section, set())
    return {key: value for key, value in model().document().items() if key not in new}


def test_sections_of_stored_tapes_are_read_by_their_former_names():
    today = models() | venue_models()
    assert set(STORED) == set(today) - SINCE
    for section, document in STORED.items():
        model = today[section]
        former = former_names(model)
        assert model.model_validate(document) == model(), section
        assert [former.get(key, key) for key in document] == list(stored_keys(section, model)), section


def test_the_tape_of_today_is_that_of_before_but_for_the_names():
    """Values and their order are the same, so that an unchanged configuration stays the same bytes."""
    for section, model in (models() | venue_models()).items():
        if section in SINCE:
            continue
        assert list(stored_keys(section, model).values()) == list(STORED[section].values()), section


def test_a_stored_section_can_be_overridden_by_todays_names():
    changed = override({"risk": STORED["risk"]}, {"risk": RiskParams}, {"risk.bet_max": "0.01"})
    assert changed["risk"] == RiskParams(bet_max=10_000).document()


@pytest.mark.parametrize("section", ["risk", "execution", "paper", "exit", "monitor"])
def test_snapshots_of_before_are_restored_by_their_former_names(section):
    machine = factories()[section]()
    assert isinstance(machine, StateMachine)
    machine.restore(msgspec.msgpack.encode({"params": STORED[section]}))
    assert machine.state.params == models()[section]()
