"""The whole system trades at the sandbox while everything that can go wrong there does; then the books must agree."""

from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from libs.tape.record import TapeRecord
from proto.execution import TERMINAL, Claim, OrderStatus, OrderUpdate
from proto.units import SECOND
from proto.venue import Correction
from sandbox.faults.rules import FaultKind
from services.execution.desk.differences import STOPPING
from tests.fault import canaries, invariants
from tests.fault.live import presage
from tests.fault.sandbox_live import (
    agreed,
    check_arrivals,
    check_reserved,
    reconciled,
    statuses,
    trading_at_sandbox,
)
from tests.support.harness import caught_up

pytestmark = [
    pytest.mark.fault,
    pytest.mark.broker,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.soak,
    pytest.mark.timeout(14_000),
]

CLAIMS_MIN = 60
"""Orders under faults: so many meet most of the kinds."""
RESTARTS_S = (6, 14, 200, 600, 1_000)
SCRIPT: dict[str, Any] = {
    "seed": 11,
    "faults": [
        {"kind": "delay", "operation": "order", "probability": 0.1, "seconds": 0.3},
        {"kind": "delay", "operation": "user_socket", "probability": 0.05, "seconds": 0.5},
        *({"kind": "restart_window", "from_s": at, "seconds": 2, "post_only_s": 1} for at in RESTARTS_S),
        {"kind": "post_only", "operation": "order", "probability": 0.02, "seconds": 1},
        {"kind": "accept_then_timeout", "operation": "order", "probability": 0.08, "seconds": 0.5},
        {"kind": "accept_then_timeout", "operation": "cancel", "probability": 0.1, "seconds": 0.5},
        {"kind": "appear_late", "operation": "order", "probability": 0.05, "seconds": 4},
        {"kind": "drop", "operation": "order", "probability": 0.03, "seconds": 0.5},
        {"kind": "drop", "operation": "read", "probability": 0.01, "seconds": 0.5},
        {"kind": "status", "operation": "order", "status": 500, "carried_out": True, "probability": 0.03},
        {"kind": "status", "operation": "order", "status": 502, "body": "html", "probability": 0.03},
        {"kind": "status", "operation": "order", "status": 503, "body": "empty", "probability": 0.02},
        {"kind": "status", "operation": "cancel", "status": 500, "probability": 0.05},
        {"kind": "status", "operation": "heartbeat", "status": 502, "body": "html", "probability": 0.05},
        {"kind": "status", "operation": "read", "status": 502, "body": "html", "probability": 0.03},
        {"kind": "rate_limit", "probability": 0.02, "retry_after_s": 0.3},
        {"kind": "reset_connection", "operation": "order", "carried_out": True, "probability": 0.03},
        {"kind": "reset_connection", "probability": 0.02},
        {"kind": "silent_socket", "operation": "user_socket", "probability": 0.02, "seconds": 3},
        {"kind": "silent_socket", "operation": "market_socket", "probability": 0.0005, "seconds": 3},
        {"kind": "close_socket", "operation": "user_socket", "probability": 0.02},
        {"kind": "close_socket", "operation": "market_socket", "probability": 0.0005},
        {"kind": "sequence_gap", "operation": "user_socket", "probability": 0.05},
        {"kind": "sequence_gap", "operation": "market_socket", "probability": 0.001},
        {"kind": "tick_size_change", "venue": "polymarket", "tick": "0.001", "probability": 0.02, "count": 2},
        {"kind": "fill_before_ack", "probability": 0.2, "seconds": 0.3},
        {"kind": "duplicate_fill", "probability": 0.3},
        {"kind": "fail_settlement", "venue": "polymarket", "probability": 0.15},
        {"kind": "over_fill", "probability": 0.02, "skip": 5, "count": 2},
        {"kind": "stale_balance", "venue": "polymarket", "probability": 0.3, "seconds": 2},
    ],
}  # fmt: skip
"""Every kind, most of them often enough to strike within half a minute."""


def test_the_script_has_every_kind_of_fault():
    assert {rule["kind"] for rule in SCRIPT["faults"]} == set(FaultKind)


