"""What a replay has to know of a tape beside its messages: its keys, snapshots of its machines, how it was run."""

from pathlib import Path
from typing import Protocol

from libs.runtime.layout import RunFile


class ReplayLayout(Protocol):
    """Where it is: a state directory has all of it (``libs.runtime.layout.StateLayout``)."""

    @property
    def root(self) -> Path:
        """The folder in which ``snapshots/`` is, or may be made."""

    @property
    def public_keys(self) -> Path:
        """The file of public keys; that of the retired ones is beside it."""

    def read_run(self) -> RunFile:
        """Tape id and strategies of the newest run."""


class ReplayPlace(Protocol):
    """Whose tape is replayed: an installation's, or one at a broker elsewhere (``tools.system.remote``)."""

    @property
    def layout(self) -> ReplayLayout:
        """Where its keys and snapshots are."""
