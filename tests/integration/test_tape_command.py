"""``presage tape`` and ``replay --nats``: a played tape, by its state directory and by its broker's address alone."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from libs.tape.connection import open_link
from libs.tape.credentials import VIEWER
from libs.view.names import short_id
from tests.support.paths import ROOT
from tests.support.played import Played, played_in
from tools.cli.app import app
from tools.exit_codes import FAILED, USAGE
from tools.system import remote
from tools.system.installation import Installation

pytestmark = [pytest.mark.broker, pytest.mark.postgres, pytest.mark.slow]

PATIENCE_S = 150.0


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "160", **environment})


def listed(*arguments: str, **environment: str) -> list[dict[str, Any]]:
    result = run("tape", "--json", *arguments, **environment)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return played_in(tmp_path_factory)


@asynccontextmanager
async def _served(state: Path) -> Any:
    installation = Installation(state)
    await installation.start_broker()
    try:
        yield installation
    finally:
        installation.broker.stop()


@pytest.fixture(scope="module")
def address(played: Played) -> Iterator[str]:
    """The played tape's broker, running as if it were somebody else's."""
    ready, over = threading.Event(), threading.Event()
    found: list[str] = []

    async def serve() -> None:
        async with _served(played.state) as installation:
            found.append(installation.broker_url)
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(PATIENCE_S)
    yield found[0]
    over.set()
    thread.join(PATIENCE_S)


@pytest.fixture
def login(played: Played, tmp_path: Path) -> dict[str, str]:
    """Credentials of the viewer, who may only read, and no other file of the state directory."""
    (tmp_path / VIEWER).write_text((played.state / "broker" / "credentials" / VIEWER).read_text())
    return {"PRESAGE_NATS_CREDENTIALS": str(tmp_path)}


def test_a_tape_is_read_alike_by_its_address_and_by_its_directory(
    played: Played, address: str, login: dict[str, str], tmp_path: Path
) -> None:
    last = played.summary["tape_last_seq"]
    everything = listed("--nats", address, "--limit", "0", **login)
    assert [row["seq"] for row in everything] == list(range(1, last + 1))
    assert all(row["payload"] is not None for row in everything)

    def where(condition: Any) -> list[dict[str, Any]]:
        return [row for row in everything if condition(row)]

    approval = where(lambda row: row["subject"].startswith("risk.approval."))[0]
    order, market = approval["payload"]["order"], approval["payload"]["market"]
    assert listed("--nats", address, **login) == everything[-20:]
    assert listed("--nats", address, "--subject", "risk.approval.>", "--limit", "0", **login) == where(
        lambda row: row["subject"].startswith("risk.approval.")
    )
    for name in (order, short_id(order)):
        assert listed("--nats", address, "--order", name, "--limit", "0", **login) == where(
            lambda row: row["payload"].get("order") == order
        )
    of_market = listed("--nats", address, "--market", market, "--subject", "feed.>", "--limit", "0", **login)
    assert of_market
    assert all(
        market in row["subject"].replace("_", ":") or market in str(row["payload"]) for row in of_market
    )
    part = listed(
        "--nats", address, "--from", str(last // 3), "--to", str(last // 2), "--limit", "7", **login
    )
    assert [row["seq"] for row in part] == list(range(last // 2 - 6, last // 2 + 1))
    keys = tmp_path / "public.json"
    keys.write_text((played.state / "keys" / "public.json").read_text())
    replayed = run("replay", "--nats", address, "--keys", str(keys), "--json", **login)
    assert replayed.exit_code == 0, replayed.output
    document = json.loads(replayed.stdout)
    assert (document["identical"], document["messages"]) == (True, last)
    assert document["compared"] > 100
    # Keys of somebody else: nothing that was signed counts, and it is said.
    Installation(tmp_path / "other")
    strange = run(
        "replay",
        "--nats",
        address,
        "--keys",
        str(tmp_path / "other" / "keys" / "public.json"),
        "--json",
        **login,
    )
    assert strange.exit_code == 3, strange.output
    changed = run(
        "replay", "--nats", address, "--keys", str(keys), "--set", "risk.bet_max=0.005", "--json", **login
    )
    assert changed.exit_code == 3
    own = run("replay", "--state", str(played.state), "--set", "risk.bet_max=0.005", "--json")
    assert json.loads(changed.stdout) == json.loads(own.stdout)


def test_it_says_what_is_wrong(
    played: Played, address: str, login: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "PATIENCE_S", 0.5)
    nobody = run("tape", "--nats", address)
    assert nobody.exit_code == FAILED
    assert "expected a broker" in nobody.output
    assert run("tape", "--nats", "postgres://host", **login).exit_code == USAGE
    assert run("replay", "--nats", address, **login).exit_code == USAGE
    assert run("replay", "--state", str(played.state), "--keys", "public.json").exit_code == USAGE
    assert run("tape", "--state", str(tmp_path / "nowhere")).exit_code == USAGE
    assert run("tape", "--state", str(played.state), "--follow").exit_code == FAILED


def test_a_tape_is_followed(played: Played, address: str, login: dict[str, str]) -> None:
    password = (played.state / "broker" / "credentials" / "bootstrap").read_text()
    with subprocess.Popen(
        [sys.executable, "-m", "tools.cli", "tape", "--nats", address, "-f", "--limit", "1", "--json",
         "--subject", "operator.>", "--subject", "monitor.clock"],
        env=os.environ | login, cwd=ROOT, stdout=subprocess.PIPE, text=True,
    ) as following:  # fmt: skip
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["seq"] <= played.summary["tape_last_seq"]

        async def publish() -> None:
            link = await open_link(address, "bootstrap", password)
            for subject in ("operator.command.halt", "feed.gap.x", "operator.command.resume"):
                await link.client.request(subject, b"\xc1", timeout=PATIENCE_S)
            await link.close()

        asyncio.run(publish())
        rows = [json.loads(following.stdout.readline()) for _ in range(2)]
        assert [row["subject"] for row in rows] == ["operator.command.halt", "operator.command.resume"]
        assert all(row["payload"] is None and row["unreadable"] for row in rows)
        following.terminate()
