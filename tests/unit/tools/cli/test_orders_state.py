"""Whether orders may leave, in a word: also when only exits may."""

from typing import Any

import pytest

from libs.view.orders_state import orders_state


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("active", "open"),
        ("reduced", "open"),
        ("close_only", "exits only: risk is close-only"),
        ("halted", "no new orders: risk is halted"),
    ],
)
def test_what_risk_holds_back_is_told(state: str, said: str):
    services = {"execution": {"state": "live"}, "risk": {"state": "live", "risk_state": state}}
    assert orders_state({"running": True, "halted": "", "services": services}) == said


@pytest.mark.parametrize(
    ("execution", "said"),
    [
        ({}, "open"),
        ({"ledger": {"entries": ""}}, "open"),
        ({"ledger": {"entries": "ledger 93 % full"}}, "exits only: ledger 93 % full"),
        ({"gate": "lagging", "ledger": {"entries": "ledger 93 % full"}}, "no new orders: lagging"),
    ],
)
def test_a_ledger_that_keeps_its_rest_for_exits_is_told(execution: dict[str, Any], said: str):
    document = {"running": True, "halted": "", "services": {"execution": {"state": "live"} | execution}}
    assert orders_state(document) == said
