"""Who may stop risk, and who must say yes: the kill switch, and the degrees of autonomy."""

from proto.operator import Verb
from proto.risk import Approval, Pending, Rejection, RiskState
from proto.units import ONE, SECOND
from services.risk import standing
from services.risk.params import RiskParams
from services.risk.stakes import Stakes
from services.risk.state import State
from tests.support.risk_world import RiskWorld, failed_of, of


def test_halt_blocks_entries_and_exits_and_survives_sessions_and_restarts():
    world = RiskWorld()
    order = world.hold("A")
    world.command(Verb.HALT)
    world.session()
    world.restarted()
    for name in ("A", "B"):
        world.book(f"kalshi:{name}:yes", snapshot=True)
    assert set(world.reject("B")) == {"kill_switch"}
    assert failed_of(world.exit(quantity=order.quantity)) == {"kill_switch": (ONE, 2 * ONE)}
    # Close-only does not loosen a halt.
    world.command(Verb.CLOSE_ONLY)
    assert "kill_switch" in failed_of(world.exit(quantity=order.quantity))
    world.command(Verb.RESUME)
    assert isinstance(world.exit(quantity=order.quantity), Approval)
    world.approve("B")


def test_close_only_lets_exits_through():
    world = RiskWorld()
    order = world.hold("A")
    world.command(Verb.CLOSE_ONLY)
    assert world.reject("B") == {"kill_switch": (0, ONE)}
    assert isinstance(world.exit(quantity=order.quantity), Approval)


def test_one_message_ends_a_halt_for_exits_alone():
    world = RiskWorld()
    order = world.hold("A")
    world.command(Verb.HALT)
    world.command(Verb.RESUME, close_only=True)
    assert world.reject("B") == {"kill_switch": (0, ONE)}
    assert isinstance(world.exit(quantity=order.quantity), Approval)
    world.command(Verb.RESUME)
    world.approve("B")


def test_a_session_can_start_halted():
    world = RiskWorld()
    world.session(halted=True)
    world.session()
    assert world.machine.risk_state() is RiskState.HALTED


def test_without_an_account_yet_no_day_is_over():
    state = State(tape="t1", params=RiskParams())
    assert standing.risk_state(state, Stakes(state)) is RiskState.ACTIVE
    state.day_equity, state.day_loss = 10 * ONE, 3 * ONE
    assert standing.risk_state(state, Stakes(state)) is RiskState.CLOSE_ONLY
    state.params = RiskParams(daily_loss_max=0)
    state.day_loss = 0
    assert standing.risk_state(state, Stakes(state)) is RiskState.CLOSE_ONLY


def test_alerts_places_nothing():
    world = RiskWorld(autonomy="alerts")
    assert world.reject() == {"autonomy": (ONE, 0)}


def test_semi_waits_for_the_operator_and_checks_again():
    world = RiskWorld(autonomy="semi", pending_ttl_s=60)
    pending = world.propose(message_id="t1:signal:7:0")
    assert isinstance(pending, Pending)
    assert world.machine.reserved_exposure() > 0
    world.clock(30)
    (approval,) = world.command(Verb.APPROVE, pending.order)
    assert isinstance(approval, Approval)
    assert approval.order == f"t1-{world.seq}-0"
    assert approval.proposal == "t1:signal:7:0"
    assert approval.quantity == pending.quantity
    # Approved once: the id waits no more.
    assert world.command(Verb.APPROVE, pending.order) == []
    assert len(world.machine.state.reservations) == 1


def test_an_approval_by_the_operator_passes_the_checks_of_its_moment():
    world = RiskWorld(autonomy="semi")
    pending = world.propose()
    world.quote("kalshi:A:yes", 490_000, 500_000, skip=3)
    (rejection,) = world.command(Verb.APPROVE, pending.order)
    assert failed_of(rejection) == {"book_gap": (0, ONE)}
    assert world.machine.reserved_exposure() == 0


def test_denied_and_lapsed_orders_are_released():
    world = RiskWorld(autonomy="semi", pending_ttl_s=10)
    pending = world.propose()
    (rejection,) = world.command(Verb.DENY, pending.order)
    assert failed_of(rejection) == {"operator": (ONE, 0)}
    pending = world.propose()
    assert of(world.clock(9), Rejection) == []
    (rejection,) = of(world.clock(1), Rejection)
    assert failed_of(rejection) == {"time_to_expiry_s": (0, 0)}
    assert world.command(Verb.APPROVE, pending.order) == []
    assert world.machine.state.reservations == {}


def test_an_expired_wait_is_not_approved_even_before_the_clock_says_so():
    world = RiskWorld(autonomy="semi", pending_ttl_s=10)
    pending = world.propose()
    world.now += 10 * SECOND
    (rejection,) = world.command(Verb.APPROVE, pending.order)
    assert "time_to_expiry_s" in failed_of(rejection)


def test_exits_wait_only_when_told_to():
    world = RiskWorld()
    order = world.hold()
    world.configure(autonomy="semi")
    assert isinstance(world.exit(), Approval)
    world.configure(autonomy="semi", exits_wait=True)
    pending = world.exit(quantity=order.quantity - ONE)
    assert isinstance(pending, Pending)
    # What waits counts: together they take the whole position.
    assert failed_of(world.exit()) == {"reduce_only": (order.quantity, order.quantity + ONE)}
    (approval,) = world.command(Verb.APPROVE, pending.order)
    assert approval.reduce_only
