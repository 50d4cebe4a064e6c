"""A job that runs is cancelled by whoever asked for it, and by nobody else: its process ends, and the next one begins."""

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from nats.aio.msg import Msg

from libs.runtime.layout import RunFile, StateLayout
from libs.tape.connection import CONNECT_PATIENCE_S, Link
from libs.tasks import cancel_all
from proto.subjects import EVALUATOR
from tests.support.waiting import until
from tools.offline.worker.service import Evaluator

KILLED_S = CONNECT_PATIENCE_S * 2 / 3
"""Sooner than a job gives up by itself that is answered by nobody."""


class SilentServer:
    """Takes connections and says nothing: a job that asks it for the tape waits. Counts those that are open."""

    def __init__(self) -> None:
        self.accepted = 0
        self.open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self.open += 1
        await reader.read()
        self.open -= 1
        writer.close()


class Bus:
    """Keeps what the evaluator answers."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, dict[str, Any]]] = []

    async def publish(self, subject: str, payload: bytes) -> None:
        self.answers.append((subject.rpartition("answer.")[2], json.loads(payload)))

    def states(self, name: str) -> list[str]:
        return [answer["state"] for subject, answer in self.answers if subject == name]


def asked(user: str, name: str, kind: str) -> Msg:
    return Msg(
        _client=cast("Any", None),
        subject=f"work.request.{user}",
        data=json.dumps({"id": name, "kind": kind}).encode(),
    )


@pytest.mark.asyncio
async def test_a_running_job_is_cancelled_by_who_asked_for_it(tmp_path: Path):
    silent, bus = SilentServer(), Bus()
    server = await asyncio.start_server(silent.serve, "127.0.0.1", 0)
    layout = StateLayout(tmp_path)
    run = RunFile(broker_url=f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}", tape="t")
    layout.write_run(run)
    password = layout.broker / "credentials" / EVALUATOR
    password.parent.mkdir(parents=True)
    password.write_text("secret")
    evaluator = Evaluator(layout, run, cast("Link", SimpleNamespace(client=bus)))
    working = asyncio.create_task(evaluator._do_jobs())
    try:
        for name in ("first", "second", "third"):
            await evaluator._on_request(asked("console", name, "evaluate"))
        await until(lambda: silent.open > 0)
        assert bus.states("console.first")[-1] == "running"

        # Somebody else's job of that name is another one.
        await evaluator._on_request(asked("operator", "first", "cancel"))
        # What waits never begins.
        await evaluator._on_request(asked("console", "second", "cancel"))
        assert bus.states("console.second") == ["queued", "cancelled"]
        assert bus.states("console.first")[-1] == "running"

        began = silent.accepted
        await evaluator._on_request(asked("console", "first", "cancel"))
        await until(lambda: bus.states("console.first")[-1] == "cancelled", KILLED_S)
        await until(lambda: silent.accepted > began)
        await until(lambda: "running" in bus.states("console.third"))
        assert "running" not in bus.states("console.second")

        await evaluator._on_request(asked("console", "third", "cancel"))
        await until(lambda: bus.states("console.third")[-1] == "cancelled")
        # The processes are gone, and with them what they held.
        await until(lambda: silent.open == 0)
        assert evaluator._counts == {"done": 0, "failed": 0, "cancelled": 3}
    finally:
        await cancel_all([working])
        server.close()
