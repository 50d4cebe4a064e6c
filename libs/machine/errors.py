"""Why a machine does not go on.

::

    MachineStopped
    ├── Diverged       what it recomputes is not what the tape holds
    ├── Failed         ``on()`` raised; goes on after a signed skip
    └── UpgradeRefused another version after a crash: run the old build once, or adopt
"""


class MachineStopped(Exception):
    """Base: the machine no longer runs, its outputs no longer leave."""

    def __init__(self, machine: str, seq: int, text: str) -> None:
        super().__init__(text)
        self.machine = machine
        self.seq = seq


class Diverged(MachineStopped):
    """A recomputed output differs from the one on the tape."""


class Failed(MachineStopped):
    """The machine raised an exception for an input."""


class UpgradeRefused(MachineStopped):
    """The machine's version changed and the last stop was not a planned one."""
