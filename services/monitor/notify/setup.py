"""A notifier for a service's process, from its part of the run."""

from collections.abc import Callable, Mapping
from datetime import tzinfo
from typing import Any

from libs.config.environment import Environment
from libs.config.zone import named_zone
from libs.machine.host import Host
from libs.runtime.service import Context
from libs.view.wording import sign_of
from services.monitor.notify.notifier import Around, Notifier
from services.monitor.notify.params import NotifyParams
from services.monitor.notify.senders import secrets_folder, sender_of
from services.monitor.notify.store import NotifyStore


def notifier_of(context: Context, host: Host, account: Callable[[], Mapping[str, Any]]) -> Notifier | None:
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
        account=account,
    )
    return Notifier(params, senders, NotifyStore(context.layout.notify), around)


def _zone() -> tzinfo | None:
    """The zone of quiet hours and of the day's summary: the one in which times are shown."""
    name = Environment.read().time_zone
    return named_zone(name) if name else None
