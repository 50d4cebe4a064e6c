"""``presage eval run`` on one played tape: its day is that of the lists, and ``why`` takes its evidence."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

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
    shown = run(state, "eval", "run", found["day"])
    assert shown.exit_code == 0, shown.output
    assert f"{found['trades']} closed trades" in shown.output
    refused = run(state, "eval", "run", "2001-01-01")
    assert refused.exit_code == 2
    assert "expected a day that the tape has, was 2001-01-01" in refused.output


async def evaluated(state: Path) -> Evaluated:
    async with tape_access(state) as (installation, link):
        return await evaluate_tape(history_of(installation, link))
