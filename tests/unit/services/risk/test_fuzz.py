"""Any valid message, in any order: an exception would stop the machine, and with it all new orders."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contract import codec
from libs.machine.machine import Stamp
from proto.operator import Config
from proto.risk import Approval
from proto.units import ONE
from proto.venue import Account, Fill, Settlement
from services.risk.machine import RiskMachine
from tests.support.risk_world import RiskWorld
from tests.support.strategies import messages

INPUTS = [model for model in RiskMachine().reads if model is not Config]
NAMES = {
    "instrument": ["kalshi:A:yes", "kalshi:A:no", "kalshi:B:yes", "elsewhere"],
    "market": ["kalshi:A", "kalshi:B", "elsewhere"],
    "order": ["t1-20-0", "t1-21-0", "t1-101-0", "t1-102-0", "x"],
    "fill_id": ["f1", "f2"],
    "tape": ["t1", "t2"],
}


@st.composite
def inputs(draw: st.DrawFn):
    """Any valid message, about few enough names that they meet."""
    message: Any = draw(st.one_of([messages(model) for model in INPUTS]))
    changes: dict[str, Any] = {
        name: draw(st.sampled_from(values)) for name, values in NAMES.items() if hasattr(message, name)
    }
    if isinstance(message, Fill | Settlement):
        # Facts of money are believed; a venue that reports fills of billions is beyond what sums can hold.
        changes["price"] = min(message.price, ONE)
    if isinstance(message, Fill):
        changes["quantity"] = min(message.quantity, 10**6 * ONE)
        changes["fee"] = min(max(message.fee, -(10**6) * ONE), 10**6 * ONE)
    if isinstance(message, Account):
        changes["deposit"] = min(max(message.deposit, -(10**6) * ONE), 10**6 * ONE)
    return message.replace(**changes) if changes else message


@settings(deadline=None, max_examples=60)
@given(st.lists(inputs(), max_size=30), st.integers(0, 10**13), st.sampled_from(["auto", "semi"]))
def test_no_valid_message_stops_the_machine(events, pause, autonomy):
    world = RiskWorld(autonomy=autonomy)
    world.propose()
    machine = world.machine
    for number, event in enumerate(events):
        stamp = Stamp(100 + number, world.now + number * pause, f"t1:x:{100 + number}:0")
        halted = machine.state.halted
        for output in machine.on(event, stamp):
            assert codec.decode(output.subject(), codec.encode(output)) == output
            assert not (halted and isinstance(output, Approval))
        machine.restore(machine.snapshot())
        machine.headroom()
        machine.risk_state()
