"""The ledger as a window: nobody but execution fills it, what left it proves nothing, exits never wait for room."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytest_asyncio

from libs.archive.archive import Archive
from libs.archive.history import History
from libs.tape.broker import Broker, StreamLimits, stream_state
from libs.tape.claim_copies import wait_for_claim_copies
from libs.tape.connection import open_link
from libs.tape.credentials import ADMIN, USERS, claims_prefix
from libs.tape.ledger import ClaimOutcome, Ledger
from libs.tape.ledger_window import CLOCK_SLACK_NS, LedgerWindow
from libs.tape.publisher import Publisher
from proto.execution import Claim
from proto.subjects import LEDGER, TAPE
from services.execution.claim_maker import ClaimMaker, ClaimState
from services.execution.ledger_watch import LedgerWatch
from services.journal.archiver import Archiver
from tests.support.raw_client import RawClient
from tests.support.waiting import POLL_S

pytestmark = [pytest.mark.fault, pytest.mark.broker]

SMALL = StreamLimits(ledger_bytes=64 << 10)
APPROVAL = b"a" * 1_000
"""Of the size of a signed one."""
IN_FLIGHT = 20
"""Of a few claims that the small ledger holds: none leaves before the broker has copied it onto the tape."""


@pytest_asyncio.fixture
async def broker(tmp_path: Path, broker_type: type[Broker]) -> AsyncIterator[Broker]:
    made = broker_type(tmp_path / "broker", SMALL)
    made.start()
    try:
        await made.ready()
        yield made
    finally:
        made.kill()


@pytest_asyncio.fixture
async def ledger(broker: Broker, tmp_path: Path) -> AsyncIterator[Ledger]:
    link = await open_link(broker.url, "execution", broker.passwords["execution"])
    publisher = Publisher(link)
    await publisher.start()
    made = Ledger(link, publisher, tmp_path / "claims.log", claims_prefix(broker.passwords["execution"]))
    yield made
    made.close()
    await link.close()


def claim_of(number: int) -> Claim:
    order = f"t-{number}-0"
    return Claim(
        order=order,
        approval_subject=f"risk.approval.{order}",
        message_id=f"t:risk:{number}:0",
        payload=APPROVAL,
        signature="s",
        key_id="k",
        client_order_id=order,
        nonce=f"nonce-{number}",
        claimed_at=1,
    )


async def claim_orders(ledger: Ledger, numbers: range) -> None:
    """Claim orders, many at a time; each is won."""
    for first in range(numbers.start, numbers.stop, IN_FLIGHT):
        turn = range(first, min(first + IN_FLIGHT, numbers.stop))
        outcomes = await asyncio.gather(*(ledger.claim(claim_of(number), {}) for number in turn))
        assert set(outcomes) == {ClaimOutcome.WON}


async def watching(ledger: Ledger) -> LedgerWatch:
    watch = LedgerWatch(ledger.window)
    await watch.look()
    return watch


def window_of(watch: LedgerWatch) -> LedgerWindow:
    assert watch.window is not None
    return watch.window


@pytest.mark.asyncio
async def test_no_credential_but_executions_fills_the_ledger(broker: Broker, ledger: Ledger):
    claims = claims_prefix(broker.passwords["execution"])
    targets = ("ledger.order.t-1-0", "ledger.x", "claims.order.t-1-0", f"{claims}x.order.t-1-0")
    for user in set(USERS) - {ADMIN, "execution"}:
        async with RawClient(broker.port, user, broker.passwords[user]) as attacker:
            for _ in range(100):
                for target in targets:
                    attacker.publish(target, b"x" * 500)
                    attacker.publish(f"{user}.x", b"x" * 500, reply=target)
                    attacker.publish(f"$JS.API.STREAM.INFO.{TAPE}", b"", reply=target)
                    attacker.publish(f"$JS.API.CONSUMER.CREATE.{TAPE}", b"{}", reply=target)
            config = {"deliver_policy": "all", "ack_policy": "none", "idle_heartbeat": 500_000_000}
            for target in targets:
                body = json.dumps(
                    {"stream_name": TAPE, "config": config | {"deliver_subject": target}}
                ).encode()
                attacker.publish(f"$JS.API.CONSUMER.CREATE.{TAPE}", body)
            # Where the prefix is written down, nobody else may look.
            attacker.subscribe(f"_INBOX_{user}.1")
            for verb in (f"STREAM.INFO.{TAPE}", f"STREAM.INFO.{LEDGER}", f"STREAM.MSG.GET.{LEDGER}"):
                attacker.publish(f"$JS.API.{verb}", b"", reply=f"_INBOX_{user}.1")
            await attacker.settle()
            assert claims.encode() not in attacker.everything, user
    assert (await ledger.window()).claims == 0
    await claim_orders(ledger, range(1, 3))
    async with RawClient(broker.port, "viewer", broker.passwords["viewer"]) as reader:
        reader.subscribe("_INBOX_viewer.2")
        reading = {"deliver_subject": "_INBOX_viewer.2", "filter_subject": "ledger.>", "ack_policy": "none"}
        body = json.dumps({"stream_name": TAPE, "config": reading}).encode()
        async with asyncio.timeout(120):
            while not reader.messages:
                reader.publish(f"$JS.API.CONSUMER.CREATE.{TAPE}", body)
                await reader.settle()
        assert claims.encode() not in reader.everything


@pytest.mark.soak
@pytest.mark.timeout(3_000)
@pytest.mark.asyncio
async def test_orders_flow_through_a_ledger_that_is_full(
    broker_type: type[Broker], tmp_path: Path, count: Callable[[int, int], int]
):
    """Full run: 300,000 orders through a ledger of default size."""
    orders = count(300, 300_000)
    limits = StreamLimits(ledger_bytes=count(SMALL.ledger_bytes, StreamLimits().ledger_bytes))
    broker = broker_type(tmp_path / "broker", limits)
    broker.start()
    try:
        await broker.ready()
        link = await open_link(broker.url, "execution", broker.passwords["execution"])
        publisher = Publisher(link)
        await publisher.start()
        ledger = Ledger(
            link, publisher, tmp_path / "claims.log", claims_prefix(broker.passwords["execution"])
        )
        for numbers in (range(1, 2), range(2, orders + 1)):
            await claim_orders(ledger, numbers)
            async with asyncio.timeout(180):
                # Every claim has its copy on the tape, those that left the ledger too.
                while (
                    int((await stream_state(link.client, TAPE, timeout_s=60))["messages"]) < numbers.stop - 1
                ):
                    await asyncio.sleep(POLL_S)
        window = await ledger.window()
        assert window.claims < orders, "expected the oldest to have made room"
        assert window.size <= limits.ledger_bytes
        assert await ledger.read(f"t-{orders}-0") is not None
        assert await ledger.read("t-1-0") is None
        ledger.close()
        await link.close()
    finally:
        broker.kill()


@pytest.mark.asyncio
async def test_what_left_the_ledger_is_neither_claimed_nor_given_up(ledger: Ledger):
    watch = await watching(ledger)
    assert watch.refusal(0, reduce_only=True) == "", "expected a whole ledger to prove what it does not hold"
    await claim_orders(ledger, range(1, 301))
    await watch.look()
    held_from = window_of(watch).held_from
    assert held_from
    # The first order's claim is gone: its absence says nothing, and it must not be won again.
    assert await ledger.read("t-1-0") is None
    for reduce_only in (False, True):
        assert watch.refusal(held_from - 1, reduce_only=reduce_only) == "ledger forgotten"
        assert watch.refusal(held_from + CLOCK_SLACK_NS - 1, reduce_only=reduce_only) == "ledger forgotten"
    assert watch.refusal(held_from + CLOCK_SLACK_NS, reduce_only=True) == ""


@pytest.mark.asyncio
async def test_below_the_oldest_claim_the_tape_and_its_archive_are_asked(
    broker: Broker, ledger: Ledger, tmp_path: Path
):
    execution = await open_link(broker.url, "execution", broker.passwords["execution"])
    admin = await open_link(broker.url, ADMIN, broker.passwords[ADMIN])
    history = History(execution, Archive(tmp_path / "archive"))
    context = SimpleNamespace(link=execution, run=SimpleNamespace(tape="t", lockstep=False))
    claims = ClaimMaker(context, SimpleNamespace(history=history), ledger, None, lambda _: None)
    try:
        await claim_orders(ledger, range(1))
        async with asyncio.timeout(180):
            while not int((await stream_state(admin.client, TAPE, timeout_s=60))["messages"]):
                await asyncio.sleep(POLL_S)
        await claim_orders(ledger, range(1, 301))
        assert await ledger.read("t-0-0") is None
        assert await claims.state_of("t-0-0", 1) is ClaimState.CLAIMED, "its copy is on the tape"
        archiver = Archiver(admin, tmp_path / "archive", "t", segment_seq=50, settled_seq=0)
        while await archiver.archive_next():
            pass
        await admin.client.request(f"$JS.API.STREAM.PURGE.{TAPE}", b'{"keep": 60}', timeout=60)
        assert await claims.state_of("t-0-0", 1) is ClaimState.CLAIMED, "its copy is in the archive"
        # Nothing says that it was claimed, and nothing proves that it was not.
        assert await claims.state_of("t-7-9", 1) is ClaimState.FORGOTTEN
        later = (await ledger.window()).held_from + CLOCK_SLACK_NS
        assert await claims.state_of("t-7-9", later) is ClaimState.UNCLAIMED
    finally:
        await execution.close()
        await admin.close()


@pytest.mark.asyncio
async def test_a_ledger_that_fills_in_minutes_keeps_its_rest_for_exits(ledger: Ledger):
    watch = await watching(ledger)
    await claim_orders(ledger, range(1, 301))
    await watch.look()
    window = window_of(watch)
    later = window.held_from + CLOCK_SLACK_NS
    assert window.percent >= 90
    assert watch.refusal(later, reduce_only=False) == f"ledger {window.percent} % full"
    assert watch.refusal(later, reduce_only=True) == ""
    assert watch.report()["entries"] == f"ledger {window.percent} % full"
    await claim_orders(ledger, range(301, 601))


@pytest.mark.asyncio
async def test_claims_age_out_of_a_ledger_that_was_a_wall(tmp_path: Path, broker_type: type[Broker]):
    """A state directory of an earlier build: its ledger refused what was new, and took claims by their subject."""
    broker = broker_type(tmp_path / "broker")
    broker.start()
    try:
        await broker.ready()
        link = await open_link(broker.url, ADMIN, broker.passwords[ADMIN])

        async def ask(verb: str, body: object = None) -> dict[str, object]:
            payload = b"" if body is None else json.dumps(body).encode()
            answer: dict[str, object] = json.loads(
                (await link.client.request(f"$JS.API.STREAM.{verb}.{LEDGER}", payload, timeout=60)).data
            )
            assert "error" not in answer, answer
            return answer

        wall = (await ask("INFO"))["config"]
        assert isinstance(wall, dict)
        del wall["subject_transform"]
        await ask("UPDATE", wall | {"subjects": ["ledger.>"], "discard": "new", "max_age": 0})
        publisher = Publisher(link)
        await publisher.start()
        await publisher.publish("ledger.order.t-1-0", b"old claim", {})

        broker.limits = StreamLimits(ledger_age_s=1)
        await broker.ensure_streams()
        config = (await ask("INFO"))["config"]
        assert isinstance(config, dict)
        assert (config["discard"], config["max_age"], config["subjects"]) == (
            "old",
            1_000_000_000,
            [f"{claims_prefix(broker.passwords['execution'])}.>"],
        )
        assert config["deny_delete"]
        assert config["deny_purge"]
        ledger = Ledger(
            link, publisher, tmp_path / "claims.log", claims_prefix(broker.passwords["execution"])
        )
        async with asyncio.timeout(120):
            while (window := await ledger.window()).claims:
                await asyncio.sleep(POLL_S)
        assert window.held_from > 0, "expected an empty ledger to remember that something left it"
        assert int((await stream_state(link.client, TAPE, timeout_s=60))["messages"]) == 1
        ledger.close()
        await link.close()
    finally:
        broker.kill()


@pytest.mark.asyncio
async def test_claims_that_a_start_still_has_to_copy_are_waited_for(tmp_path: Path):
    """The tape's newest sequence is asked for behind them: what a retired key signed counts up to there."""
    broker, tape = Broker(tmp_path / "broker"), Path("jetstream") / "jetstream" / "$G" / "streams" / TAPE

    async def claims_on_the_tape(numbers: range) -> int:
        broker.start()
        await broker.ready()
        link = await open_link(broker.url, "execution", broker.passwords["execution"])
        subject = f"{claims_prefix(broker.passwords['execution'])}.order.t"
        for number in numbers:
            await link.client.request(f"{subject}-{number}-0", b"claim", timeout=10)
        await link.close()
        admin = await open_link(broker.url, ADMIN, broker.passwords[ADMIN])
        await wait_for_claim_copies(admin)
        held = int((await stream_state(admin.client, timeout_s=60))["last_seq"])
        await admin.close()
        await asyncio.to_thread(broker.stop)
        return held

    try:
        assert await claims_on_the_tape(range(20)) == 20
        shutil.copytree(broker.directory / tape, tmp_path / "torn")
        assert await claims_on_the_tape(range(20, 600)) == 600
        shutil.rmtree(broker.directory / tape)
        shutil.move(tmp_path / "torn", broker.directory / tape)
        assert await claims_on_the_tape(range(0)) == 600
    finally:
        broker.kill()
