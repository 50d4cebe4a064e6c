"""What a message of the tape is to be told as. Pure: the same message gives the same words."""

from typing import NamedTuple

from libs.view.names import short_id
from libs.view.next_command import next_command
from libs.view.wording import clean, money, price, quantity
from proto.evaluation import ChangeProposal
from proto.exit import ExitProposal, ExitReason
from proto.message import Message
from proto.monitor import Alert, Severity
from proto.venue import Fill
from services.monitor.notify.params import Event

CONDITION_RULES = ("condition", "condition_refused")
HALT_RULES = ("halt", "risk_state")
TOLD = (Alert, Fill, ExitProposal, ChangeProposal)
"""Kinds of messages that may be told."""


class Note(NamedTuple):
    """Something to tell. Notes of one ``group`` are folded; ``topic``: what of the group it is about."""

    event: Event
    severity: Severity
    group: str
    topic: str
    text: str


def note_of(message: Message, unit: str) -> Note | None:
    """The note of a message; ``None`` when there is nothing to tell. ``unit``: the sign of the account's money."""
    if isinstance(message, Alert):
        return _alert(message)
    if isinstance(message, Fill):
        text = (
            f"fill: {message.side.value} {quantity(message.quantity)} {clean(message.instrument)}"
            f" @ {price(message.price)}, fee {money(message.fee, unit=unit)}, order {short_id(message.order)}"
        )
        return Note("fill", Severity.INFO, "fill", message.instrument, text)
    if isinstance(message, ExitProposal) and message.reason is ExitReason.STOP_LOSS:
        text = f"stop: sell {quantity(message.quantity)} {clean(message.instrument)} at {price(message.price)} or better"
        return Note("stop", Severity.WARNING, f"stop {message.instrument}", message.instrument, text)
    if isinstance(message, ChangeProposal):
        text = (
            f"proposal {message.proposal}: {message.edit.path}: {clean(message.reason)}"
            f": presage eval show {message.proposal}"
        )
        return Note("proposal", Severity.INFO, "proposal", message.proposal, text)
    return None


def _alert(alert: Alert) -> Note:
    is_critical = alert.severity is Severity.CRITICAL
    what = f"{alert.rule} {alert.topic}"
    if alert.active:
        text = f"{alert.severity.value}: {what}: {alert.text}: {next_command(alert)}"
    else:
        text = f"over: {what}: {alert.text}".rstrip(": ")
    # What is critical is told for each topic by itself; of the rest one rule is one thing.
    group = f"{alert.rule} {alert.topic}" if is_critical else alert.rule
    event: Event = "alert"
    if alert.rule in CONDITION_RULES:
        event = "condition"
    elif alert.rule in HALT_RULES:
        event = "halt"
    return Note(event, alert.severity, group, alert.topic, clean(text))
