"""Changes of one machine's settings: accepted, applied, taken back; a fold that the machine keeps in its state.

A machine asks the book and does what it says; nothing here raises for what a message holds. All times are session time.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from msgspec import Struct, field
from pydantic import ValidationError

from libs.bounded import clip, keep_newest
from libs.changes.limits import ChangeLimits, refusal_of, split_path
from libs.config.section import Section, section_hash
from proto.evaluation import ChangeStep, Edit, ExitChange, Revert, SignalChange
from proto.message import as_name, as_text
from proto.operator import Command
from proto.units import SECOND, Nanoseconds, later

REVERT_WITHIN_S = 3_600
"""An acceptance allows one revert for so long; later only the operator changes a setting."""
BARRED_S = 7 * 86_400
"""After a revert the same setting is not moved the same way again for a week."""
CHANGES_MAX = 1_000
"""Changes remembered, applied ones included: far more than an operator accepts in a year."""

Outcome = TypeVar("Outcome", SignalChange, ExitChange)


class Change(Struct):
    """A change that was applied. ``base`` is the value of the configuration under all changes of this path."""

    path: str
    section: str
    section_hash: str
    old: int
    new: int
    base: int
    at: Nanoseconds
    is_active: bool = True


class ChangeBook(Struct):
    """``changes`` by proposal, oldest first; ``bars``: path and direction → until when."""

    limits: ChangeLimits | None = None
    changes: dict[str, Change] = field(default_factory=dict)
    bars: dict[str, Nanoseconds] = field(default_factory=dict)


class Applied(NamedTuple):
    """What became of a change: how the section is from now on (``None``: as it was), and what is said of it."""

    document: dict[str, Any] | None
    proposal: str
    edit: Edit
    step: ChangeStep
    reason: str = ""


def direction(path: str, old: int, new: int) -> str:
    """What is barred after a revert: a path, and which way it was moved."""
    return f"{path}{'+' if new > old else '-'}"


def accept(book: ChangeBook, command: Command, section: str, params: Section, now: Nanoseconds) -> Applied:
    """Apply an accepted change to ``section``, whose parameters are ``params``; or say why not."""
    _, key = split_path(command.path)
    edit = Edit(
        path=as_name(command.path),
        section=section,
        section_hash=as_name(command.section_hash),
        old=command.old,
        new=command.new,
    )
    document = params.document()
    reason = _why_not(book, command, edit, params, document, now)
    if reason:
        return Applied(None, as_name(command.proposal), edit, ChangeStep.REFUSED, reason)
    base = next((c.base for c in book.changes.values() if c.is_active and c.path == edit.path), edit.old)
    book.changes[command.proposal] = Change(
        edit.path, edit.section, edit.section_hash, edit.old, edit.new, base, now
    )
    keep_newest(book.changes, CHANGES_MAX)
    return Applied({**document, key: edit.new}, command.proposal, edit, ChangeStep.APPLIED)


def _why_not(
    book: ChangeBook,
    command: Command,
    edit: Edit,
    params: Section,
    document: Mapping[str, Any],
    now: Nanoseconds,
) -> str:
    _, key = split_path(command.path)
    if not command.proposal or command.proposal in book.changes:
        return "expected a proposal that was not applied before"
    if as_name(command.proposal) != command.proposal:
        # What became of a change is told by this name: one that is no name could not be told of.
        return "expected a proposal's name, was longer than one may be"
    if book.limits is None:
        return "expected a list of what may be changed (section eval), was none in this session"
    if command.path != f"{edit.section}.{key}" or key not in params.changeable:
        return "expected a setting that may change while the system runs, was one that may not"
    if refusal := refusal_of(book.limits, command.path, command.old, command.new):
        return refusal
    found = section_hash(document)
    if found != command.section_hash:
        return f"expected section {clip(command.section_hash, 40)}, which the proposal was made against, was {found}"
    if document[key] != command.old:
        return f"expected the old value {command.old}, was {clip(str(document[key]), 40)}"
    return _too_early(book, edit, now) or refusal_of_section(params, {**document, key: command.new})


def _too_early(book: ChangeBook, edit: Edit, now: Nanoseconds) -> str:
    if now < book.bars.get(direction(edit.path, edit.old, edit.new), 0):
        return "expected a change that was not taken back within the last week"
    active = [c for c in book.changes.values() if c.is_active and c.section == edit.section]
    if any(0 <= now - change.at < REVERT_WITHIN_S * SECOND for change in active):
        # What each of two changes did could not be told apart.
        return "expected the hour of the section's last change to be over"
    return ""


def refusal_of_section(params: Section, document: Mapping[str, Any]) -> str:
    """What the section's own model has against a document; "" when nothing."""
    try:
        type(params).model_validate(document)
    except ValidationError as e:
        return clip(f"expected a valid section, was refused: {e.errors(include_url=False)[0]['msg']}", 400)
    return ""


