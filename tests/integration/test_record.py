"""``presage record``: frames of the sandbox's venues to files, and a backtest of them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from libs.keys.venues.kinds import RsaKey
from libs.keys.venues.passphrase import FILE_VARIABLE
from libs.keys.venues.store import KeyStore
from libs.venues.catalogue import key_kinds
from sandbox.server import Sandbox
from services.feed.recording.frame_files import find_frame_files
from tests.support.paths import ROOT
from tests.support.venue_stand_in import PolymarketStandIn

pytestmark = pytest.mark.asyncio


async def presage(*arguments: str) -> subprocess.CompletedProcess[str]:

    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tools.cli",
        *arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=environment,
    )
    out, errors = await asyncio.wait_for(process.communicate(), 150)
    return subprocess.CompletedProcess(arguments, process.returncode or 0, out.decode(), errors.decode())


async def test_what_is_recorded_of_every_venue_can_be_backtested(tmp_path: Path) -> None:
    async with Sandbox(7, ["polymarket", "kalshi", "binance", "coinbase"], updates_per_s=10.0) as made:
        feed = tmp_path / "state" / "keys" / "feed"
        feed.mkdir(parents=True)
        held = made.credentials["kalshi"]
        (feed / "kalshi.pem").write_text(held["private_key_pem"])
        (feed / "kalshi.id").write_text(held["key_id"])
        for path in feed.iterdir():
            path.chmod(0o600)
        sets = []
        for venue, urls in made.urls.items():
            known = ("rest", "websocket", "clob", "gamma", "data", "market_websocket", "prices_websocket")
            sets += [
                f"--set=venues.{venue}.{n}_url={url}"
                for n, url in urls.items()
                if n in known and venue != "admin"
            ]
        venues = [venue for venue in made.urls if venue != "admin"]
        state = ["--state", str(tmp_path / "state")]
        done = await presage("record", *venues, "--for", "6", *state, *sets, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert set(document["frames"]) == set(venues)
    assert (document["dead"], document["dropped"], document["off"], document["detail"]) == (0, 0, {}, "")
    frames = tmp_path / "state" / "frames"
    assert document["directory"] == str(frames)
    assert document["bytes"] == sum(path.stat().st_size for path in find_frame_files(frames)) > 0
    done = await presage("backtest", str(frames), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outputs_hash"]


async def test_the_passphrase_of_the_feeds_key_is_asked_for_on_a_terminal(tmp_path: Path) -> None:
    passphrase = "correct horse battery"
    environment = {name: value for name, value in os.environ.items() if name != FILE_VARIABLE}
    async with Sandbox(7, ["kalshi"], updates_per_s=10.0) as made:
        held, urls = made.credentials["kalshi"], made.urls["kalshi"]
        key = RsaKey.parse(held["key_id"], held["private_key_pem"].encode())
        KeyStore(tmp_path / "keys" / "feed", key_kinds()).save("kalshi", key, passphrase)
        terminal, inside = os.openpty()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tools.cli", "record", "kalshi", "--for", "2", "--json"),
            *("--state", str(tmp_path)),
            *(f"--set=venues.kalshi.{name}_url={urls[name]}" for name in ("rest", "websocket")),
            stdin=inside,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env=environment | {"PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
        os.close(inside)
        assert process.stderr is not None
        # What is typed before the prompt's last blank is thrown away, as terminals do for secrets.
        await asyncio.wait_for(process.stderr.readuntil(b"Passphrase: "), 150)
        os.write(terminal, passphrase.encode() + b"\n")
        out, errors = await asyncio.wait_for(process.communicate(), 150)
        os.close(terminal)
    assert process.returncode == 0, errors.decode()
    assert json.loads(out)["frames"]["kalshi"] > 0
    assert passphrase not in (out + errors).decode()


async def test_a_venue_that_does_not_exist_or_has_no_key_is_a_usage_error(tmp_path: Path) -> None:
    done = await presage("record", "kalhsi", "--state", str(tmp_path))
    assert (done.returncode, "expected one of kalshi, polymarket" in done.stderr) == (2, True)
    done = await presage("record", "kalshi", "--for", "1", "--state", str(tmp_path))
    assert (done.returncode, "presage keys add kalshi --market-data" in done.stderr) == (2, True)


@asynccontextmanager
async def mute() -> AsyncIterator[str]:
    """A websocket that opens and says nothing."""

    async def listen(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            pass
        return socket

    app = web.Application()
    app.router.add_get("/{path:.*}", listen)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_venue_that_brought_nothing_is_told_and_fails(tmp_path: Path) -> None:
    async with Sandbox(7, ["coinbase"], updates_per_s=10.0) as made, mute() as silent:
        urls = made.urls["coinbase"]
        sets = [f"--set=venues.coinbase.{name}_url={urls[name]}" for name in ("rest", "websocket")]
        done = await presage(
            *("record", "kalshi", "coinbase", "binance", "--for", "2", "--state", str(tmp_path), "--json"),
            *sets,
            "--set=venues.binance.rest_url=http://127.0.0.1:1",
            f"--set=venues.binance.websocket_url={silent}",
        )
    assert done.returncode == 1
    assert "presage: kalshi is off: " in done.stderr
    assert "binance: expected frames, was none" in done.stderr
    assert json.loads(done.stdout)["frames"]["coinbase"] > 0


async def test_an_interrupted_recording_is_whole(tmp_path: Path) -> None:

    async with PolymarketStandIn() as venue:
        sets = [f"--set=venues.polymarket.{name}_url={venue.rest_url}" for name in ("gamma", "clob")]
        sets += [f"--set=venues.polymarket.market_websocket_url={venue.websocket_url}"]
        sets += ["--set=venues.polymarket.prices_websocket_url=''", "--set=venues.polymarket.any_tag=true"]
        process = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-m",
                "tools.cli",
                "record",
                "polymarket",
                "--out",
                str(tmp_path),
                *sets,
                "--json",
            ),
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        async with asyncio.timeout(150):
            while not venue.heard:
                await asyncio.sleep(0.05)
            while not find_frame_files(tmp_path):
                await asyncio.sleep(0.05)
            process.send_signal(signal.SIGINT)
            out, _ = await process.communicate()
    assert process.returncode == 0
    assert json.loads(out)["frames"]["polymarket"] >= 2
