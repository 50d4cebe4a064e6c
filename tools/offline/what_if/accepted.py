"""Accepted changes of settings on a branch: a value that the what-if sets holds against them, those of other paths apply."""

from collections.abc import Collection, Iterable
from typing import TypeGuard

from libs.changes.book import ChangeBook
from libs.changes.limits import split_path
from libs.config.section import Section, section_hash
from libs.machine.machine import Machine
from proto.operator import Command, Verb
from services.exit.machine import SECTION as EXIT_SECTION
from services.exit.machine import ExitMachine
from services.signal.machine import SignalMachine


def _books(machines: Iterable[Machine]) -> list[ChangeBook]:
    return [machine.state.changes for machine in machines if isinstance(machine, SignalMachine | ExitMachine)]


def end_changes(machines: Iterable[Machine], paths: Collection[str]) -> frozenset[str]:
    """Where a branch begins: changes in force of what it sets itself are over. The sections to be configured anew."""
    ended = set()
    for book in _books(machines):
        for change in book.changes.values():
            if change.is_active and change.path in paths:
                change.is_active = False
                ended.add(change.section)
    return frozenset(ended)


def has_applied(machines: Iterable[Machine], proposal: str) -> bool:
    """Whether a machine has applied a proposed change."""
    return any(proposal in book.changes for book in _books(machines))


def section_in(machines: Iterable[Machine], section: str) -> Section | None:
    """A section as its machine has it now; ``None`` where no machine has it."""
    for machine in machines:
        if isinstance(machine, ExitMachine) and section == EXIT_SECTION:
            return machine.state.params
        if isinstance(machine, SignalMachine) and (found := machine.params_of(section)) is not None:
            return found
    return None


def accepted_on(machines: Iterable[Machine], command: Command, paths: Collection[str]) -> Command | None:
    """An acceptance that was applied without this branch's own settings, as it reads here; ``None``: it does not count.

    ``paths`` are what the branch sets. The section is another one here by those alone, so the change is one of it too.
    """
    if command.path in paths:
        return None
    params = section_in(machines, split_path(command.path)[0])
    if params is None:
        return command
    found = section_hash(params.document())
    return command if found == command.section_hash else command.replace(section_hash=found)


def is_acceptance(message: object) -> TypeGuard[Command]:
    """Whether the operator accepts a change."""
    return isinstance(message, Command) and message.verb is Verb.ACCEPT
