"""``presage doctor`` against the sandbox: all well, and one thing wrong at a time, in plain words."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from typer.testing import CliRunner, Result

from libs.keys.venues.kinds import EthereumKey, RsaKey
from libs.keys.venues.store import KeyStore
from libs.runtime.layout import StateLayout
from libs.venues.catalogue import VENUES, key_kinds
from sandbox.polymarket.contracts import EXCHANGES
from sandbox.polymarket.server import PolymarketServer
from sandbox.server import Sandbox
from tools.cli.app import app
from tools.cli.doctor import examine
from tools.cli.doctor_machine import Finding
from tools.exit_codes import FAILED
from tools.system.composition import CONFIG_DIRECTORY, venue_sections
from tools.system.sandbox_process import ACCOUNT, with_addresses

pytestmark = pytest.mark.asyncio

PASSPHRASE = "correct horse battery"
COST = 1 << 10
"""Of scrypt, in tests: a real one takes a second for each key."""
TRADING = ["kalshi", "polymarket"]


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(seed=11) as running:
        yield running


def venues_of(running: Sandbox) -> dict[str, dict[str, Any]]:
    """The shipped sections, with the sandbox's addresses and the first account's wallet."""
    resolved = venue_sections(VENUES, CONFIG_DIRECTORY, {})
    urls: dict[str, dict[str, Any]] = {venue: dict(found) for venue, found in running.urls.items()}
    row = running.credentials["polymarket"]
    urls["polymarket"] |= {name: row[name] for name in ACCOUNT}
    return with_addresses({name: resolved[f"venues.{name}"] for name in VENUES}, urls)


def keys(running: Sandbox, state: Path) -> None:
    """The sandbox's keys, encrypted, where ``presage keys`` puts them."""
    layout = StateLayout(state)
    layout.keys.mkdir(parents=True, mode=0o700)
    kalshi, polymarket = running.credentials["kalshi"], running.credentials["polymarket"]
    rsa = RsaKey.parse(kalshi["key_id"], kalshi["private_key_pem"].encode())
    store = KeyStore(layout.venue_keys, key_kinds(), cost=COST)
    store.save("kalshi", rsa, PASSPHRASE)
    store.save("polymarket", EthereumKey.parse(polymarket["private_key"]), PASSPHRASE)
    KeyStore(layout.feed_keys, key_kinds(), cost=COST).save("kalshi", rsa, PASSPHRASE)


async def findings(
    running: Sandbox,
    state: Path,
    venues: dict[str, dict[str, Any]] | None = None,
    passphrase: str = PASSPHRASE,
) -> dict[str, Finding]:
    found = await examine(state, venues or venues_of(running), TRADING, passphrase)
    return {finding.subject: finding for finding in found}


async def test_all_is_well(sandbox: Sandbox, tmp_path: Path):
    keys(sandbox, tmp_path)
    found = await findings(sandbox, tmp_path)
    assert [finding for finding in found.values() if not finding.ok] == []
    for subject in (
        "polymarket key",
        "polymarket login",
        "polymarket allowances",
        "kalshi orders",
        "binance clock",
    ):
        assert subject in found
    assert "10000" in found["polymarket balance"].text
    assert "heartbeat is taken" in found["polymarket orders"].text


async def test_without_keys_it_says_how_to_get_some(sandbox: Sandbox, tmp_path: Path):
    found = await findings(sandbox, tmp_path)
    for venue in TRADING:
        assert not found[f"{venue} key"].ok
        assert f"presage keys add {venue}" in found[f"{venue} key"].text
    assert "--market-data" in found["kalshi market data"].text


async def test_a_wrong_passphrase_and_a_key_the_venue_does_not_know(sandbox: Sandbox, tmp_path: Path):
    keys(sandbox, tmp_path)
    found = await findings(sandbox, tmp_path, passphrase="another one")
    assert not found["polymarket key"].ok
    assert not found["kalshi market data"].ok
    assert "expected the passphrase of the PEM file" in found["kalshi market data"].text
    store = KeyStore(StateLayout(tmp_path).venue_keys, key_kinds(), cost=COST)
    kalshi = store.load("kalshi", PASSPHRASE)
    store.remove("kalshi")
    store.save("kalshi", RsaKey(key_id="somebody-else", private_key_pem=kalshi.private_key_pem), PASSPHRASE)
    found = await findings(sandbox, tmp_path)
    assert not found["kalshi login"].ok or not found["kalshi balance"].ok
    assert found["polymarket login"].ok, "one venue's trouble is not another's"


