"""What-ifs asked of the evaluator over the bus: progress, result, and an end to it by who asked."""

import asyncio
import json
import secrets
from collections.abc import Mapping
from time import monotonic
from typing import Any

import msgspec
import nats.errors
from nats.aio.msg import Msg

from libs.bounded import clip, cut, keep_newest
from libs.tape.credentials import WORK_ANSWER, WORK_REQUEST
from libs.tape.errors import BrokerUnavailable
from proto.subjects import CONSOLE
from services.console.limits import FILTER_CHARACTERS_MAX
from services.console.surroundings import Surroundings

JOBS_KEPT = 20
"""As many as the evaluator lets wait; older results are gone from here."""
CHANGES_MAX = 10
"""Of one what-if from a form; `presage replay --set` takes more."""
SILENT_S = 5.0
"""The evaluator confirms a request at once; who hears nothing for so long asks nobody."""
GONE_S = 30.0
"""It says every five seconds of each job that it goes on; who hears nothing for so long waits for nobody."""
OVER = ("done", "failed", "cancelled")


class Job:
    """One what-if: what was asked, how far it is, and what came of it."""

    def __init__(self, name: str, user: str, changes: Mapping[str, str]) -> None:
        self.name = name
        self.user = user
        self.changes = dict(changes)
        self.state = "asked"
        self.done = 0
        self.total = 0
        self.detail = ""
        self.result: dict[str, Any] | None = None
        self._heard_at_s = monotonic()

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes. A request that nobody confirms is over, too, and one whose evaluator has ended."""
        silent_s = monotonic() - self._heard_at_s
        if self.state == "asked" and silent_s > SILENT_S:
            self.state, self.detail = "failed", "no evaluator answers; presage up starts one"
        elif self.state not in OVER and silent_s > GONE_S:
            self.state, self.detail = "failed", "the evaluator answers no more; ask again"
        return self.state in OVER

    def take(self, answer: Mapping[str, Any]) -> None:
        """Take what the evaluator says."""
        self._heard_at_s = monotonic()
        self.state = cut(str(answer.get("state", "")), 20)
        self.done, self.total = int(answer.get("done", self.done)), int(answer.get("total", self.total))
        self.detail = clip(str(answer.get("detail", "")), FILTER_CHARACTERS_MAX)
        result = answer.get("result")
        if isinstance(result, dict):
            self.result = result


class Work:
    """The jobs that were asked for here, the newest last."""

    def __init__(self, now: Surroundings) -> None:
        self._now = now
        self._listening = False
        self._lock = asyncio.Lock()
        self.jobs: dict[str, Job] = {}

    async def ask(self, user: str, changes: Mapping[str, str], first: str, last: str) -> Job:
        """Ask for a what-if over a stretch of the tape; nothing given: as far as it is held.

        Raises:
            BrokerUnavailable: it could not be asked.
        """
        if not self._now.is_connected():
            raise BrokerUnavailable("expected to ask the evaluator, was no broker")
        await self._listen()
        job = Job(secrets.token_hex(8), user, changes)
        self.jobs[job.name] = job
        keep_newest(self.jobs, JOBS_KEPT)
        request = {"id": job.name, "kind": "what_if", "changes": job.changes, "first": first, "last": last}
        await self._send(request)
        return job

    async def cancel(self, job: Job) -> None:
        """Ask that it ends."""
        await self._send({"id": job.name, "kind": "cancel"})

    async def _send(self, request: Mapping[str, Any]) -> None:
        try:
            await self._now.link.client.publish(f"{WORK_REQUEST}.{CONSOLE}", json.dumps(request).encode())
        except (nats.errors.Error, OSError) as e:
            raise BrokerUnavailable(f"expected to ask the evaluator, was {type(e).__name__}") from e

    async def _listen(self) -> None:
        async with self._lock:
            if self._listening:
                return
            try:
                await self._now.link.client.subscribe(f"{WORK_ANSWER}.{CONSOLE}.>", cb=self._on_answer)
            except (nats.errors.Error, OSError) as e:
                raise BrokerUnavailable(f"expected to listen to the evaluator, was {type(e).__name__}") from e
            self._listening = True

    async def _on_answer(self, message: Msg) -> None:
        job = self.jobs.get(message.subject.rpartition(".")[2])
        if job is None or job.state in OVER:
            return
        try:
            answer = msgspec.json.decode(message.data, type=dict[str, Any])
            job.take(answer)
        except (msgspec.DecodeError, ValueError, TypeError):
            # Whoever has the evaluator's credential can say anything: nothing here may fail by it.
            job.state, job.detail = "failed", "an answer could not be read"
