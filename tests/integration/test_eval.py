"""``presage eval run``, ``performance`` and ``review`` on one played tape: what they say is what the lists say."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from libs.performance.trades import HOUR
from proto.units import ONE
from tests.support.played import played_in
from tools.cli.app import app
from tools.cli.commands.tape import history_of
from tools.offline.evaluation import Evaluated, evaluate_tape
from tools.system.installation import tape_access

pytestmark = [pytest.mark.broker, pytest.mark.postgres, pytest.mark.slow]


def run(state: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--state", str(state)], env={"COLUMNS": "160"})


def document(state: Path, *arguments: str) -> Any:
    result = run(state, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_day_of_the_tape(tmp_path_factory: pytest.TempPathFactory):
    state = played_in(tmp_path_factory).state
    found = document(state, "eval", "run")
    trades = document(state, "trades", "--limit", "0")["trades"]
    assert found["trades"] == len(trades) > 0
    assert round(found["profit"] * ONE) == sum(trade["profit"] for trade in trades)
    day = asyncio.run(evaluated(state)).day
    # Rules take their evidence from these rows.
    for row in (day.trades[0], day.entries[0], day.refused[0]):
        assert document(state, "why", row.id), row
    assert sum(found["orders"].values()) == len(day.entries)
    advice = document(state, "advise")
    assert (advice["findings"], advice["opinion"]["asked"]) == (found["findings"], False)
    assert "No model was asked: the system does not run." in run(state, "advise").output
    shown = run(state, "eval", "run", found["day"])
    assert shown.exit_code == 0, shown.output
    assert f"{found['trades']} closed trades" in shown.output
    check_performance(state, trades)
    refused = run(state, "eval", "run", "2001-01-01")
    assert refused.exit_code == 2
    assert "expected a day that the tape has, was 2001-01-01" in refused.output


def check_performance(state: Path, trades: list[Any]) -> None:
    """Performance is that of the lists, whatever it is split by, and the review says the same in Markdown."""
    found = document(state, "performance")
    account, total = found["account"], found["trades"]
    assert total["trades"] == len(trades)
    assert total["profit"] == total["edge_captured"] == sum(trade["profit"] for trade in trades)
    for parts in found["by"].values():
        assert sum(part["profit"] for part in parts.values()) == total["profit"]
        assert sum(part["trades"] for part in parts.values()) == len(trades)
    assert (
        account["profit"]
        == account["equity"] - account["deposits"]
        == sum(day["profit"] for day in found["days"])
    )
    assert account["profit"] == account["realised_profit"] + account["unrealised_profit"] - account["fees"]
    assert account["fees"] == sum(fill["fee"] for fill in document(state, "fills", "--limit", "0")["fills"])
    assert found["figures"]["sharpe"] == {
        "value": None,
        "samples": len(found["days"]),
        "reason": "1 day, below 20: too few",
        "low": None,
        "high": None,
    }
    hours = Counter(f"{trade['closed_at'] // HOUR % 24:02}" for trade in trades)
    assert {hour: part["trades"] for hour, part in found["by"]["hour"].items()} == hours
    assert found["figures"]["time_in_market"]["value"] > 0
    shown = run(state, "performance", "--by", "exit", "--by", "hour")
    assert shown.exit_code == 0, shown.output
    assert f"{len(trades):,}" in shown.output
    text = run(state, "review").output
    assert text.startswith("# Review: ")
    assert f"{len(trades)} closed trades" in text
    assert "| **all** |" in text
    assert run(state, "performance", "--by", "colour").exit_code == 2
    nothing = run(state, "performance", "--since", "2001-01-01", "--until", "2001-01-02")
    assert nothing.exit_code == 2
    assert "expected a day with money in the account" in nothing.output


async def evaluated(state: Path) -> Evaluated:
    async with tape_access(state) as (installation, link):
        return await evaluate_tape(history_of(installation, link))
