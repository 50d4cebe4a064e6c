"""The evaluator: takes requests and what the tape asks, one job at a time, and publishes what came of each."""

import asyncio
import logging
from contextlib import suppress
from typing import Any

import nats.errors
from nats.aio.msg import Msg

from libs.archive.archive import Archive
from libs.archive.history import History
from libs.contract.codec import encode
from libs.lists.reading import session_now
from libs.runtime.layout import BUILD, RunFile, StateLayout
from libs.tape.broker import stream_state
from libs.tape.connection import Link
from libs.tape.credentials import WORK_REQUEST
from libs.tape.errors import TapeError
from libs.tape.publisher import Publisher
from libs.tape.record import BUILD_HEADER, CAUSE_HEADER, ID_HEADER, ROOT_HEADER, TapeRecord
from libs.tape.reports import report_for_ever, send_report
from libs.tasks import cancel_all, run_until_first
from proto.advisor import Suggestion
from proto.evaluation import ChangeProposal, Checkpoint, Counterfactual, Tally
from proto.ids import MessageId
from proto.message import Message
from proto.subjects import EVALUATOR
from proto.units import SECOND
from tools.offline.worker import findings
from tools.offline.worker.process import JobFailed, run_job
from tools.offline.worker.protocol import (
    CANCEL,
    CANCELLED,
    COUNTERFACTUAL,
    DONE,
    EVALUATE,
    FAILED,
    MEASURE,
    QUEUED,
    RUNNING,
    WHAT_IF,
    Asked,
    RequestError,
    answer_bytes,
    read_request,
)
from tools.offline.worker.queue import Job, JobQueue, QueueFull
from tools.offline.worker.tape_work import Pending, TapeWork

LOOK_S = 2.0
"""Between two looks at the tape: a checkpoint is minutes away from the next one."""
PROPOSAL_S = 24 * 3_600
"""A proposal is for the day after the one it was measured on."""
BEAT_S = 5.0
ATTEMPTS = 3
"""Of publishing one answer while the broker comes back."""

log = logging.getLogger("presage.eval")


