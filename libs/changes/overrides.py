"""What accepted changes make of the configuration: a fold of what the machines say of them."""

from typing import NamedTuple

from libs.changes.limits import split_path
from proto.evaluation import ChangeStep, ExitChange, SignalChange
from proto.units import Nanoseconds

Applied = SignalChange | ExitChange


class Override(NamedTuple):
    """A value that an accepted change has set; ``base`` is the configuration's own. Values as the section has them."""

    value: int
    base: int
    proposal: str
    at: Nanoseconds


class Overrides:
    """Path → override in force; ``add`` the messages in the order of the tape."""

    def __init__(self) -> None:
        self._applied: dict[str, Applied] = {}

    def add(self, message: Applied) -> bool:
        """Take a message in; whether it changed what is in force."""
        if message.step is ChangeStep.APPLIED:
            self._applied[message.proposal] = message
            return True
        if message.step in (ChangeStep.REVERTED, ChangeStep.ENDED):
            return self._applied.pop(message.proposal, None) is not None
        return False

    def in_force(self) -> dict[str, Override]:
        """The newest value of each path, over the value that was there before the first change of it."""
        found: dict[str, Override] = {}
        for message in self._applied.values():
            edit = message.edit
            base = found[edit.path].base if edit.path in found else edit.old
            found[edit.path] = Override(edit.new, base, message.proposal, message.at)
        return found

    def of_section(self, section: str) -> dict[str, Override]:
        """Key → override, of one section."""
        return {
            split_path(path)[1]: override
            for path, override in self.in_force().items()
            if split_path(path)[0] == section
        }
