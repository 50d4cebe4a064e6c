"""``presage up --live`` as an operator meets it, the "real" hosts being a sandbox started by itself.

There is no way round the gate: keys that open, a doctor without a complaint, the word typed, thirty paper trades
of the strategy, a state directory that never held other money.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from libs.keys.venues.kinds import EthereumKey, RsaKey
from libs.keys.venues.passphrase import FILE_VARIABLE
from libs.keys.venues.store import KeyStore
from libs.runtime.layout import StateLayout
from libs.venues.catalogue import VENUES, key_kinds
from proto.feed import Side
from proto.operator import ClockOwner, Mode, Prices, Session
from proto.units import ONE
from proto.venue import Fill
from services.journal.writer import JournalWriter
from tests.integration.test_up import processes_of, wait_gone
from tests.support.journal_tape import TAPE, record
from tests.support.paths import ROOT
from tools.cli.commands.status import read_status
from tools.exit_codes import USAGE, UsageError
from tools.live.gate import PAPER_TRADES_MIN
from tools.system.composition import CONFIG_DIRECTORY, venue_sections
from tools.system.installation import Installation
from tools.system.sandbox_process import ACCOUNT, with_addresses

pytestmark = [pytest.mark.broker, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(900)]

PASSPHRASE = "correct horse battery"
COST = 1 << 10
START_S = 150.0
LIVE_S = 200.0
POLL_S = 0.1
CONFIRMED = ("--confirm", "live kalshi polymarket")
LIVE = ("--live", "polymarket", "--live", "kalshi")


class Venues:
    """A sandbox process and how to reach it: what an operator would write into the YAML files."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sandbox", "--json", "--seed", "11", "--state", str(folder)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        said = json.loads(self.process.stdout.readline())
        self.keys = {name: json.loads(Path(path).read_text()) for name, path in said["credentials"].items()}
        urls: dict[str, dict[str, Any]] = said["urls"]
        urls["polymarket"] |= {name: self.keys["polymarket"][name] for name in ACCOUNT}
        shipped = {name: venue_sections(VENUES, CONFIG_DIRECTORY, {})[f"venues.{name}"] for name in VENUES}
        self.sets: list[str] = []
        for venue, section in with_addresses(shipped, urls).items():
            for key, value in section.items():
                if value != shipped[venue][key]:
                    self.sets += ["--set", f"venues.{venue}.{key}={value}"]

    def store(self, state: Path) -> None:
        """Its keys, encrypted, where ``presage keys add`` puts them."""
        layout = StateLayout(state)
        layout.keys.mkdir(parents=True, mode=0o700, exist_ok=True)
        kalshi = RsaKey.parse(self.keys["kalshi"]["key_id"], self.keys["kalshi"]["private_key_pem"].encode())
        trading = KeyStore(layout.venue_keys, key_kinds(), cost=COST)
        trading.save("kalshi", kalshi, PASSPHRASE)
        trading.save("polymarket", EthereumKey.parse(self.keys["polymarket"]["private_key"]), PASSPHRASE)
        KeyStore(layout.feed_keys, key_kinds(), cost=COST).save("kalshi", kalshi, PASSPHRASE)

    def close(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=60)


@pytest.fixture(scope="module")
def venues(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Venues]:
    found = Venues(tmp_path_factory.mktemp("venues"))
    yield found
    found.close()


def command(venues: Venues, state: Path, *arguments: object) -> list[str]:
    given = ["up", "--headless", "--json", "--state", state, *arguments, *venues.sets]
    return [sys.executable, "-m", "tools.cli", *map(str, given)]


def environment(state: Path, passphrase: str = PASSPHRASE) -> dict[str, str]:
    file = state.parent / "passphrase"
    file.write_text(passphrase + "\n")
    file.chmod(0o600)
    return os.environ | {FILE_VARIABLE: str(file)}


def refused(venues: Venues, state: Path, *arguments: object, passphrase: str = PASSPHRASE) -> str:
    """What ``presage up`` says when it does not start."""
    ended = subprocess.run(
        command(venues, state, *arguments),
        cwd=ROOT,
        env=environment(state, passphrase),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=LIVE_S,
        check=False,
    )
    assert ended.returncode == USAGE, ended.stderr
    assert processes_of(state) == []
    assert not StateLayout(state).run_file.exists(), "the services were about to start"
    return ended.stderr


