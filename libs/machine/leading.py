"""Whether a host leads, where several processes of its service run, or follows and compares."""

from collections.abc import Callable, Sequence
from typing import Any

from libs.machine.host_state import HostState
from libs.machine.input_gate import is_shell, speaker
from libs.machine.runner import MachineRunner
from libs.tape.credentials import STANDBY, standby_name


class Leadership:
    """A host's side of its lease. Without one it always leads.

    A host that follows does everything but speak: its machines fold the tape, and each output that the leader published
    is compared with the one computed here. It may lead once it has the tape and nothing is wrong with it.
    """

    def __init__(
        self, service: str, status: HostState, runners: Callable[[], Sequence[MachineRunner]]
    ) -> None:
        self._service = service
        self._status = status
        self._runners = runners
        self._begun_term = 0
        self._has_tape = False
        lease = status.lease
        if lease is not None:
            lease.is_ready = lambda: self.follows and not self._is_stopped
            lease.known_term = self._known_term

    @property
    def follows(self) -> bool:
        """Whether this host has the tape and waits for the lease."""
        lease = self._status.lease
        return lease is not None and self._has_tape and not self._status.live

    @property
    def _is_stopped(self) -> bool:
        return bool(self._status.refused) or any(runner.stopped is not None for runner in self._runners())

    def may_speak(self) -> bool:
        """Whether the host may go live now; called when it has read the tape."""
        self._has_tape = True
        lease = self._status.lease
        return lease is None or lease.held

    def is_new_term(self) -> bool:
        """Whether the lease was taken, and the tape not yet read to what the leader before said last."""
        lease = self._status.lease
        return lease is not None and lease.held and lease.term != self._begun_term

    def begin_term(self) -> None:
        """The host knows how far it has to read."""
        self._begun_term = self._status.term

    def resign(self) -> None:
        """What this process computes is not to be trusted: another one may lead."""
        if self._status.lease is not None:
            self._status.lease.resign()

    def _known_term(self) -> int:
        """The highest term in which this service's shells spoke on this tape."""
        runners = self._runners()
        marks = runners[0].input_gate.state.marks if runners else {}
        own = {f"{self._service}."} | {runner.prefix for runner in runners}
        return max(
            (mark[2] for name, mark in marks.items() if is_shell(name) and f"{speaker(name)}." in own),
            default=0,
        )

    def report(self, extra: Callable[[], dict[str, Any]], state: str) -> dict[str, Any]:
        """What a health report says besides; that of a host that follows stands for itself, not for its service."""
        lease = self._status.lease
        if lease is None:
            return extra()
        told = {"term": lease.term, "owner": lease.owner, "leads": lease.held}
        if self._status.live:
            paused = (
                {} if lease.held or state != "live" else {"state": "starting", "detail": "lease not renewed"}
            )
            return extra() | told | paused
        following = {"state": STANDBY} if self.follows and state == "starting" else {}
        return told | {"service": standby_name(self._service)} | following
