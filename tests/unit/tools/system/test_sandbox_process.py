"""A sandbox beside a system: its addresses in place of real ones, and one that cannot start."""

import asyncio
from pathlib import Path

import pytest

from libs.runtime.layout import StateLayout
from tools.exit_codes import UsageError
from tools.system.build import system_of
from tools.system.options import MarketSource, Options
from tools.system.sandbox_process import SandboxProcess, with_addresses


def test_an_address_the_sandbox_lacks_does_not_stay_a_real_one():
    section = {"rest_url": "https://real", "websocket_url": "wss://real", "series": ["A"]}
    urls = {"kalshi": {"rest": "http://127.0.0.1:1"}}
    with pytest.raises(RuntimeError, match="expected an address websocket of the sandbox's kalshi"):
        with_addresses({"kalshi": section}, urls)
    found = with_addresses(
        {"kalshi": section, "other": section}, {"kalshi": urls["kalshi"] | {"websocket": "ws://127.0.0.1:1"}}
    )
    assert found == {
        "kalshi": {"rest_url": "http://127.0.0.1:1", "websocket_url": "ws://127.0.0.1:1", "series": ["A"]}
    }


def test_no_address_that_was_written_anywhere_stays_a_real_one():
    at_sandbox = {"kalshi": {"rest": "http://127.0.0.1:1"}}
    for section, urls in (
        ({"rest_url": "https://real", "mirror": "https://real"}, at_sandbox),
        ({"rest_url": "https://real"}, {"kalshi": {"rest": "http://127.0.0.1.example.org"}}),
        ({"rest_url": "https://real"}, {"kalshi": {"rest": "https://external-api.kalshi.com"}}),
    ):
        with pytest.raises(RuntimeError, match=r"to be the sandbox's on this machine, was https?://"):
            with_addresses({"kalshi": section}, urls)


@pytest.mark.parametrize(
    ("script", "market", "said"),
    [
        ("faults: [{kind: drpo}]", MarketSource.SANDBOX, "Invalid enum value 'drpo'"),
        ("faults: []", MarketSource.REAL, "expected --faults with the sandbox"),
    ],
)
def test_a_fault_script_is_read_before_anything_starts(
    tmp_path: Path, script: str, market: MarketSource, said: str
):
    faults = tmp_path / "faults.yaml"
    faults.write_text(script)
    with pytest.raises(UsageError, match=said):
        system_of(Options(tmp_path / "state", market=market, faults=faults))
    assert not (tmp_path / "state").exists()


def test_a_sandbox_that_cannot_start_is_given_up_soon(tmp_path: Path):
    layout = StateLayout(tmp_path)
    layout.prepare()
    process = SandboxProcess(layout, 7, tmp_path / "nowhere.yaml")

    async def start() -> None:
        try:
            async with asyncio.timeout(30):
                await process.start()
        finally:
            await process.stop()

    with pytest.raises(RuntimeError, match=r"ended 2 times, last with 1, log: .*nowhere\.yaml"):
        asyncio.run(start())
