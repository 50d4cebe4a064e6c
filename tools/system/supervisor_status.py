"""The supervisor's own health and metrics: the servers, the tape's window, the disks they store on."""

import asyncio
import shutil
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from libs.observability.metrics import Metrics
from libs.observability.server import SUPERVISOR, HttpAnswer, Readiness, StatusServer
from libs.runtime.hand_out import PATH
from libs.runtime.layout import BUILD
from libs.runtime.replay_note import read_note
from libs.tape.broker import stream_limits, stream_state
from libs.tape.connection import Link
from libs.tape.errors import BrokerUnavailable
from libs.tasks import cancel_all
from proto.subjects import TAPE

REFRESH_S = 2.0
SERVERS = ("broker", "database")


class SupervisorStatus:
    """Serves from ``start`` on: ready means that the session is open, and the services may come.

    ``servers`` is what the watch over them says; ``disks`` names folders whose disks are looked at. ``run_of`` gives a
    service its signed part of the run, where services run elsewhere. ``replay_file`` says what the last replay came to.
    """

    def __init__(
        self,
        link: Link,
        servers: Callable[[], Mapping[str, Any]],
        disks: Mapping[str, Path],
        run_of: Callable[[str], bytes | None] | None = None,
        replay_file: Path | None = None,
    ) -> None:
        self._replay_file = replay_file
        self._run_of = run_of
        self._link = link
        self._servers = servers
        self._disks = disks
        self._metrics = Metrics(SUPERVISOR, BUILD)
        self._server = StatusServer(self._metrics, lambda: Readiness(ready=True), self._run)
        self._refreshing: asyncio.Task[None] | None = None

    def _run(self, path: str) -> HttpAnswer | None:
        if self._run_of is None or not path.startswith(PATH):
            return None
        content = self._run_of(path.removeprefix(PATH))
        return None if content is None else HttpAnswer(200, "application/msgpack", content)

    async def start(self, opened: socket.socket) -> None:
        """Serve on a listening socket."""
        await self._server.start(opened)
        self._refreshing = asyncio.create_task(self._refresh())

    async def close(self) -> None:
        """Stop serving."""
        if self._refreshing is not None:
            await cancel_all([self._refreshing])
        await self._server.close()

    async def _refresh(self) -> None:
        while True:
            self._metrics.take_report(await self._report())
            await asyncio.sleep(REFRESH_S)

    async def _report(self) -> dict[str, Any]:
        document = self._servers()
        report: dict[str, Any] = {
            "state": "live",
            "servers": {
                name: {"state": document[name], "restarts": document[f"{name}_restarts"]} for name in SERVERS
            },
            "disks": {name: _disk(folder) for name, folder in self._disks.items()},
            "replay": read_note(self._replay_file) if self._replay_file else {},
        }
        try:
            report["streams"] = {TAPE: await _stream(self._link)}
        except BrokerUnavailable:
            # What it held last stays shown; that it is away shows by itself.
            report["servers"]["broker"]["state"] = "gone"
        return report


async def _stream(link: Link) -> dict[str, float]:
    state = await stream_state(link.client)
    messages_max, bytes_max = await stream_limits(link.client)
    held = {name: int(state[name]) for name in ("messages", "bytes", "last_seq")}
    return held | {"fill": max(held["messages"] / messages_max, held["bytes"] / bytes_max)}


def _disk(folder: Path) -> dict[str, float]:
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    return {"free": usage.free, "used": 1 - usage.free / usage.total}