def revert(book: ChangeBook, event: Revert, params: Section, now: Nanoseconds) -> Applied:
    """Take a change back, if its acceptance still allows it and nobody changed the value since.

    Barred it is in any case: whoever may ask for a revert has seen that the change did harm.
    """
    change = book.changes.get(event.proposal)
    edit = event.edit
    if change is not None:
        # What was accepted counts, not what the request says of it.
        edit = Edit(
            path=change.path,
            section=change.section,
            section_hash=change.section_hash,
            old=change.old,
            new=change.new,
        )
        book.bars[direction(change.path, change.old, change.new)] = later(now, BARRED_S * SECOND)
        keep_newest(book.bars, CHANGES_MAX)
    _, key = split_path(edit.path)
    document = params.document()
    reason = ""
    if change is None:
        reason = "expected a change that was applied, was none"
    elif not change.is_active:
        reason = "expected a change in force, was taken back before"
    elif not 0 <= now - change.at <= REVERT_WITHIN_S * SECOND:
        reason = f"expected a revert within {REVERT_WITHIN_S} s of the change"
    elif document.get(key) != change.new:
        reason = "expected the value that the change had set, was another: the later word counts"
    else:
        reason = refusal_of_section(params, {**document, key: change.old})
    if change is None or reason:
        return Applied(None, event.proposal, edit, ChangeStep.REVERT_REFUSED, reason)
    change.is_active = False
    return Applied({**document, key: change.old}, event.proposal, edit, ChangeStep.REVERTED, event.reason)


def configured(book: ChangeBook, section: str, params: Section) -> tuple[dict[str, Any], list[Applied]]:
    """A section that was configured anew, with the changes that are in force on it; and those that are over.

    A change stands on the value that the configuration had. Where the operator has set another one since, that counts and
    every change of it is over.
    """
    document = params.document()
    over: list[Applied] = []
    bases = dict(document)
    for proposal, change in book.changes.items():
        if not change.is_active or change.section != section:
            continue
        _, key = split_path(change.path)
        edit = Edit(
            path=change.path,
            section=section,
            section_hash=change.section_hash,
            old=change.old,
            new=change.new,
        )
        if bases.get(key) == change.base:
            changed = {**document, key: change.new}
            reason = refusal_of_section(params, changed)
            if not reason:
                document = changed
                continue
        else:
            reason = "the configuration has another value since"
        change.is_active = False
        over.append(Applied(None, proposal, edit, ChangeStep.ENDED, reason))
    return document, over


def outcome(kind: type[Outcome], done: Applied, params: Section, now: Nanoseconds) -> Outcome:
    """What a machine says of a change; ``params`` are its section as it is now."""
    return kind(
        proposal=done.proposal,
        edit=done.edit,
        step=done.step,
        section_hash=section_hash(params.document()),
        at=now,
        reason=as_text(done.reason),
    )
