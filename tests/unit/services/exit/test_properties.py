"""Whatever order things happen in: exits never take more than the position, and in the end it is left."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from libs.machine.machine import Stamp
from proto.execution import OrderStatus
from proto.operator import Config
from proto.units import ONE, SECOND
from proto.venue import Fill, Settlement
from services.exit.machine import ExitMachine
from tests.support.exit_world import CENT, World
from tests.support.strategies import messages

picks = st.integers(0, 5)
actions = st.one_of(
    st.tuples(st.just("enter"), st.integers(1, 900), st.integers(1, 99)),
    st.tuples(st.just("entry_done"), picks, picks),
    st.tuples(st.just("quote"), st.integers(0, 99), picks),
    st.tuples(st.just("advance"), st.sampled_from([1, 1, 3, 31, 700]), picks),
    st.tuples(st.just("answer"), st.sampled_from([1, 1, 1, 0]), picks),
    st.tuples(st.just("answer"), st.sampled_from([1, 1, 1, 0]), picks),
    st.tuples(st.just("fill"), st.integers(1, 900), picks),
    st.tuples(st.just("fill"), st.integers(1, 900), picks),
    st.tuples(st.just("cancel"), picks, picks),
    st.tuples(st.just("cancel"), picks, picks),
    st.tuples(st.just("refuse"), st.integers(0, 2), picks),
    st.tuples(st.just("status"), st.integers(0, 2), picks),
    st.tuples(st.just("session"), picks, picks),
    st.tuples(st.just("flatten"), st.integers(0, 2), picks),
)

REFUSED = (OrderStatus.REJECTED, OrderStatus.DENIED, OrderStatus.EXPIRED)
STATUS = (OrderStatus.ACCEPTED, OrderStatus.UNKNOWN, OrderStatus.PENDING_CANCEL)


def step(world: World, action: tuple[str, int, int]) -> None:
    kind, number, pick = action
    match kind:
        case "enter":
            world.enter(number * CENT, pick % 98 * CENT + CENT if pick else number % 98 * CENT + CENT)
        case "entry_done":
            world.entry_done()
        case "quote":
            world.quote(number * CENT or None)
        case "advance":
            world.advance(number)
        case "session":
            world.open_session()
        case "flatten":
            world.flatten(("", "kalshi:M:yes", "kalshi:M:no")[number])
        case "answer" if world.asked:
            world.answer(approve=bool(number))
        case _ if world.live:
            touch(world, kind, number, list(world.live)[pick % len(world.live)])
        case _:
            pass


def touch(world: World, kind: str, number: int, order: str) -> None:
    match kind:
        case "fill":
            world.fill(order, number * CENT)
        case "cancel" if world.live[order].cancel_asked:
            world.end(order, OrderStatus.CANCELED)
        case "refuse":
            world.end(order, REFUSED[number])
        case "status":
            world.status(order, STATUS[number])
        case _:
            pass


@given(st.lists(actions, max_size=60))
def test_exits_never_exceed_the_position_and_a_restored_machine_says_the_same(script):
    world = World()
    for action in script:
        step(world, action)
        assert world.exposed <= world.position
        assert world.machine.state.portfolio.quantity("kalshi:M:yes") == world.position
        held = world.machine.state.held.get("kalshi:M:yes")
        assert (held.open_quantity if held else 0) >= world.exposed, "the machine forgot an open exit"


@given(st.lists(actions, max_size=40))
def test_every_position_is_left_before_the_close_once_everybody_answers(script):
    world = World(twin=False)
    for action in script:
        step(world, action)
    if world.now >= world.market.close_at - 120 * SECOND:
        return
    for order in list(world.live):
        # What is unknown is resolved in the end: the venue says that it still works.
        world.status(order, OrderStatus.ACCEPTED)
    world.quote(40 * CENT)
    world.advance(max(0, (world.market.close_at - world.now) // SECOND - 59))
    for _ in range(40):
        world.work()
    assert world.position == 0
    assert world.exposed == 0
    if world.stages:
        assert world.stage == "closed"


INPUTS = list(ExitMachine().reads)


@st.composite
def inputs(draw: st.DrawFn):
    """Any valid message, about few enough names that they meet."""
    message: Any = draw(st.one_of([messages(model) for model in INPUTS if model is not Config]))
    names = {
        "instrument": ["kalshi:M:yes", "kalshi:M:no"],
        "market": ["kalshi:M"],
        "order": ["a", "b", "c"],
        "proposal": ["t:exit:1:0", "t:exit:2:0", "x"],
        "fill_id": ["f1", "f2", "f3"],
        "tape": ["t"],
    }
    changes: dict[str, Any] = {
        name: draw(st.sampled_from(values)) for name, values in names.items() if hasattr(message, name)
    }
    if isinstance(message, Fill | Settlement):
        # A contract pays 1 at most; the venues' gateways see to it.
        changes["price"] = min(message.price, ONE)
    return message.replace(**changes) if changes else message


@given(st.lists(inputs(), max_size=30), st.integers(0, 10**13))
def test_no_valid_message_stops_the_machine(events, pause):
    world = World(twin=False)
    world.enter(10 * CENT, 50 * CENT)
    machine = world.machine
    for number, event in enumerate(events):
        stamp = Stamp(100 + number, world.now + number * pause, verified=number % 5 != 0)
        machine.on(event, stamp)
        machine.restore(machine.snapshot())
