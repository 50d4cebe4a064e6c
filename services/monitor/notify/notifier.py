"""Tells people what the monitor knows: beside its machine, from the same messages, and never in its way.

What is taken from the tape is remembered before it is sent, and what is sent is marked before it leaves. So a restart
neither repeats nor forgets; a message that a crash found on its way is not sent again, and counted.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import datetime, tzinfo
from functools import partial
from math import inf
from time import monotonic, time_ns
from typing import Any, NamedTuple

from libs.tape.record import TapeRecord
from libs.tasks import run_until_first
from libs.view.wording import counted, money
from proto.message import Message
from proto.monitor import Alert, Severity
from proto.venue import Fill
from services.monitor.health import NOTIFICATIONS_FAILING
from services.monitor.notify import folding
from services.monitor.notify.channel import NANOSECONDS, Channel, ChannelState, Outcome
from services.monitor.notify.commands import ChatDesk
from services.monitor.notify.notes import TOLD, Note, note_of
from services.monitor.notify.params import NotifyParams
from services.monitor.notify.senders import Send
from services.monitor.notify.store import NotifyStore, encode

STEP_S = 1.0
"""How often windows, quiet hours and the day's time are looked at."""
FAILING_AFTER_S = 60.0
"""A channel that has delivered nothing for so long is told by the others, and shown."""

RESTART_S, RESTART_MAX_S = 5.0, 300.0
"""How long a part that failed rests before it begins again: the first time, and after many."""
STEADY_S = 600.0
"""A part that has worked for so long fails for the first time again."""

log = logging.getLogger("presage.notify")


class Around(NamedTuple):
    """What a notifier needs of its surroundings. ``follows``: another process leads; ``account``: risk's newest report."""

    tape: str
    unit: str = "$"
    zone: tzinfo | None = None
    follows: Callable[[], bool] = lambda: False
    account: Callable[[], Mapping[str, Any]] = dict
    wall_ns: Callable[[], int] = time_ns
    now_s: Callable[[], float] = monotonic
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep


class Broken(NamedTuple):
    """Why a channel's part of the work failed, and until when that is told."""

    why: str
    until_s: float


