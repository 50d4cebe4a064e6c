"""Halt, and everything else that must stop new orders at once while cancels still go, in real time."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import time_ns

import pytest

from libs.keys.signing import OPERATOR_DOMAIN, Signer
from libs.operator.desk import OperatorDesk
from libs.tape.credentials import OPERATOR
from proto.execution import TERMINAL, Cancel, Claim, OrderStatus, OrderUpdate
from proto.feed import Trade
from proto.message import Message
from proto.monitor import Clock
from proto.operator import Command, Verb
from proto.risk import Approval
from proto.subjects import SERVICES
from proto.units import SECOND
from proto.venue import Fill
from tests.fault import invariants
from tests.fault.live import flowing, presage, status_text, status_until, trading
from tests.support.harness import PATIENCE_S, Tape, kill
from tools.system.system import System

pytestmark = [
    pytest.mark.fault,
    pytest.mark.broker,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(900),
]

HALT_WITHIN_NS = SECOND
WATCHED = 3
"""Messages of a kind that comes about once a second, for as long as no order may leave: several would otherwise."""
BOOK_AGE_S_MAX = 3


def working(tape: Tape) -> set[str]:
    """Orders that rest at the venue."""
    status = {m.order: m.status for m in tape.of(OrderUpdate)}
    return {o for o, s in status.items() if s in (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED)}


def open_orders(tape: Tape) -> set[str]:
    return {o for o, s in {m.order: m.status for m in tape.of(OrderUpdate)}.items() if s not in TERMINAL}


def claims_after(tape: Tape, moment_ns: int) -> list[str]:
    """Orders that execution decided to claim later; a claim may then be on its way to a busy broker."""
    return [claim.order for claim in tape.of(Claim) if claim.claimed_at > moment_ns]


def approved_after(tape: Tape, moment_ns: int) -> set[str]:
    return {m.order for r, m in tape.messages if isinstance(m, Approval) and r.stored_at_ns > moment_ns}


async def none_of_the_next_is_claimed(tape: Tape, kind: type[Message], number: int) -> None:
    """Wait for an approval given from now on, and for more messages: none of such orders is sent.

    Orders approved before may still have been on their way to the ledger, or from there to the tape.
    """
    closed_ns = time_ns()
    await tape.wait(lambda t: bool(approved_after(t, closed_ns)))
    await pass_by(tape, kind, number)
    assert not approved_after(tape, closed_ns) & {claim.order for claim in tape.of(Claim)}


async def pass_by(tape: Tape, kind: type[Message], number: int = WATCHED) -> None:
    """Let so many more messages of a kind go by."""
    wanted = len(tape.of(kind)) + number
    await tape.wait(lambda t: len(t.of(kind)) >= wanted)


@contextmanager
def frozen(system: System, service: str) -> Iterator[None]:
    """A service's process is stopped by SIGSTOP: it holds its connection and says nothing."""
    pid = kill(system, service, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.asyncio
async def test_halt_stops_orders_within_a_second_cancels_them_and_survives_every_restart(tmp_path):
    state = tmp_path / "state"
    async with trading(state) as (system, tape):
        await flowing(tape)
        await tape.wait(lambda t: bool(working(t)))
        resting = working(tape)
        code, said = await presage("halt", "--reason", "a test", "--state", str(state))
        assert code == 0, said
        halted_ns = system.installation.layout.halt_file.stat().st_mtime_ns
        await tape.wait(lambda t: not open_orders(t))
        cancelled = {m.order for m in tape.of(OrderUpdate) if m.status is OrderStatus.CANCELED}
        assert resting & cancelled
        await pass_by(tape, Clock)
        for service in SERVICES:
            kill(system, service)
        assert await status_until(state, lambda text: "halted" in text) == "halted: a test"
        await pass_by(tape, Clock)
        assert not claims_after(tape, halted_ns + HALT_WITHIN_NS)
    async with trading(state) as (_, tape):
        await pass_by(tape, Clock)
        assert not claims_after(tape, halted_ns + HALT_WITHIN_NS)
        assert "halted" in await status_text(state)
        code, said = await presage("resume", "--state", str(state))
        assert code == 0, said
        await flowing(tape, 1)
        await status_until(state, lambda text: text == "open")
    found = await invariants.check(state, finished=False)
    assert found.claims >= 4


async def the_broker_goes(system: System, tape: Tape, state: Path) -> None:
    """The HALT file closes the gate without a broker."""
    system.installation.broker.kill()
    await status_until(state, lambda text: text == "no new orders: broker gone")
    code, said = await presage("halt", "--state", str(state))
    assert code == 0, said
    assert "halted by the HALT file" in said
    halted_ns = system.installation.layout.halt_file.stat().st_mtime_ns
    system.installation.broker.start()
    await system.installation.broker.ready()
    await none_of_the_next_is_claimed(tape, Clock, WATCHED)
    assert not [claim.order for claim in tape.of(Claim) if claim.claimed_at > halted_ns]


async def the_clock_stops(system: System, tape: Tape, state: Path) -> None:
    """No order leaves, and cancels go."""
    await tape.wait(lambda t: bool(working(t)))
    with frozen(system, "monitor"):
        report = system.reports.latest
        assert await system.reports.wait_for(
            lambda latest: latest["execution"].get("gate") == "clock gone", PATIENCE_S
        ), report
        await none_of_the_next_is_claimed(tape, Trade, 20)
        await status_until(state, lambda text: text == "no new orders: monitor not live")
        resting = working(tape)
        cancels = len(tape.of(Cancel))
        await presage("halt", "--state", str(state))
        await tape.wait(lambda t: not resting & working(t))
        assert not resting or len(tape.of(Cancel)) > cancels


async def the_feed_goes_silent(system: System, tape: Tape, state: Path) -> None:
    """No entry leaves on books that grow old, and cancels go."""
    with frozen(system, "feed"):
        await status_until(state, lambda text: text == "no new orders: feed not live")
        # Every book is then older than risk allows.
        await pass_by(tape, Clock, BOOK_AGE_S_MAX + 2)
        refused_ns = time_ns()
        resting = working(tape)
        await pass_by(tape, Clock)
        # Exits may leave on an old book, entries may not; what was approved before was on its way.
        reduces = {m.order: m.reduce_only for m in tape.of(Approval)}
        late = approved_after(tape, refused_ns) & set(claims_after(tape, refused_ns))
        assert not [order for order in late if not reduces[order]]
        await presage("halt", "--state", str(state))
        await tape.wait(lambda t: not resting & working(t))


@pytest.mark.asyncio
async def test_no_order_leaves_while_clock_feed_or_broker_is_gone(tmp_path):
    state = tmp_path / "state"
    async with trading(state, {"risk.book_age_max_s": str(BOOK_AGE_S_MAX)}) as (system, tape):
        for goes in (the_clock_stops, the_feed_goes_silent, the_broker_goes):
            await flowing(tape, 1)
            await goes(system, tape, state)
            code, said = await presage("resume", "--state", str(state))
            assert code == 0, said
        await flowing(tape, 1)
    await invariants.check(state, finished=False)


async def strangers_resume(system: System, tape: Tape) -> None:
    """A resume with the operator's permissions at the broker, and another key."""
    link = await system.installation.connect(OPERATOR)
    stranger = OperatorDesk(link, Signer.generate(OPERATOR_DOMAIN), system.tape)
    await stranger.start()
    await stranger.command(Verb.RESUME)
    await link.close()
    await tape.wait(lambda t: any(m.verb is Verb.RESUME for m in t.of(Command)))


@pytest.mark.asyncio
async def test_close_only_lets_exits_through_and_only_the_operators_key_resumes(tmp_path):
    state = tmp_path / "state"
    # Positions leave six seconds after they were opened, unless a target was met.
    async with trading(state, {"exit.decay_s": "6", "exit.decay_movement": "0.5"}) as (system, tape):
        await tape.wait(lambda t: bool(t.of(Fill)))
        code, said = await presage("close-only", "--state", str(state))
        assert code == 0, said
        await tape.wait(lambda t: any(m.verb is Verb.CLOSE_ONLY for m in t.of(Command)))
        given = next(r for r, m in tape.messages if isinstance(m, Command) and m.verb is Verb.CLOSE_ONLY)

        def exits(tape: Tape) -> list[bool]:
            """Of the claimed orders, those that risk approved on account of anything later: exits or not."""
            reduces = {
                m.order: m.reduce_only
                for r, m in tape.messages
                if isinstance(m, Approval) and r.cause > given.seq
            }
            return [reduces[claim.order] for claim in tape.of(Claim) if claim.order in reduces]

        await tape.wait(lambda t: bool(exits(t)))
        await pass_by(tape, Clock)
        assert all(exits(tape))
        await presage("halt", "--state", str(state))
        halted_ns = system.installation.layout.halt_file.stat().st_mtime_ns
        system.installation.layout.halt_file.unlink()
        await strangers_resume(system, tape)
        await pass_by(tape, Clock)
        assert not claims_after(tape, halted_ns + HALT_WITHIN_NS)
        # Its file is gone: execution itself says so.
        await status_until(state, lambda text: text == "no new orders: halted")
        await presage("resume", "--state", str(state))
        await tape.wait(lambda t: not all(exits(t)))
    await invariants.check(state, finished=False)
