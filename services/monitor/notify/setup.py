"""A notifier for a service's process, from its part of the run."""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Mapping
from datetime import tzinfo
from typing import Any

from libs.config.environment import Environment
from libs.config.zone import named_zone
from libs.machine.host import Host
from libs.runtime.layout import StateLayout
from libs.runtime.service import Context
from libs.view.wording import clean, sign_of
from services.monitor.machine import MonitorMachine
from services.monitor.notify.answers import Answers
from services.monitor.notify.commands import ChatDesk
from services.monitor.notify.halting import Halter
from services.monitor.notify.notifier import Around, Notifier
from services.monitor.notify.params import ChannelParams, NotifyParams
from services.monitor.notify.senders import read_secret, secrets_folder, sender_of
from services.monitor.notify.store import NotifyStore
from services.monitor.notify.telegram import Telegram
from services.monitor.state import MonitorState

WHY_S = 60.0
"""A chain of causes takes seconds; on a busy machine more."""

Reports = Callable[[], Mapping[str, Mapping[str, Any]]]
"""Service → its newest report, as far as it is believed."""


def notifier_of(context: Context, host: Host, reports: Reports) -> Notifier | None:
    """What tells people in this run; ``None`` without channels, and where recorded time runs ahead."""
    params = NotifyParams.model_validate(context.run.notify)
    if not params.channels or context.run.lockstep:
        return None
    folder = secrets_folder(context.layout)
    senders = {channel.name: sender_of(channel, folder, params.telegram_url) for channel in params.channels}
    money = context.layout.money_file
    around = Around(
        tape=context.run.tape,
        unit=sign_of(money.read_text().strip() if money.exists() else "paper"),
        zone=_zone(),
        follows=lambda: host.leading.follows,
        account=lambda: reports().get("risk", {}),
    )
    notifier = Notifier(params, senders, NotifyStore(context.layout.notify), around)
    answers = Answers(lambda: _state_of(host), reports, lambda: _halted(context.layout), around.unit)
    for channel in params.channels:
        if channel.commands_from:
            notifier.listen(_desk(context, params, channel, answers, notifier), channel.name)
    return notifier


def _desk(
    context: Context, params: NotifyParams, channel: ChannelParams, answers: Answers, notifier: Notifier
) -> ChatDesk:
    folder = secrets_folder(context.layout)

    async def why(name: str) -> str:
        return await explain(context.layout, name)

    return ChatDesk(
        lambda: Telegram(params.telegram_url, read_secret(folder, channel)),
        frozenset(channel.commands_from),
        {
            "status": answers.status,
            "positions": answers.positions,
            "orders": answers.orders,
            "profit": answers.profit,
            "why": why,
        },
        Halter(context),
        notifier.state.offsets.get(channel.name, 0),
    )


async def explain(layout: StateLayout, name: str) -> str:
    """The chain of causes of a name, read by a process of its own."""
    if not clean(name).strip():
        return "expected an order, a message id or a sequence: /why 2589-0"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.monitor.notify.why_process",
        "--state",
        str(layout.root),
        clean(name).strip(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(WHY_S):
            out, _ = await process.communicate()
    except TimeoutError:
        return f"no answer in {WHY_S:.0f} s: presage why {clean(name)}"
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return out.decode(errors="replace") or f"no answer: presage why {clean(name)}"


def _state_of(host: Host) -> MonitorState | None:
    machines = (runner.machine for runner in host.runners)
    return next((machine.state for machine in machines if isinstance(machine, MonitorMachine)), None)


def _halted(layout: StateLayout) -> str:
    try:
        return layout.halt_file.read_text().strip() or "halted"
    except OSError:
        return ""


def _zone() -> tzinfo | None:
    """The zone of quiet hours and of the day's summary: the one in which times are shown."""
    name = Environment.read().time_zone
    return named_zone(name) if name else None