async def test_a_wallet_that_is_empty_or_closed_to_an_exchange(sandbox: Sandbox, tmp_path: Path):
    keys(sandbox, tmp_path)
    server = sandbox.servers["polymarket"]
    assert isinstance(server, PolymarketServer)
    refused = next(iter(EXCHANGES))
    server.options.refused_exchanges = (refused,)
    found = await findings(sandbox, tmp_path)
    assert not found["polymarket allowances"].ok
    assert refused in found["polymarket allowances"].text
    assert found["polymarket allowances"].text.count("0x") == 1
    venues = venues_of(sandbox)
    venues["polymarket"]["signature_type"], venues["polymarket"]["funder"] = 0, ""
    for wallet in server.exchange.ledger:
        wallet.chain.clear()
    found = await findings(sandbox, tmp_path, venues)
    assert not found["polymarket wallet"].ok
    assert "holds nothing" in found["polymarket wallet"].text


async def test_a_venue_that_is_down_hides_no_other(sandbox: Sandbox, tmp_path: Path):
    keys(sandbox, tmp_path)
    venues = venues_of(sandbox)
    venues["kalshi"]["rest_url"] = "http://127.0.0.1:1/trade-api/v2"
    found = await findings(sandbox, tmp_path, venues)
    assert not found["kalshi"].ok
    assert "does not answer" in found["kalshi"].text
    assert found["polymarket"].ok
    assert found["polymarket login"].ok


async def test_an_account_that_cannot_be_traded_is_said_and_hides_no_other(sandbox: Sandbox, tmp_path: Path):
    keys(sandbox, tmp_path)
    venues = venues_of(sandbox)
    venues["kalshi"]["subaccount"] = 3
    found = await findings(sandbox, tmp_path, venues)
    assert not found["kalshi"].ok
    assert "expected subaccount 0 of kalshi" in found["kalshi"].text
    assert found["polymarket login"].ok


@asynccontextmanager
async def wrong_clock(date: str) -> AsyncIterator[str]:
    """A venue whose clock says something else."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({}, headers={"Date": date})

    app = web.Application()
    app.router.add_get("/api/v3/time", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_clock_that_is_off_is_told_with_its_remedy(tmp_path: Path):
    async with wrong_clock("Sat, 13 Jan 2001 00:00:00 GMT") as url:
        found = await examine(tmp_path, {"binance": {"rest_url": url}}, [])
    clock = {finding.subject: finding for finding in found}["binance clock"]
    assert not clock.ok
    assert "ahead" in clock.text
    assert "timedatectl" in clock.text


async def test_a_date_nobody_can_read_is_no_finding(tmp_path: Path):
    async with wrong_clock("yesterday") as url:
        found = await examine(tmp_path, {"binance": {"rest_url": url}}, [])
    assert "binance clock" not in {finding.subject for finding in found}
    assert all(finding.ok for finding in found)


async def test_a_folder_of_keys_others_may_read_is_told(tmp_path: Path):
    StateLayout(tmp_path).keys.mkdir(parents=True, mode=0o755)
    await asyncio.to_thread(StateLayout(tmp_path).keys.chmod, 0o755)
    done = await asyncio.to_thread(look, tmp_path)
    assert done.exit_code == FAILED
    (finding,) = [f for f in json.loads(done.stdout) if f["subject"] == "keys folder"]
    assert (finding["ok"], "chmod 700" in finding["text"]) == (False, True)


async def test_the_doctor_makes_no_installation_of_a_mistyped_name(tmp_path: Path):
    done = await asyncio.to_thread(look, tmp_path / "state")
    assert done.exit_code == 0, done.output
    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == []


def look(state: Path) -> Result:
    """``presage doctor`` as it is typed, where no venue is enabled."""
    off = [f"--set=venues.{venue}.enabled=false" for venue in VENUES]
    return CliRunner().invoke(app, ["doctor", "--market", "real", "--state", str(state), "--json", *off])


async def test_what_the_default_run_needs_is_here_and_no_venue_is_asked(tmp_path: Path):
    command = ["doctor", "--state", str(tmp_path / "state")]
    done = await asyncio.to_thread(CliRunner().invoke, app, [*command, "--json"])
    assert done.exit_code == 0, done.output
    found = [finding["subject"] for finding in json.loads(done.stdout)]
    assert found == ["disk", "keys folder", "broker", "database", "system", "sandbox"]
    without = await asyncio.to_thread(CliRunner().invoke, app, [*command, "--market", "synthetic"])
    assert "sandbox" not in without.stdout
    assert "does not run: presage up" in without.stdout
