"""What the shell reads of the machine that its host runs."""

from libs.machine.host import Host
from proto.operator import Mode
from services.execution.machine import ExecutionMachine


def machine_of(host: Host) -> ExecutionMachine:
    """Return the execution machine; the host has loaded it."""
    machine = host.runners[0].machine
    assert isinstance(machine, ExecutionMachine)
    return machine


def live_venues_of(host: Host) -> tuple[str, ...]:
    """Return the venues that get real orders; none before the machine is loaded."""
    return machine_of(host).live_venues if host.runners else ()


def is_realtime(host: Host) -> bool:
    """Whether this session's clock is the wall's; an execution without a machine yet is not live."""
    return bool(host.runners) and host.runners[0].input_gate.state.timeline.mode is Mode.REALTIME


def is_of_earlier_epoch(order: str, host: Host) -> bool:
    """Whether an order was approved before the tape lost its tail: its id begins with the tape's of then."""
    return order.partition("-")[0] != host.settings.tape
