"""Claims with three replicas: two racers for every order while leaders of the ledger go, and none wins twice."""

import asyncio
import signal
from pathlib import Path

import pytest

from bench.nodes import BrokerNodes, info
from libs.tape.broker import ask
from libs.tape.credentials import ADMIN, claims_prefix, copies_prefix
from libs.tape.errors import PublishRefused
from libs.tape.ledger import ClaimOutcome, Ledger
from libs.tape.publisher import Publisher
from proto.execution import Claim
from proto.subjects import LEDGER, TAPE
from tests.fault.cluster_rig import three_nodes

pytestmark = [pytest.mark.fault, pytest.mark.broker, pytest.mark.soak]

POLL_S = 0.02
IN_FLIGHT = 8
"""Orders that each racer claims at a time."""


def claim_of(order: str, nonce: str) -> Claim:
    return Claim(
        order=order,
        approval_subject=f"risk.approval.{order}",
        message_id=f"t:risk:1:{order}",
        payload=b"approval",
        signature="s",
        key_id="k",
        client_order_id=order,
        nonce=nonce,
        claimed_at=1,
    )


async def race(nodes: BrokerNodes, user: str, folder: Path, orders: list[str]) -> set[str]:
    """Claim every order, as often as it takes to know what became of it; those that were won."""
    link = await nodes.link(user)
    publisher = Publisher(link)
    await publisher.start()
    ledger = Ledger(link, publisher, folder / "claims.log", claims_prefix(nodes.passwords["execution"]))
    won: set[str] = set()
    waiting = list(reversed(orders))

    async def claim_in_turn() -> None:
        while waiting:
            order = waiting.pop()
            claim = claim_of(order, f"{folder.name}-{order}")
            while (outcome := await ledger.claim(claim, {})) is ClaimOutcome.UNAVAILABLE:
                await asyncio.sleep(POLL_S)
            assert outcome in (ClaimOutcome.WON, ClaimOutcome.LOST)
            if outcome is ClaimOutcome.WON:
                won.add(order)

    await asyncio.gather(*(claim_in_turn() for _ in range(IN_FLIGHT)))
    ledger.close()
    await link.close()
    return won


@pytest.mark.timeout(3_000)
@pytest.mark.asyncio
async def test_no_claim_is_won_twice_while_leaders_go(tmp_path: Path, count) -> None:
    kills = count(0, 20)
    orders = [f"t-{number}-0" for number in range(count(300, 10_000))]
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    async with three_nodes(tmp_path / "nodes", tmp_path / "state") as (nodes, _):
        admin = await nodes.link()
        racing = [
            asyncio.create_task(race(nodes, user, tmp_path / name, orders))
            for name, user in (("first", "execution"), ("second", ADMIN))
        ]
        if not kills:
            await nodes.step_down(admin.client, LEDGER)
        for _ in range(kills):
            while not await nodes.current(admin.client, LEDGER):
                await asyncio.sleep(POLL_S)
            before = int((await ask(admin.client, f"STREAM.INFO.{LEDGER}"))["state"]["last_seq"])
            while not all(task.done() for task in racing):
                state = (await info(admin.client, LEDGER)).get("state", {})
                if int(state.get("last_seq", 0)) - before >= len(orders) // (2 * kills):
                    break
                await asyncio.sleep(POLL_S)
            if node := await nodes.leader(admin.client, LEDGER):
                await asyncio.to_thread(nodes.signal, node, signal.SIGKILL)
                nodes.start_node(node)
        first, second = await asyncio.gather(*racing)
        assert not first & second
        assert first | second == set(orders)
        while not await nodes.current(admin.client, LEDGER):
            await asyncio.sleep(POLL_S)
        assert int((await ask(admin.client, f"STREAM.INFO.{LEDGER}"))["state"]["messages"]) == len(orders)
        await copy_once(nodes, orders[0])
        await admin.close()


async def copy_once(nodes: BrokerNodes, order: str) -> None:
    """A claim's copy is stored under its order on the tape, and a second one refused."""
    link = await nodes.link("execution")
    publisher = Publisher(link)
    await publisher.start()
    subject = f"{copies_prefix(claims_prefix(nodes.passwords['execution']))}.order.{order}"
    condition = {"Nats-Expected-Last-Subject-Sequence": "0"}
    await publisher.publish(subject, b"copy", condition)
    with pytest.raises(PublishRefused) as refused:
        await publisher.publish(subject, b"copy", condition)
    assert refused.value.is_taken
    answer = await info(link.client, TAPE)
    assert answer["state"]["messages"] == 1
    await link.close()
