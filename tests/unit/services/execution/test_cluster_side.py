"""Copies of claims in a cluster, and the gate that waits for them: none is left out, and none keeps an exit."""

import asyncio
from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import pytest

from libs.tape.errors import BrokerUnavailable, PublishRefused
from libs.tape.publisher import Publisher
from proto.units import SECOND
from services.execution import cluster_side
from services.execution.claim_copies import LATE_S, YOUNG_NS, ClaimCopies, StoredClaim
from services.execution.cluster_side import ClusterSide
from services.execution.desk.live_desk import BROKER_PATIENCE_S
from services.execution.store_watch import CANCEL_AFTER_S, StoreWatch
from tests.support.order_tape import approval, claim

NOW_NS = 1_000_000 * SECOND
TAKEN = PublishRefused("expected the message to be stored, was 10071", 10071)
TOO_BIG = PublishRefused("expected the message to be stored, was 10054", 10054)


class TapePublisher(Publisher):
    """A tape that has some copies, and refuses others."""

    def __init__(self) -> None:
        self.has: set[str] = set()
        self.refuses: set[str] = set()

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> Any:
        order = subject.rpartition(".")[2]
        if order in self.has or order in self.refuses:
            raise TAKEN if order in self.has else TOO_BIG
        self.has.add(order)


class CopiesWorld:
    """A ledger of claims of some age; ``left`` have a copy that the tape's window does not hold any more."""

    def __init__(self, *ages_ns: int, left: Collection[str] = ()) -> None:
        claims = [
            claim(approval(number)).replace(claimed_at=NOW_NS - age_ns)
            for number, age_ns in enumerate(ages_ns, 1)
        ]
        self.orders = [each.order for each in claims]
        self.asked: list[str] = []
        self.tape = TapePublisher()
        self.leads = True
        self.now_s = 0.0

        async def read(seq: int) -> StoredClaim | None:
            return StoredClaim(claims[seq - 1], {})

        async def find_left(orders: Collection[str]) -> Collection[str]:
            self.asked += orders
            return left

        self.copies = ClaimCopies(
            self.tape, "copies", read, find_left, lambda: self.leads, lambda: NOW_NS, lambda: self.now_s
        )

    def look(self) -> None:
        asyncio.run(self.copies.look_through(len(self.orders)))


def test_a_claim_is_copied_whatever_its_age():
    world = CopiesWorld(0, YOUNG_NS, 100 * YOUNG_NS)
    world.look()
    assert world.tape.has == set(world.orders)
    assert world.asked == world.orders[1:]
    assert (world.copies.copied, world.copies.late_s) == (3, 0.0)


def test_a_copy_that_has_left_the_window_is_not_made_twice():
    gone = claim(approval(2)).order
    world = CopiesWorld(0, YOUNG_NS, left=[gone])
    world.look()
    assert world.tape.has == {world.orders[0]}
    assert world.copies.late_s == 0.0


def test_a_claim_that_cannot_be_copied_keeps_no_other_waiting():
    world = CopiesWorld(0, 0)
    world.tape.refuses = {world.orders[0]}
    world.look()
    assert world.tape.has == {world.orders[1]}
    world.now_s = 5.0
    assert world.copies.late_s == 5.0
    world.tape.refuses = set()
    world.look()
    assert world.tape.has == set(world.orders)
    assert world.copies.late_s == 0.0


# ── what the window and the archive hold ──


class Record:
    """What a history answers: ``held_from`` and the window's first sequence, and the orders with a copy."""

    link = SimpleNamespace(client=None)

    def __init__(self, held_from: int, copied: Collection[str]) -> None:
        self._held_from = held_from
        self._copied = copied

    async def bounds(self) -> tuple[int, int]:
        return self._held_from, 1_000

    async def read_subjects(self, subjects: Collection[str]) -> list[Any]:
        held = [f"ledger.order.{order}" for order in self._copied]
        return [SimpleNamespace(subject=subject) for subject in subjects if subject in held]


@pytest.mark.parametrize(
    ("order", "held_from", "is_left"),
    [
        ("t-600-0", 1, False),  # the window, which begins at 500, would hold a copy
        ("t-400-0", 300, True),  # the archive has it
        ("t-401-0", 300, False),  # the archive would have it
        ("t-200-0", 300, True),  # nobody knows
        ("old-900-0", 1, False),  # of an earlier epoch: everything is held, and no copy
        ("old-900-0", 2, True),
    ],
)
def test_who_has_a_copy_is_known_or_taken_for_granted(
    order: str, held_from: int, is_left: bool, monkeypatch: pytest.MonkeyPatch
):
    async def state(_: object) -> dict[str, int]:
        return {"first_seq": 500}

    monkeypatch.setattr(cluster_side, "stream_state", state)
    side = object.__new__(ClusterSide)
    host: Any = SimpleNamespace(history=Record(held_from, ["t-400-0"]), settings=SimpleNamespace(tape="t"))
    side._host = host
    assert (order in asyncio.run(side._find_left([order]))) == is_left


# ── the gate ──


class StoreWorld:
    """A store watch over a lease, a connection and copies that the test sets; ``silent``: streams that do not answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        self.lease = SimpleNamespace(held=True, is_failing=False)
        self.copies = SimpleNamespace(late_s=0.0)
        self.silent: set[str] = set()

        async def state(_: object, stream: str, __: float) -> dict[str, Any]:
            if stream in self.silent:
                raise BrokerUnavailable("expected a leader, was none")
            return {}

        monkeypatch.setattr("services.execution.store_watch.stream_state", state)
        link: Any = SimpleNamespace(client=None, away_s=lambda: 0.0)
        self.watch = StoreWatch(link, self.lease, self.copies, lambda: self.now_s)

    def look(self) -> None:
        for stream in ("TAPE", "LEDGER"):
            asyncio.run(self.watch._look(stream))


def test_an_exit_waits_for_no_other_claims_copy(monkeypatch: pytest.MonkeyPatch):
    world = StoreWorld(monkeypatch)
    world.copies.late_s = LATE_S + 1
    assert world.watch.refusal() == "claims not on the tape"
    assert world.watch.refusal(reduce_only=True) == ""
    # Nor is it an outage: nothing that rests is cancelled for it, however long it lasts.
    world.now_s += 10 * CANCEL_AFTER_S
    assert world.watch.refusal() == "claims not on the tape"
    assert world.watch.away_s() == 0.0
    world.copies.late_s = 0.0
    assert world.watch.refusal() == ""
    assert world.watch.recovered_s() == 0.0
    world.now_s += 2.0
    assert world.watch.recovered_s() == 2.0


@pytest.mark.parametrize("fault", ["lease", "TAPE", "LEDGER"])
def test_an_outage_shuts_the_gate_for_all_and_cancels_after_a_while(
    fault: str, monkeypatch: pytest.MonkeyPatch
):
    world = StoreWorld(monkeypatch)
    if fault == "lease":
        world.lease.held = False
    else:
        world.silent.add(fault)
    world.look()
    for reduce_only in (False, True):
        assert world.watch.refusal(reduce_only=reduce_only) != ""
    world.now_s += CANCEL_AFTER_S - 0.1
    assert world.watch.away_s() <= BROKER_PATIENCE_S
    world.now_s += 0.2
    assert world.watch.away_s() > BROKER_PATIENCE_S
    world.lease.held = True
    world.silent.clear()
    world.look()
    assert world.watch.away_s() == 0.0
