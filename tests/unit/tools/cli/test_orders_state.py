"""Whether orders may leave, in a word: also when only exits may."""

from typing import Any

import pytest

from tools.cli.commands.status import _orders_state


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
    assert _orders_state(document) == said
