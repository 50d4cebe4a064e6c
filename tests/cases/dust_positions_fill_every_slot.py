"""What a Polymarket purchase brings beyond whole cents of a share can never be sold, and counts as a position for ever.

1. An entry of 5 shares is filled with 5.012345 (price improvement); the stop sells 5.01; what is left cannot be sold.
2. Five such remainders (worth less than a cent together) use up positions_max_count: no entry passes any more.
Run from a Presage checkout. Exit 0 = the position ends as closed and entries still pass.
"""

import sys

sys.path.insert(0, ".")
from proto.execution import OrderStatus
from proto.risk import Approval
from proto.units import ONE
from tests.support import exit_world
from tests.support.risk_world import RiskWorld

w = exit_world.World(params={}, twin=False)
w.quote(50 * exit_world.CENT)
w.enter(5_012_345, 50 * exit_world.CENT)
w.entry_done()
w.advance(3)
w.quote(40 * exit_world.CENT)  # below the stop
for _ in range(600):
    w.work()  # ten minutes in which everything that is proposed fills
print(
    "exit: stage",
    w.stage,
    "- still held",
    w.position / ONE,
    "shares; marketable exits proposed:",
    [p.quantity / ONE for _, p in w.proposals if p.time_in_force.value == "ioc"],
)

r = RiskWorld(markets=tuple("ABCDEF"), positions_max_count=5, quantity_min=ONE)
for name in "ABCDE":
    order = r.approve(name)
    r.fill(order, quantity=5_012_345)
    r.update(order, OrderStatus.FILLED, 5_012_345)
    sale = r.exit(name, quantity=5_010_000)
    assert isinstance(sale, Approval)
    r.fill(sale, quantity=5_010_000)
    r.update(sale, OrderStatus.FILLED, 5_010_000)
    r.clock()
held = sum(p.quantity for _, _, p in r.machine.state.portfolio.open_positions())
r.book("kalshi:F:yes", snapshot=True)
answer = r.propose("F")
print(
    f"risk: five markets hold {held / ONE:g} shares in all (stake {r.machine.state.portfolio.exposure() / ONE:g}); the next entry:",
    type(answer).__name__,
    [c.name for c in getattr(answer, "failed", ())],
)
answer_a = r.propose("A")
print(
    "risk: a second entry into a market sold out but for the remainder:",
    type(answer_a).__name__,
    [c.name for c in getattr(answer_a, "failed", ())],
)
sys.exit(not (w.stage == "closed" and isinstance(answer, Approval)))
