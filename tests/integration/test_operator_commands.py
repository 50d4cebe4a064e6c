"""What the operator commands, and what comes of it: every command says what happened, and fails when nothing did."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from libs.view.names import short_id
from proto.execution import OrderUpdate
from proto.exit import PositionStage, PositionUpdate
from proto.operator import Command, Verb
from proto.risk import Approval, Pending, Rejection
from proto.venue import Fill
from tests.fault.live import presage, trading
from tests.support.harness import Tape, caught_up
from tools.exit_codes import FAILED, USAGE
from tools.system.system import System

pytestmark = [pytest.mark.broker, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(900)]

SEMI = {
    "risk.autonomy": "semi",
    "risk.pending_ttl_s": "600",
    # Positions stay until somebody says that they leave.
    "exit.first_target": "9.0",
    "exit.rest_target": "9.0",
    "exit.stop_loss": "1.0",
    "exit.before_close_s": "0",
}
ATTEMPTS = 20
"""The book moves between a proposal and its approval: risk may refuse one, not all."""


class Operator:
    """Types commands at a running system that asks for every entry."""

    def __init__(self, state: Path, system: System, tape: Tape) -> None:
        self.state = state
        self.system = system
        self.tape = tape

    async def types(self, *words: str) -> tuple[int, str]:
        return await presage(*words, "--state", str(self.state))

    async def asks(self, *words: str) -> Any:
        code, said = await self.types(*words, "--json")
        assert code == 0, said
        return json.loads(said)

    async def next_waiting(self) -> dict[str, Any]:
        """The newest order that waits, once there is one more than now."""
        count = len(self.tape.of(Pending))
        await self.tape.wait(lambda tape: len(tape.of(Pending)) > count)
        rows = (await self.asks("pending"))["pending"]
        assert rows
        return rows[-1]

    async def approves_one(self) -> tuple[dict[str, Any], str]:
        for _ in range(ATTEMPTS):
            row = await self.next_waiting()
            code, said = await self.types("approve", row["id"])
            if code == 0:
                return row, said
            assert f"{row['id']}: " in said
        raise AssertionError("expected risk to allow one order, refused all")


@pytest.mark.asyncio
async def test_the_operator_decides_on_every_entry(tmp_path: Path):
    async with trading(tmp_path / "state", SEMI) as (system, tape):
        operator = Operator(tmp_path / "state", system, tape)
        await sees_what_waits(operator)
        await approves(operator)
        await denies(operator)
        await flattens(operator)
        await asks_for_what_cannot_be(operator)
        await halts(operator)


async def sees_what_waits(operator: Operator) -> None:
    row = await operator.next_waiting()
    (pending,) = [message for message in operator.tape.of(Pending) if message.order == row["order"]]
    assert (row["price"], row["quantity"], row["side"]) == (pending.price, pending.quantity, pending.side)
    assert 0 < row["left_s"] <= 600
    _, listed = await operator.types("pending")
    assert row["id"] in listed
    status = await operator.asks("status")
    assert row["order"] in [waiting["order"] for waiting in status["pending"]]
    _, shown = await operator.types("status")
    assert f"presage approve {row['id']}" in shown


async def approves(operator: Operator) -> None:
    row, said = await operator.approves_one()
    await caught_up(operator.system, operator.tape)
    (pending,) = [message for message in operator.tape.of(Pending) if message.order == row["order"]]
    (approval,) = [m for m in operator.tape.of(Approval) if m.proposal == pending.proposal]
    assert f"{row['id']}: approved as {short_id(approval.order)}" in said
    assert any(update.order == approval.order for update in operator.tape.of(OrderUpdate))
    rows = {order["order"]: order for order in (await operator.asks("orders", "--limit", "0"))["orders"]}
    assert rows[row["order"]]["became"] == approval.order
    fills = (await operator.asks("fills", "--limit", "0"))["fills"]
    assert {fill["fill_id"] for fill in fills} <= {fill.fill_id for fill in operator.tape.of(Fill)}
    code, again = await operator.types("approve", row["id"])
    assert code == FAILED
    assert f"{row['id']}, which is approved by you as {short_id(approval.order)}" in again


async def denies(operator: Operator) -> None:
    row = await operator.next_waiting()
    code, said = await operator.types("deny", row["order"])
    assert (code, said.strip()) == (0, f"{row['id']}: denied")
    await caught_up(operator.system, operator.tape)
    assert [m for m in operator.tape.of(Rejection) if [check.name for check in m.failed] == ["operator"]]
    code, again = await operator.types("deny", row["id"])
    assert code == FAILED
    assert f"{row['id']}, which is denied: denied by the operator" in again


async def flattens(operator: Operator) -> None:
    """A market may end between a fill and the command: then the next position is tried."""
    code, said = await operator.types("flatten")
    assert (code, "expected the instrument of a position, or --all" in said) == (USAGE, True)
    code, said = await operator.types("flatten", "nonsense")
    assert (code, "expected an open position, was none" in said) == (FAILED, True)
    for _ in range(ATTEMPTS):
        await operator.approves_one()
        code, said = await operator.types("flatten", "--all")
        if "expected an open position" not in said:
            break
    given = next(
        r.seq for r, m in operator.tape.messages if isinstance(m, Command) and m.verb is Verb.FLATTEN
    )
    assert f"flatten (tape sequence {given})" in said

    def leaving(tape: Tape) -> set[str]:
        stages = [m for r, m in tape.messages if isinstance(m, PositionUpdate) and r.cause == given]
        return {m.instrument for m in stages if m.reason == "flatten"}

    def closed(tape: Tape) -> set[str]:
        stages = [m for r, m in tape.messages if isinstance(m, PositionUpdate) and r.seq > given]
        return {m.instrument for m in stages if m.stage is PositionStage.CLOSED}

    await operator.tape.wait(lambda tape: bool(leaving(tape)) and leaving(tape) <= closed(tape))


async def asks_for_what_cannot_be(operator: Operator) -> None:
    said = await asyncio.gather(
        operator.types("approve", "nonsense"),
        operator.types("skip", str(10**9), "risk"),
        operator.types("stop", "x"),
    )
    assert [code for code, _ in said] == [FAILED, USAGE, USAGE]
    assert "presage pending lists them" in said[0][1]
    assert "expected a sequence of the tape, 1 to " in said[1][1]


async def halts(operator: Operator) -> None:
    row = await operator.next_waiting()
    code, said = await operator.types("halt", "--reason", "enough")
    assert code == 0
    assert said.startswith("halted: enough (tape sequence ")
    code, said = await operator.types("close-only")
    assert code == FAILED
    assert "presage resume --close-only" in said
    code, said = await operator.types("approve", row["id"])
    assert code == FAILED
    assert f"{row['id']}: risk refuses it: " in said
    assert "halted by the operator" in said
    code, said = await operator.types("resume", "--close-only")
    assert code == 0
    assert said.startswith("resumed, for exits only (tape sequence ")
    # One message, so that no entry can leave in between, on whatever machine.
    assert (operator.tape.of(Command)[-1].verb, operator.tape.of(Command)[-1].close_only) == (
        Verb.RESUME,
        True,
    )
    assert not operator.system.installation.layout.halt_file.exists()
    refused = len(operator.tape.of(Rejection))
    await operator.tape.wait(lambda tape: len(tape.of(Rejection)) > refused)
    failed = operator.tape.of(Rejection)[-1].failed
    assert [check.name for check in failed if check.name == "kill_switch"]
