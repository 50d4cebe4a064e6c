"""The supervisor's own report: also what the last replay came to."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from libs.runtime.replay_note import note_replay
from libs.tape.errors import BrokerUnavailable
from tools.system import supervisor_status as module
from tools.system.supervisor_status import SupervisorStatus

SERVERS = {"broker": "up", "broker_restarts": 0, "database": "up", "database_restarts": 0}


def test_a_replay_that_differed_is_among_its_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async def gone(_: Any) -> dict[str, float]:
        raise BrokerUnavailable("expected a broker, was none")

    monkeypatch.setattr(module, "_stream", gone)
    link: Any = SimpleNamespace()
    file = tmp_path / "replay.json"
    status = SupervisorStatus(link, lambda: SERVERS, {}, replay_file=file)

    def shown() -> float | None:
        status._metrics.take_report(asyncio.run(status._report()))
        return status._metrics.registry.get_sample_value("presage_replay_differs", {"service": "supervisor"})

    assert shown() is None
    for differs in (True, False):
        note_replay(file, {"identical": not differs, "to": 7})
        assert shown() == float(differs)
