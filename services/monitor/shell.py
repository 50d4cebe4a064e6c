"""The monitor's shell: the clock, the services' health, dead letters, notifications."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Mapping
from time import monotonic
from typing import Any

from nats.aio.msg import Msg

from libs.config.environment import ChildEnvironment
from libs.machine.host import Fact, Host
from libs.operator.watch import Reports
from libs.runtime.service import Context
from libs.tape.credentials import REPORT, STANDBY
from libs.tape.reader import REST_S
from libs.tape.record import TapeRecord
from libs.tape.reports import read_report
from proto.message import Message, as_integer, as_name, as_text
from proto.monitor import DEAD_EXCERPT_BYTES_MAX, Clock, Dead, ServiceState, Severity
from proto.operator import ClockOwner, Mode
from proto.subjects import SERVICES
from services.monitor.dead_letters import DeadLetters
from services.monitor.health import HealthWatch
from services.monitor.machine import MonitorMachine
from services.monitor.notify.setup import notifier_of
from services.monitor.rates import ProducerRates

CLOCK_EVERY_S = 1.0
QUEUE_MAX = 10_000
"""Facts waiting to be published; the rate limits keep it near empty, a dead broker does not fill memory."""

VIOLATION_OVER_S = 60.0
"""Without a further refusal for this long the alert is over; the next one raises it again."""
DROPPED = "dead frames in a flood, dropped before they could be told one by one"
PERMISSION_VIOLATION = "permission_violation"
DIVERGENCE = "divergence"


class MonitorShell:
    """Feeds what it observes outside the tape to the tape, beside the monitor machine's host."""

    def __init__(self, context: Context, host: Host) -> None:
        self._context = context
        self._host = host
        self._queue: deque[Message] = deque(maxlen=QUEUE_MAX)
        self._dead = DeadLetters()
        self._dead_told: dict[str, int] = {}
        # A monitor in its second life cannot know what the first one has told already.
        self._restarted = ChildEnvironment.read().restarts > 0
        self._violations: dict[str, int] = {}
        self._violated_at_s: dict[str, float] = {}
        self._begun_term = 0
        self._watch = self._new_watch()
        self._queued = asyncio.Event()
        self._rates = ProducerRates()
        self._reports = Reports()
        self.notifier = notifier_of(context, host, self._services)

    def _new_watch(self) -> HealthWatch:
        expected = (*SERVICES, *self._context.run.optional_services)
        return HealthWatch((s for s in expected if s != "monitor"), time.time_ns())

    def _begin_leading(self) -> None:
        """In a new term: what the monitor before has told is not known here, nor is what it waited for."""
        if self._host.status.term != self._begun_term:
            self._begun_term = self._host.status.term
            self._watch = self._new_watch()
            self._restarted = True
            self._queue.clear()

    async def start(self) -> None:
        """Listen to the health reports; take dead messages from the host."""
        self._host.read_everything = True
        if not self._context.run.lockstep:
            # It reads everything, and no price waits for it: it must not take the others' time.
            self._host.rest_s = REST_S
        self._host.on_dead = self._on_dead
        self._host.extra_report = self.report
        self._host.observers.append(lambda record, _: self._count(record))
        if self.notifier is not None:
            self._host.observers.append(self.notifier.on_record)
        await self._context.link.client.subscribe(f"{REPORT}.>", cb=self._on_report)

    def report(self) -> dict[str, Any]:
        """What the monitor adds to its health report: rule → how many alerts of it are active."""
        found = Counter(rule for rule, _ in self._watch.conditions.active)
        for runner in self._host.runners:
            if isinstance(runner.machine, MonitorMachine):
                found.update({rule: len(topics) for rule, topics in runner.machine.state.active.items()})
        report: dict[str, Any] = {"alerts": dict(found)}
        if self.notifier is not None:
            report["notify"] = self.notifier.report()
        return report

    def _services(self) -> Mapping[str, Mapping[str, Any]]:
        """Each expected service with its newest report, as ``presage status`` has it."""
        expected = (*SERVICES, *self._context.run.optional_services)
        found = {name: self._reports.believed(name) or {"state": "missing"} for name in expected}
        return {**found, "monitor": self._host.health()}

    def _put(self, messages: list[Message] | list[Dead]) -> None:
        self._queue.extend(messages)
        self._queued.set()

    def _on_dead(self, record: TapeRecord, reason: str) -> None:
        """A message on the tape that nobody can read; told once, whoever else counted it."""
        self._count(record)
        if not self._host.status.live:
            return
        producer = record.subject.partition(".")[0] or "unknown"
        dead = Dead(
            producer=as_name(producer),
            reason=as_text(reason),
            seq=record.seq,
            topic=as_text(record.subject),
            excerpt=record.payload[:DEAD_EXCERPT_BYTES_MAX],
        )
        self._put(self._dead.add(dead, time.time_ns()))

    def _count(self, record: TapeRecord) -> None:
        """Look for a producer that floods the tape. Played at the highest speed, every producer does."""
        rates = None if self._context.run.lockstep else self._rates.add(record.subject, record.stored_at_ns)
        if rates is not None and self._host.status.live:
            self._put(self._watch.floods(rates))

    async def _on_report(self, message: Msg) -> None:
        body = read_report(message.subject, message.data)
        if body is None or self._host.leading.follows:
            return
        if body["service"].endswith(f"-{STANDBY}") and body["state"] in (STANDBY, ServiceState.STARTING):
            # One that waits is nobody's trouble; only one that stopped is told, until it is well again.
            self._put(self._watch.forget(body["service"]))
            return
        if body["state"] not in set(ServiceState):
            return
        self._reports.take(body)
        service, state = str(body["service"]), ServiceState(body["state"])
        now = time.time_ns()
        self._put(
            self._watch.report(service, state, int(body.get("position", 0)), str(body.get("detail", "")), now)
        )
        self._watch_violations(service, int(body.get("violations", 0)))
        hold = self._watch.conditions.hold
        text = str(body.get("detail", ""))
        self._put(hold(DIVERGENCE, Severity.CRITICAL, service, text, wrong=bool(body.get("diverged", False))))
        self._record_dead_frames(service, body, now)
        if service == "execution":
            self._put(self._watch.ledger(body.get("ledger", {})))
        elif service == "journal":
            self._put(self._watch.archive(body.get("archive", {})))

    def _watch_violations(self, service: str, count: int) -> None:
        before = self._violations.get(service, 0)
        self._violations[service] = count
        now = monotonic()
        if count > before:
            self._violated_at_s[service] = now
            text = f"{count - before} publishes or subscriptions refused by the broker"
            hold = self._watch.conditions.hold
            self._put(hold(PERMISSION_VIOLATION, Severity.CRITICAL, service, text, wrong=True))
        elif now - self._violated_at_s.get(service, now) > VIOLATION_OVER_S:
            hold = self._watch.conditions.hold
            self._put(hold(PERMISSION_VIOLATION, Severity.CRITICAL, service, "no more refusals", wrong=False))

    def _record_dead_frames(self, service: str, body: dict[str, Any], now: int) -> None:
        """Dead frames of the feed: told one by one, and what a lost report swallowed by its count."""
        if "dead_frames" not in body:
            return
        frames = body["dead_frames"]
        for frame in frames:
            dead = Dead(
                producer=as_name(service),
                reason=as_text(str(frame.get("reason", ""))),
                topic=as_text(str(frame.get("source", ""))),
                excerpt=_bytes_of(frame.get("excerpt", ""))[:DEAD_EXCERPT_BYTES_MAX],
            )
            self._put(self._dead.add(dead, now))
        # In a flood the feed keeps the newest frames only; the others are known by their number.
        told = int(body.get("dead", 0)) - int(body.get("dead_waiting", 0))
        before = self._dead_told.get(service, told - len(frames) if self._restarted else 0)
        if told < before:
            before = 0  # the service has started anew and counts from the beginning
        lost = told - before - len(frames)
        self._dead_told[service] = told
        if lost > 0:
            self._put(
                self._dead.add(Dead(producer=as_name(service), reason=DROPPED, count=as_integer(lost)), now)
            )

    async def clock_loop(self) -> None:
        """Say what time it is once a second, when this session's clock is ours."""
        while True:
            await asyncio.sleep(CLOCK_EVERY_S - time.time() % CLOCK_EVERY_S)
            if self._host.leading.follows:
                continue
            self._begin_leading()
            now = time.time_ns()
            self._put(self._watch.tick(now))
            self._put(self._dead.flush(now))
            if self.notifier is not None:
                self._put(self._watch.channels(self.notifier.failing()))
            if self._host.status.live and self._owns_clock():
                await self._host.publish_fact(Fact(Clock(at=time.time_ns())))

    def _owns_clock(self) -> bool:
        timeline = self._host.runners[0].input_gate.state.timeline
        return (
            timeline.clock_owner is ClockOwner.MONITOR
            and timeline.mode is Mode.REALTIME
            and timeline.tape != ""
        )

    async def publish_loop(self) -> None:
        """Put queued facts on the tape, in order."""
        while True:
            while self._queue and self._host.status.live:
                await self._host.publish_fact(Fact(self._queue.popleft()))
            self._queued.clear()
            try:
                async with asyncio.timeout(CLOCK_EVERY_S):
                    await self._queued.wait()
            except TimeoutError:
                continue


def _bytes_of(digits: str) -> bytes:
    """Bytes from hexadecimal digits; of anything else the text itself."""
    try:
        return bytes.fromhex(digits)
    except ValueError:
        return digits.encode()
