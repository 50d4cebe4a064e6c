"""The supervisor without its services: the sockets it keeps for them, and what it says of one that ended."""

import socket
import sys
from pathlib import Path

import pytest

from libs.runtime.layout import StateLayout
from proto.subjects import SERVICES
from tests.support.waiting import until
from tools.system.options import Options
from tools.system.supervisor import LAST_WORDS_CHARACTERS_MAX, STATUS_HOST, Supervisor
from tools.system.system import System


def supervisor_of(root: Path) -> Supervisor:
    layout = StateLayout(root)
    layout.prepare()
    return Supervisor(layout)


@pytest.mark.asyncio
async def test_each_service_has_a_port_that_nobody_else_can_take(tmp_path: Path) -> None:
    first, second = supervisor_of(tmp_path / "a"), supervisor_of(tmp_path / "b")
    try:
        ports = [first.listen(), second.listen()]
        assert [set(found) for found in ports] == [set(SERVICES)] * 2
        taken = [port for found in ports for port in found.values()]
        assert len(set(taken)) == len(taken)
        for port in taken:
            with pytest.raises(OSError, match="in use"):
                socket.create_server((STATUS_HOST, port))
    finally:
        await first.stop()
        await second.stop()


@pytest.mark.asyncio
async def test_a_long_log_is_put_aside_while_its_service_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.system.supervisor.LOG_BYTES_MAX", 20_000)
    code = "import os, time\nwhile True: os.write(1, b'a line\\n'); time.sleep(0.0001)"
    talkative = {"feed": [sys.executable, "-c", code]}
    layout = StateLayout(tmp_path)
    layout.prepare()
    supervisor = Supervisor(layout, ("feed",), talkative)
    log, aside = layout.logs / "feed.log", layout.logs / "feed.log.1"
    supervisor.start()
    try:
        for _ in range(3):
            await until(lambda: log.exists() and log.stat().st_size > 20_000)
            supervisor.shorten_logs()
            assert aside.stat().st_size > 20_000
        await until(lambda: log.stat().st_size > 1_000)
        # The service goes on at the beginning of the file: nothing but lines is there.
        assert set(log.read_bytes().splitlines()) == {b"a line"}
    finally:
        await supervisor.stop()


@pytest.mark.asyncio
async def test_standbys_stop_before_their_leaders_and_the_journal_last(tmp_path: Path) -> None:
    code = """
import os, signal, sys
def stop(*_):
    with open(sys.argv[2], "a") as file:
        file.write(sys.argv[1] + "\\n")
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
while True:
    signal.pause()
"""
    names = ("journal", "risk", "risk-standby", "journal-standby")
    order, layout = tmp_path / "order", StateLayout(tmp_path)
    layout.prepare()
    commands = {name: [sys.executable, "-c", code, name, str(order)] for name in names}
    supervisor = Supervisor(layout, names[:2], commands, standbys=names[:2])
    assert set(supervisor.children) == set(names)
    supervisor.start()
    try:
        logs = [layout.logs / f"{name}.log" for name in names]
        await until(lambda: all(log.exists() and b"ready" in log.read_bytes() for log in logs))
    finally:
        await supervisor.stop()
    stopped = order.read_text().split()
    assert set(stopped[:2]) == {"risk-standby", "journal-standby"}
    assert stopped[2:] == ["risk", "journal"]


def test_a_service_that_is_not_live_is_named_with_its_last_words(tmp_path: Path) -> None:
    system = System(Options(tmp_path / "state"), {})
    for service in SERVICES:
        system.reports.latest[service] = {"service": service, "state": "live", "detail": "fine"}
    assert not system.not_live()
    system.reports.latest["risk"] = {"state": "refused", "detail": "another version"}
    del system.reports.latest["monitor"]
    child = system.supervisor.children["monitor"]
    child.restarts, child.exit_codes = 2, [1, 4]
    log = tmp_path / "state" / "logs" / "monitor.log"
    log.write_text(f"Traceback\n{'x' * 10_000}\nOSError: address in use\n\n")
    assert system.not_live() == (
        "risk was refused: another version (log: nothing);"
        " monitor was silent (ended 2 times, last with 4, log: OSError: address in use)"
    )
    log.write_text("y" * 10_000)
    assert len(system.supervisor.last_words("monitor")) < LAST_WORDS_CHARACTERS_MAX + 100