class Notifier:
    """Takes the tape's messages (``on_record``) and runs until it is cancelled (``run``)."""

    def __init__(
        self,
        params: NotifyParams,
        senders: Mapping[str, Send],
        store: NotifyStore,
        around: Around,
    ) -> None:
        self.params = params
        self._senders = senders
        self._store = store
        self._around = around
        self._follows, self._wall_ns, self._now_s = around.follows, around.wall_ns, around.now_s
        self.state, known = store.read(around.tape)
        # What was said before anybody was to be told is no news; of a day that has begun there is no summary.
        self._began_ns = 0 if known else self._wall_ns()
        self.state.daily_on = self.state.daily_on or self._today(self._wall_ns())
        names = [channel.name for channel in params.channels]
        self.state.channels = {name: self.state.channels.get(name, ChannelState()) for name in names}
        self.channels = [
            Channel(channel, self.state.channels[channel.name], around.zone) for channel in params.channels
        ]
        self._desks: dict[str, ChatDesk] = {}
        self._changed = asyncio.Event()
        self._dirty = asyncio.Event()
        self._saving = asyncio.Lock()
        self.unsaved = 0
        self.restarts: Counter[str] = Counter()
        """Channel → how often a part of its work failed and began again."""
        self._broken: dict[str, Broken] = {}

    def on_record(self, record: TapeRecord, message: Message) -> None:
        """Take a message of the tape; nearly all are nothing to tell, and cost one comparison."""
        if not isinstance(message, TOLD):
            return
        state = self.state
        if record.seq <= state.position:
            return
        state.position = record.seq
        now = self._wall_ns()
        is_old = record.stored_at_ns < max(self._began_ns, now - self.params.age_max_s * NANOSECONDS)
        if is_old or self._follows():
            return
        state.fills += isinstance(message, Fill)
        state.alerts += isinstance(message, Alert) and message.active
        note = note_of(message, self._around.unit)
        told = folding.add(state.windows, note, now, self.params.fold_s) if note is not None else None
        if told is not None:
            self._put(told, now)
        self._dirty.set()

    def listen(self, desk: ChatDesk, name: str) -> None:
        """Let chats of a channel ask, beside all else."""

        def take(offset: int) -> None:
            self.state.offsets[name] = offset
            self._dirty.set()

        desk.on_taken = take
        desk.may_listen = lambda: not self._follows()
        self._desks[name] = desk

    def report(self) -> dict[str, Any]:
        """What the health report says: channel → what became of its messages."""
        return {
            name: channel.report() | {"restarts": self.restarts[name]}
            for channel in self.channels
            if (name := channel.params.name)
        }

    def failing(self) -> dict[str, str]:
        """Channel → why, of those that have delivered nothing for too long although they should."""
        now_s = self._now_s()
        broken = {name: one.why for name, one in self._broken.items() if now_s < one.until_s}
        return broken | {
            channel.params.name: channel.last_error
            for channel in self.channels
            if channel.failing_s(now_s) > FAILING_AFTER_S
        }

    async def run(self) -> None:
        """Send what waits, each channel by itself; for ever."""
        every = [channel.params.name for channel in self.channels]
        jobs = [self._keep(self._tick, every), self._keep(self._save_for_ever, every)]
        jobs += [self._keep(partial(self._serve, one), [one.params.name]) for one in self.channels]
        jobs += [self._keep(desk.run, [name]) for name, desk in self._desks.items()]
        try:
            await run_until_first(*jobs)
        finally:
            self._write(encode(self.state))

    async def _keep(self, work: Callable[[], Coroutine[Any, Any, None]], channels: Sequence[str]) -> None:
        """Do a part of the work for ever: what ends it is told, and it begins again after a while, later each time."""
        wait_s, failed_at_s = RESTART_S, -inf
        while True:
            try:
                await work()
            except Exception as e:
                now_s = self._now_s()
                wait_s = RESTART_S if now_s - failed_at_s > STEADY_S else min(2 * wait_s, RESTART_MAX_S)
                failed_at_s = now_s + wait_s
                self.restarts.update(channels)
                log.exception("notifications begin again", extra={"channel": ", ".join(channels)})
                broken = Broken(f"begun again after {type(e).__name__}", failed_at_s + FAILING_AFTER_S)
                self._broken.update(dict.fromkeys(channels, broken))
            await self._around.pause(wait_s)

    def step(self) -> None:
        """Look at the time: windows that are over, texts that are too old, the summary of the day."""
        now = self._wall_ns()
        if self._follows():
            return
        for note in folding.due(self.state.windows, now, self.params.fold_s):
            self._put(note, now)
            self._dirty.set()
        for channel in self.channels:
            channel.expire(now, self.params.age_max_s)
        today = self._today(now)
        if today != self.state.daily_on:
            self.state.daily_on = today
            self._put(self._summary(), now)
            self.state.fills = self.state.alerts = 0
            self._dirty.set()
        self._changed.set()

    def _put(self, note: Note, now: int) -> None:
        for channel in self.channels:
            own = note.group.startswith(f"{NOTIFICATIONS_FAILING} {channel.params.name}")
            if channel.wants(note) and not own:
                channel.put(note, now)
        self._changed.set()

    def _today(self, now: int) -> str:
        """The day whose summary is due: it changes at the hour of the summary."""
        moment = datetime.fromtimestamp(now / NANOSECONDS, tz=self._around.zone)
        is_due = f"{moment:%H:%M}" >= self.params.daily_at
        return f"{moment:%Y-%m-%d}" if is_due else self.state.daily_on

    def _summary(self) -> Note:
        state = self.state
        account, unit = self._around.account(), self._around.unit
        parts = [counted(state.fills, "fill"), f"{counted(state.alerts, 'alert')} raised"]
        parts += [
            f"{name} {money(account[name], signed=name == 'profit', unit=unit)}"
            for name in ("equity", "profit")
            if isinstance(account.get(name), int)
        ]
        if account.get("risk_state"):
            parts.append(f"risk {str(account['risk_state']).replace('_', '-')}")
        lost = sum(channel.state.dropped + channel.state.interrupted for channel in self.channels)
        if lost:
            parts.append(f"{counted(lost, 'text')} not delivered so far")
        return Note("daily", Severity.INFO, "daily", "", f"Presage is alive: {', '.join(parts)}")

    async def _tick(self) -> None:
        while True:
            self.step()
            await asyncio.sleep(STEP_S)

    async def _serve(self, channel: Channel) -> None:
        while True:
            self._changed.clear()
            if not self._follows():
                while chosen := channel.next_message(self._wall_ns(), self._now_s()):
                    await self._send(channel, chosen)
            await self._wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(STEP_S):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _send(self, channel: Channel, chosen: list[Any]) -> None:
        text = channel.begin(chosen)
        await self._save()
        try:
            outcome = await self._senders[channel.params.name](text)
        except Exception as e:
            log.exception("notification not delivered", extra={"channel": channel.params.name})
            outcome = Outcome(False, f"not sent: {type(e).__name__}")
        channel.finish(chosen, outcome, self._now_s())
        if not outcome.delivered:
            name = channel.params.name
            log.warning("notification not delivered", extra={"channel": name, "detail": outcome.reason})
        self._dirty.set()

    async def _save_for_ever(self) -> None:
        while True:
            await self._dirty.wait()
            await self._save()

    async def _save(self) -> None:
        async with self._saving:
            self._dirty.clear()
            await asyncio.to_thread(self._write, encode(self.state))

    def _write(self, content: bytes) -> None:
        try:
            self._store.write(content)
        except OSError as e:
            # Told all the same: a message that comes twice is better than one that does not come.
            self.unsaved += 1
            log.warning("not remembered what was told", extra={"detail": type(e).__name__})