async def paper_trades(state: Path, count: int, prices: Prices = Prices.REAL) -> None:
    """A state directory in which a strategy closed so many positions on paper, just now."""
    installation = Installation(state)
    dsn = await installation.start_database()
    now = time.time_ns()
    opened = Session(
        tape=TAPE,
        mode=Mode.REALTIME,
        clock_owner=ClockOwner.MONITOR,
        started_at=now,
        nonce="n",
        expires_at=now,
        prices=prices,
    )
    records = [record(1, opened, stored_at_ns=now)]
    for number in range(2 * count):
        fill = Fill(
            fill_id=f"fill:paper:{number}",
            order=f"{TAPE}-{number}-0",
            market="kalshi:M",
            instrument="kalshi:M:yes",
            strategy="momentum",
            side=Side.SELL if number % 2 else Side.BUY,
            price=450_000,
            quantity=ONE,
            fee=0,
            at=now,
        )
        records.append(record(number + 2, fill, stored_at_ns=now))
    try:
        writer = JournalWriter(dsn, TAPE, state / "anchors.jsonl")
        await writer.append(records)
        await writer.close()
    finally:
        await asyncio.to_thread(installation.database.stop)


def test_each_part_of_the_gate_holds_alone(venues: Venues, tmp_path: Path):
    state = tmp_path / "state"
    mana = "--set", "venues.manifold.enabled=true"
    for mixed in (("--live", "manifold", *LIVE), ("--sandbox-live",)):
        assert "was dollars (kalshi, polymarket) and mana (manifold)" in refused(venues, state, *mixed, *mana)
    assert "presage keys add" in refused(venues, state, *LIVE, *CONFIRMED)
    venues.store(state)
    assert "not ready for real money" in refused(venues, state, *LIVE, *CONFIRMED, passphrase="another one")
    assert 'expected "live kalshi polymarket" to be typed' in refused(venues, state, *LIVE)
    assert "was 'live polymarket'" in refused(venues, state, *LIVE, "--confirm", "live polymarket")
    (state / "money").write_text("paper")
    assert "expected a state directory with real money, was paper" in refused(
        venues, state, *LIVE, *CONFIRMED
    )


def test_the_whole_way_to_real_orders(venues: Venues, tmp_path: Path):
    state, paper = tmp_path / "state", tmp_path / "paper"
    venues.store(state)
    few = PAPER_TRADES_MIN - 1
    asyncio.run(paper_trades(paper, few))
    said = refused(venues, state, *LIVE, *CONFIRMED, "--paper-state", paper)
    assert f"expected at least {PAPER_TRADES_MIN} closed paper trades on real prices, was {few}" in said
    tried = tmp_path / "tried"
    asyncio.run(paper_trades(tried, PAPER_TRADES_MIN, Prices.SANDBOX))
    said = refused(venues, state, *LIVE, *CONFIRMED, "--paper-state", tried)
    assert f"was 0 (left out: {PAPER_TRADES_MIN} at the sandbox)" in said
    enough = tmp_path / "enough"
    asyncio.run(paper_trades(enough, PAPER_TRADES_MIN))
    process = subprocess.Popen(
        command(venues, state, *LIVE, *CONFIRMED, "--paper-state", enough),
        cwd=ROOT,
        env=environment(state),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        document = wait_open(state, process)
        assert document["money"] == "real"
        for venue in ("kalshi", "polymarket"):
            assert document["venues"][venue]["gate"] == "open", (
                "its key was opened by the passphrase in the pipe"
            )
            assert document["venues"][venue]["balance"] == 10_000 * ONE
        secrets = (PASSPHRASE, venues.keys["polymarket"]["private_key"][2:])
        assert not [p.pid for p in processes_of(state) if any(s in str(p.environ()) for s in secrets)]
        process.send_signal(signal.SIGHUP)
        output, errors = process.communicate(timeout=LIVE_S)
        assert process.returncode == 0, errors
        assert json.loads(output)["frames"] > 0
        wait_gone(state)
        logs = "".join(path.read_text() for path in StateLayout(state).logs.iterdir())
        assert not [secret for secret in secrets if secret in logs + output + errors]
    finally:
        process.kill()
        process.communicate()
        for left in processes_of(state):
            left.kill()
    # An account of real money is not played with on paper afterwards.
    assert "expected a state directory with paper money, was real" in refused_again(venues, state)


def refused_again(venues: Venues, state: Path) -> str:
    ended = subprocess.run(
        command(venues, state),
        cwd=ROOT,
        env=environment(state),
        capture_output=True,
        text=True,
        timeout=LIVE_S,
        check=False,
    )
    assert ended.returncode == USAGE
    return ended.stderr


def wait_open(state: Path, process: subprocess.Popen[str]) -> dict[str, Any]:
    """The status once orders may leave to every venue."""
    deadline = monotonic() + LIVE_S
    document: dict[str, Any] = {}
    while monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        try:
            document = asyncio.run(read_status(state))
        except UsageError:
            document = {"orders": "not started yet"}
        if document["orders"] == "open" and len(document["venues"]) >= 4:
            return document
        sleep(POLL_S)
    raise AssertionError(f"expected open gates, was {document}")