def test_a_secret_in_a_file_or_on_the_tape_would_be_found(tmp_path: Path):
    secrets = {"key": b"0123456789abcdef"}
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "feed.log").write_bytes(b'{"detail":"key 0123456789abcdef"}')
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "k").write_bytes(secrets["key"])
    assert canaries.sweep_files(tmp_path, secrets) == {"logs/feed.log": ["key"]}
    record = TapeRecord(1, "a.b", {"sig": "x0123456789abcdef"}, b"", 0)
    assert canaries.sweep_tape([record, record._replace(headers={})], secrets) == {"1 a.b": ["key"]}


def is_over(statuses: dict[str, OrderStatus], *, resolved: bool) -> bool:
    """Whether every order has ended, or (unless ``resolved``) nobody knows yet whether the venue ever had it."""
    return all(s in TERMINAL or (s is OrderStatus.UNKNOWN and not resolved) for s in statuses.values())


@pytest.mark.asyncio
async def test_every_fault_at_once_and_the_books_agree(tmp_path: Path, count):
    seconds, resolved = count(20, 1_200), bool(count(0, 1))
    state = tmp_path / "state"
    began = monotonic()
    async with trading_at_sandbox(state) as (system, tape, view):
        await tape.wait(lambda t: len(t.of(Claim)) >= 3)
        await view.set_faults(SCRIPT)
        over_ns = tape.messages[-1][0].stored_at_ns + seconds * SECOND
        wanted = len(tape.of(Claim)) + CLAIMS_MIN
        # Shortly before a full quarter every window is about to close, and none is traded for half a minute.
        await tape.wait(
            lambda t: t.messages[-1][0].stored_at_ns > over_ns and len(t.of(Claim)) >= wanted, seconds + 120.0
        )
        struck = await view.struck()
        await view.clear_faults()
        looked = {venue: len(found) for venue, found in reconciled(tape).items()}
        code, said = await presage("halt", "--reason", "the soak ends", "--state", str(state))
        assert code == 0, said
        # Absence takes two minutes to prove: a short run leaves what never arrived unknown, and reserved.
        await tape.wait(lambda t: is_over(statuses(t), resolved=resolved), 300 if resolved else 60)
        held, cash = await agreed(tape, view)
        # The desk has looked for itself as well, since the faults are over.
        await tape.wait(lambda t: all(len(f) > looked[venue] for venue, f in reconciled(t).items()))
        last = [found[-1] for found in reconciled(tape).values()]
        assert not [d for report in last for d in report.differences if d.difference in STOPPING]
        arrived = await check_arrivals(tape, view)
        await caught_up(system, tape)
        secrets = canaries.planted(state)
        assert await canaries.sweep_metrics(state, secrets) == {}
        code, said = await presage("status", "--state", str(state), "--json")
        assert canaries.shown_in(said.encode(), secrets) == [], code
        ended = statuses(tape)
        unknown = {order for order, status in ended.items() if status is OrderStatus.UNKNOWN}
        doubted = {update.order for update in tape.of(OrderUpdate) if update.status is OrderStatus.UNKNOWN}
    stopped = monotonic()
    # Reliability 25: after every error there is, no secret is anywhere but in its own place.
    assert canaries.sweep_tape([record for record, _ in tape.messages], secrets) == {}
    assert canaries.sweep_files(state, secrets) == {}
    check_reserved(state, unknown)
    found = await invariants.check(state, finished=False, over_filled=True)
    print(
        f"{seconds} s of faults, {stopped - began:.0f} s running, {monotonic() - stopped:.0f} s checking;"
        f" struck {dict(sorted(struck.items()))}; orders that arrived {arrived}, claims {found.claims}, fills"
        f" {found.fills}, corrections {len(tape.of(Correction))}; {len(doubted)} were unknown, {len(unknown)}"
        f" still are; {len(held)} positions; money {cash}; {found.records} messages"
    )
    assert sum(arrived.values()) >= 10
    assert found.fills
    assert not (unknown and resolved)
    assert len(struck) >= count(10, len(FaultKind)), struck