class Evaluator:
    """The evaluator of one state directory."""

    def __init__(self, layout: StateLayout, run: RunFile, link: Link) -> None:
        self._layout = layout
        self._run = run
        self._link = link
        self._history = History(link, Archive(layout.archive))
        self._work = TapeWork(self._history)
        self._publisher = Publisher(link)
        self._queue = JobQueue()
        self._arrived = asyncio.Event()
        self._running: tuple[Job, asyncio.Task[dict[str, Any]]] | None = None
        self._last_cause = 0
        self._index = 0
        self._counts = {DONE: 0, FAILED: 0, CANCELLED: 0}
        self._days: set[str] = set()
        self._refused = 0
        self._progress: dict[str, Any] = {}

    async def run(self) -> None:
        """Serve until cancelled."""
        await self._publisher.start()
        await self._link.client.listen(f"{WORK_REQUEST}.>", self._on_request)
        await run_until_first(self._follow(), self._do_jobs(), self._beat(), report_for_ever(self._report))

    async def _report(self) -> None:
        running = self._running[0].kind if self._running else ""
        jobs = {"waiting": len(self._queue), "running": running, "refused": self._refused, **self._counts}
        body = {"service": EVALUATOR, "state": "live", "detail": "", "position": self._work.position}
        await send_report(self._link, EVALUATOR, body | {"violations": self._link.violations, "jobs": jobs})

    async def _beat(self) -> None:
        """Tell who waits that it goes on: of an evaluator that was killed they hear nothing more."""
        while True:
            await asyncio.sleep(BEAT_S)
            for job in self._queue.jobs():
                await self._answer(job.context, QUEUED, {"waiting": len(self._queue)})
            if self._running is not None:
                await self._answer(self._running[0].context, RUNNING, self._progress)

    # ── requests ──

    async def _on_request(self, message: Msg) -> None:
        try:
            asked = read_request(message.subject, message.data)
        except RequestError as e:
            log.warning("request refused", extra={"detail": str(e)})
            return
        key = f"{asked.user}.{asked.request.id}"
        if asked.request.kind == CANCEL:
            await self._cancel(key, asked)
            return
        request = asked.request
        body: dict[str, Any] = {"day": request.day}
        if request.kind == WHAT_IF:
            body = {"changes": request.changes, "first": request.first, "last": request.last}
        try:
            self._queue.add(Job(key, request.kind, body, asked.user, asked))
        except QueueFull as e:
            await self._answer(asked, FAILED, {"detail": str(e)})
            return
        await self._answer(asked, QUEUED, {"waiting": len(self._queue)})
        self._arrived.set()

    async def _cancel(self, key: str, asked: Asked) -> None:
        if self._queue.cancel(key) is not None:
            self._counts[CANCELLED] += 1
            await self._answer(asked, CANCELLED, {"detail": "before it began"})
        elif self._running is not None and self._running[0].key == key:
            self._running[0].is_cancelled = True
            self._running[1].cancel()

    async def _answer(self, asked: Asked | None, state: str, body: dict[str, Any]) -> None:
        """Tell who asked over the bus. An answer that does not get there is asked for again."""
        if not isinstance(asked, Asked):
            return
        with suppress(nats.errors.Error, OSError):
            await self._link.client.publish(asked.subject, answer_bytes(state, body))

    # ── what the tape asks ──

    async def _follow(self) -> None:
        while True:
            try:
                for pending in await self._work.read():
                    await self._take(pending)
                await self._look_at_the_clock()
            except TapeError as e:
                log.warning("tape not read", extra={"detail": str(e)})
            await asyncio.sleep(LOOK_S)

    async def _take(self, pending: Pending) -> None:
        message, now = pending.message, await self._now()
        if self._work.is_old(message, now):
            return
        if isinstance(message, Checkpoint):
            key = f"{message.proposal}.{message.minutes}"
            body = {"proposal": message.proposal, "to_seq": message.to_seq}
            job = Job(key, COUNTERFACTUAL, body, context=pending)
        else:
            if why := self._work.refusal(message, now):
                # Whoever speaks in the advisor's name puts nothing before the operator that may not be changed.
                log.warning("suggestion refused", extra={"detail": f"{message.edit.path}: {why}"})
                self._refused += 1
                return
            first, last = findings.bounds_of(message.day)
            edit = message.edit
            body = {"path": edit.path, "value": edit.new, "first": first, "last": last}
            job = Job(message.proposal, MEASURE, body, context=pending)
        try:
            self._queue.add(job)
        except QueueFull as e:
            log.warning("nothing measured", extra={"detail": str(e)})
            await self._publish_failure(job, str(e))
            return
        self._arrived.set()

    async def _look_at_the_clock(self) -> None:
        """From half past midnight of the session's time on, the day before is evaluated, once, if the tape has it."""
        day, ended_at = findings.day_due(await self._now())
        if not day or day in self._work.evaluated or day in self._days:
            return
        self._days.add(day)
        begins, _ = await self._history.bounds()
        first = await self._history.at(begins)
        if first is None or first.stored_at_ns >= ended_at:
            return
        with suppress(QueueFull):
            self._queue.add(Job(f"nightly.{day}", EVALUATE, {"day": day}))
            self._arrived.set()

    async def _now(self) -> int:
        state = await stream_state(self._link.client)
        return await session_now(self._link, int(state["last_seq"]))

    # ── jobs ──

    async def _do_jobs(self) -> None:
        while True:
            job = self._queue.next()
            if job is None:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            await self._do(job)

    async def _do(self, job: Job) -> None:
        task = asyncio.create_task(run_job(self._layout.root, job.kind, job.body, self._teller(job)))
        self._running = (job, task)
        self._progress = {"what": "", "done": 0, "total": 0}
        await self._answer(job.context, RUNNING, self._progress)
        try:
            await asyncio.wait([task])
            if task.cancelled():
                self._counts[CANCELLED] += 1
                await self._answer(job.context, CANCELLED, {"detail": "while it ran"})
                return
            try:
                result = task.result()
            except JobFailed as e:
                self._counts[FAILED] += 1
                log.warning("job failed", extra={"detail": f"{job.kind}: {e}"})
                await self._publish_failure(job, str(e))
                return
            self._counts[DONE] += 1
            await self._publish_result(job, result)
        finally:
            await cancel_all([task])
            self._running = None

    def _teller(self, job: Job) -> Any:
        tasks: set[asyncio.Task[None]] = set()

        def tell(what: str, done: int, total: int) -> None:
            self._progress = {"what": what, "done": done, "total": total}
            telling = asyncio.create_task(self._answer(job.context, RUNNING, self._progress))
            tasks.add(telling)
            telling.add_done_callback(tasks.discard)

        return tell

    # ── what came of it ──

    async def _publish_failure(self, job: Job, why: str) -> None:
        now = await self._now()
        if job.kind == COUNTERFACTUAL:
            await self._rule(job.context, {}, why, now)
        elif job.kind == MEASURE:
            await self._propose(job.context, {}, f"not measured: {why}", now)
        else:
            await self._answer(job.context, FAILED, {"detail": why})

    async def _publish_result(self, job: Job, result: dict[str, Any]) -> None:
        now = await self._now()
        if job.kind == COUNTERFACTUAL:
            await self._rule(job.context, result, "", now)
        elif job.kind == MEASURE:
            await self._propose(job.context, result, findings.words_of(result), now)
        else:
            if job.kind == EVALUATE:
                for finding in findings.findings_of(result, now):
                    await self._publish(finding)
            await self._answer(job.context, DONE, {"result": result})

    async def _rule(self, pending: Pending, result: dict[str, Any], detail: str, now: int) -> None:
        checkpoint: Checkpoint = pending.message
        made = Counterfactual(
            proposal=checkpoint.proposal,
            minutes=checkpoint.minutes,
            at=now,
            without=_tally(result, "without"),
            changed=_tally(result, "changed"),
            differing=result.get("differing", 0),
            noise=result.get("noise", 0),
            detail=detail,
        )
        await self._publish(made, pending.record)

    async def _propose(self, pending: Pending, result: dict[str, Any], detail: str, now: int) -> None:
        suggestion: Suggestion = pending.message
        made = ChangeProposal(
            proposal=suggestion.proposal,
            edit=suggestion.edit,
            day=suggestion.day,
            reason=suggestion.reason,
            at=now,
            expires_at=now + PROPOSAL_S * SECOND,
            findings=suggestion.findings,
            model=suggestion.model,
            prompt=suggestion.prompt,
            without=_tally(result, "without"),
            changed=_tally(result, "changed"),
            differing=result.get("differing", 0),
            detail=detail,
        )
        await self._publish(made, pending.record)

    async def _publish(self, message: Message, cause: TapeRecord | None = None) -> None:
        """Put a message on the tape. Ids rise with the tape, also over restarts."""
        for attempt in range(ATTEMPTS):
            try:
                last = int((await stream_state(self._link.client))["last_seq"])
                if last > self._last_cause:
                    self._last_cause, self._index = last, 0
                headers = {
                    ID_HEADER: str(MessageId(self._run.tape, EVALUATOR, self._last_cause, self._index)),
                    BUILD_HEADER: BUILD,
                }
                self._index += 1
                if cause is not None:
                    headers |= {CAUSE_HEADER: str(cause.seq), ROOT_HEADER: str(cause.root or cause.seq)}
                await self._publisher.publish(message.subject(), encode(message), headers)
            except TapeError as e:
                log.warning("not published", extra={"detail": f"{message.kind}: {e}"})
                await asyncio.sleep(LOOK_S * (attempt + 1))
            else:
                return


def _tally(result: dict[str, Any], side: str) -> Tally | None:
    return Tally(**result[side]) if side in result else None
