"""Reader, publishers and ledger over a broker that is killed and stopped under load: nothing lost, nothing twice."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from libs.lists.reading import read_window
from libs.tape.broker import Broker, stream_state
from libs.tape.connection import Link, open_link
from libs.tape.credentials import ADMIN, claims_prefix
from libs.tape.errors import BrokerUnavailable, PublishRefused
from libs.tape.ledger import ClaimOutcome, Ledger
from libs.tape.publisher import Publisher
from libs.tape.reader import REST_S, TapeReader
from libs.tape.record import ID_HEADER, TapeRecord
from proto.execution import Claim
from proto.feed import FeedClock
from proto.ids import parse_message_id
from proto.subjects import LEDGER
from services.feed.publish import FeedPublisher
from tests.support.waiting import until

pytestmark = [pytest.mark.fault, pytest.mark.broker, pytest.mark.slow, pytest.mark.soak]

TAPE_ID = "testtape"
PATIENCE_S = 100.0
BETWEEN_KILLS = (20, 200)
"""Messages between two kills, drawn evenly."""

Soon = Callable[[], Awaitable[None]]


@pytest_asyncio.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    made = Broker(tmp_path / "broker")
    made.start()
    try:
        await made.ready()
        yield made
    finally:
        made.stop()


async def link_to(broker: Broker, user: str) -> Link:
    return await open_link(broker.url, user, broker.passwords[user])


async def restart(broker: Broker, *, violent: bool) -> None:
    await asyncio.to_thread(broker.kill if violent else broker.stop)
    broker.start()
    await broker.ready()


async def read_until(reader: TapeReader, enough: Callable[[list[TapeRecord]], bool]) -> list[TapeRecord]:
    records: list[TapeRecord] = []
    async with asyncio.timeout(PATIENCE_S):
        while not enough(records):
            records += await reader.next_batch(0.2)
    return records


async def whole_tape(broker: Broker) -> list[TapeRecord]:
    link = await link_to(broker, "viewer")
    last = int((await stream_state(link.client, timeout_s=60))["last_seq"])
    reader = TapeReader(link, 0)
    records = await read_until(reader, lambda found: bool(found) and found[-1].seq >= last)
    await reader.close()
    await link.close()
    return records


async def store_persistently(publisher: Publisher, number: int) -> int:
    """As a machine's host does: repeat until it is known to be stored, under the same id."""
    message = FeedClock(at=number)
    headers = {ID_HEADER: f"{TAPE_ID}:signal:{number}:0"}
    while True:
        try:
            return (await publisher.publish("signal.test", str(message.at).encode(), headers)).seq
        except (BrokerUnavailable, PublishRefused):
            await asyncio.sleep(0.02)


def first_of_each(records: list[TapeRecord], producer: str) -> list[int]:
    """Causes of a producer's messages as readers take them: what was said before is dropped."""
    taken: list[int] = []
    for record in records:
        identity = parse_message_id(record.message_id)
        if (
            identity is not None
            and identity.producer == producer
            and (not taken or identity.cause > taken[-1])
        ):
            taken.append(identity.cause)
    return taken


class Load:
    """One acknowledged publisher and the feed's, side by side, while two readers follow."""

    def __init__(self, broker: Broker, signal: Link, feed: Link) -> None:
        self.acknowledged: dict[int, int] = {}
        self._broker = broker
        self._publisher = Publisher(signal)
        self._feed = FeedPublisher(feed, TAPE_ID, "test")
        self.total = 0

    async def start(self) -> None:
        await self._publisher.start()
        await self._feed.start()

    async def publish(self, total: int) -> None:
        self.total = total
        await asyncio.gather(self._publish_acknowledged(), self._publish_feed())

    async def _publish_acknowledged(self) -> None:
        for number in range(1, self.total + 1):
            self.acknowledged[number] = await store_persistently(self._publisher, number)

    async def _publish_feed(self) -> None:
        for number in range(self.total):
            await self._feed.publish(FeedClock(at=number))
            if number % 8 == 0:
                await asyncio.sleep(0)
        await self._feed.flush()

    async def end_brokers(self, kills: int) -> None:
        """kill -9 and SIGTERM in turn, after a random number of acknowledged messages each."""
        chance = random.Random(3)
        for number in range(kills):
            wanted = len(self.acknowledged) + chance.randint(*BETWEEN_KILLS)
            while len(self.acknowledged) < min(wanted, self.total):
                await asyncio.sleep(0.001)
            await restart(self._broker, violent=number % 2 == 0)


@pytest.mark.timeout(3_000)
@pytest.mark.asyncio
async def test_no_acknowledged_message_is_lost_and_readers_go_on_in_order(broker, count):
    kills = count(8, 100)
    total = kills * BETWEEN_KILLS[1]
    links = [await link_to(broker, user) for user in ("signal", "feed", "risk", "journal")]
    load = Load(broker, links[0], links[1])
    await load.start()
    # One at once, one resting whenever it has everything: broker and connection die in the middle of it.
    readers = [TapeReader(links[2], 0), TapeReader(links[3], 0, rest_s=REST_S)]
    everything = 2 * total

    def complete(records: list[TapeRecord]) -> bool:
        found = (
            sum(len(first_of_each(records, p)) for p in ("signal", "feed"))
            if len(records) >= everything
            else 0
        )
        return found == everything

    following = [asyncio.create_task(read_until(reader, complete)) for reader in readers]
    async with asyncio.timeout(PATIENCE_S * max(1, kills / 8)):
        await asyncio.gather(load.publish(total), load.end_brokers(kills))
        seen = await asyncio.gather(*following)
    stored = await whole_tape(broker)
    sequences = [record.seq for record in stored]
    assert sequences == list(range(1, len(stored) + 1))
    held = {record.seq: record for record in stored}
    for number, seq in load.acknowledged.items():
        assert held[seq].message_id == f"{TAPE_ID}:signal:{number}:0"
    for producer in ("signal", "feed"):
        assert first_of_each(stored, producer) == list(range(1, total + 1))
    for records in seen:
        assert records == stored[: len(records)]
    assert all(reader.restarts > 1 for reader in readers)
    for link in links:
        await link.close()


def claim_of(order: str, claimant: str) -> Claim:
    return Claim(
        order=order,
        approval_subject=f"risk.approval.{order}",
        message_id=f"{TAPE_ID}:risk:1:0",
        payload=b"",
        signature="",
        key_id="",
        client_order_id=order,
        nonce=f"{claimant}.{order}",
        claimed_at=0,
    )


async def race(ledger: Ledger, claimant: str, orders: list[str]) -> set[str]:
    """Claim every order; those that were won."""
    won: set[str] = set()
    for order in orders:
        while True:
            outcome = await ledger.claim(claim_of(order, claimant), {})
            if outcome is not ClaimOutcome.UNAVAILABLE:
                break
            await asyncio.sleep(0.01)
        if outcome is ClaimOutcome.WON:
            won.add(order)
    return won


@pytest.mark.timeout(3_000)
@pytest.mark.asyncio
async def test_two_claimants_racing_over_broker_kills_win_each_order_once(broker, tmp_path, count):
    kills = count(6, 35)
    orders = [f"{TAPE_ID}-{number}-0" for number in range(1, kills * 80)]
    # The second claimant has the credentials of the administration: no other service may claim.
    links = [await link_to(broker, user) for user in ("execution", ADMIN)]
    racers = []
    for name, link in zip(("first", "second"), links, strict=True):
        publisher = Publisher(link)
        await publisher.start()
        racers.append(
            (
                name,
                Ledger(
                    link,
                    publisher,
                    tmp_path / name / "claims.log",
                    claims_prefix(broker.passwords["execution"]),
                ),
            )
        )
    racing = [asyncio.create_task(race(ledger, name, orders)) for name, ledger in racers]
    chance = random.Random(4)
    admin = await link_to(broker, ADMIN)
    for number in range(kills):
        seq = await claims_stored(admin) + chance.randint(10, 60)
        async with asyncio.timeout(PATIENCE_S):
            while await claims_stored(admin) < min(seq, len(orders)):
                await asyncio.sleep(0.002)
        await restart(broker, violent=number % 3 != 2)
    first, second = await asyncio.wait_for(asyncio.gather(*racing), PATIENCE_S * max(1, kills / 6))
    assert not first & second
    assert first | second == set(orders)
    stored = Counter(r.subject for r in await whole_tape(broker) if r.subject.startswith("ledger."))
    assert stored == Counter({f"ledger.order.{order}": 1 for order in orders})
    for _, ledger in racers:
        ledger.close()
    for link in (*links, admin):
        await link.close()


async def claims_stored(link: Link) -> int:
    while True:
        try:
            return int((await stream_state(link.client, LEDGER, timeout_s=60))["messages"])
        except BrokerUnavailable:
            await asyncio.sleep(0.01)


@pytest.mark.asyncio
async def test_a_publish_whose_answer_is_lost_is_neither_doubled_nor_orphaned(broker):
    """The answers of the broker never arrive: the messages are stored, and the caller does not know."""
    link = await link_to(broker, "feed")
    feed = FeedPublisher(link, TAPE_ID, "test")
    await feed.start()
    deaf = feed._publisher
    hear = deaf._on_ack
    lost: list[object] = []

    async def lose(message):
        if len(lost) < 3:
            lost.append(message)
        else:
            await hear(message)

    listeners = link.client._listeners
    for number in [number for number, listener in listeners.items() if listener == hear]:
        listeners[number] = lose
    for number in range(300):
        await feed.publish(FeedClock(at=number))
    await feed.flush()
    assert len(lost) == 3
    records = await whole_tape(broker)
    assert first_of_each(records, "feed") == list(range(1, 301))
    assert feed.retries >= 1
    await link.close()


@pytest.mark.asyncio
async def test_a_claim_whose_answer_is_lost_is_recognised_as_won(broker, tmp_path):
    link = await link_to(broker, "execution")
    publisher = Publisher(link)
    await publisher.start()

    class Deaf(Publisher):
        """Stores, and says that it does not know."""

        async def publish(self, subject, payload, headers):
            await publisher.publish(subject, payload, headers)
            raise BrokerUnavailable("expected an acknowledgement, was none")

    ledger = Ledger(link, Deaf(link), tmp_path / "claims.log", claims_prefix(broker.passwords["execution"]))
    order = f"{TAPE_ID}-7-0"
    assert await ledger.claim(claim_of(order, "first"), {}) is ClaimOutcome.WON
    ledger.close()
    # The next life of this process finds its own claim, another claimant finds somebody else's.
    again = Ledger(link, publisher, tmp_path / "claims.log", claims_prefix(broker.passwords["execution"]))
    assert await again.claim(claim_of(order, "first-again"), {}) is ClaimOutcome.WON
    other = Ledger(link, publisher, tmp_path / "other.log", claims_prefix(broker.passwords["execution"]))
    assert await other.claim(claim_of(order, "other"), {}) is ClaimOutcome.LOST
    claims = [r for r in await whole_tape(broker) if r.subject.startswith("ledger.")]
    assert len(claims) == 1
    await link.close()


class Never(Publisher):
    """Notes what is to be published, and nobody answers."""

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        self.asked = asyncio.Event()

    async def publish(self, subject, payload, headers):
        self.asked.set()
        raise BrokerUnavailable("expected an answer, was none")


async def unread(_: str) -> None:
    raise BrokerUnavailable("expected the ledger to answer, was none")


@pytest.mark.asyncio
async def test_a_claim_is_made_only_when_its_nonce_is_noted(tmp_path, monkeypatch):
    link = Link("execution")
    publisher = Never(link)
    ledger = Ledger(link, publisher, tmp_path / "claims.log", "claims.x")
    ledger.read = unread  # type: ignore[method-assign,assignment] # nobody is connected
    order, write = f"{TAPE_ID}-7-0", os.write

    with monkeypatch.context() as broken:
        broken.setattr("os.write", lambda file, line: write(file, line[: max(1, len(line) // 2)]))
        with pytest.raises(OSError, match="expected room"):
            await ledger.claim(claim_of(order, "first"), {})
    assert not ledger.remembers(order)
    assert not publisher.asked.is_set()
    # It is tried again; what became of it nobody says.
    assert await ledger.claim(claim_of(order, "again"), {}) is ClaimOutcome.UNAVAILABLE
    assert await ledger.claim(claim_of(order, "third"), {}) is ClaimOutcome.UNAVAILABLE
    assert publisher.asked.is_set()
    ledger.close()
    assert (tmp_path / "claims.log").read_text().splitlines()[-1] == f"{order} again.{order}"
    again = Ledger(link, publisher, tmp_path / "claims.log", "claims.x")
    assert again.remembers(order)
    again.close()


@pytest.mark.asyncio
async def test_a_resting_reader_gets_the_same_in_fewer_batches(broker):
    total = 60
    feed_link, link = await link_to(broker, "feed"), await link_to(broker, "journal")
    feed = FeedPublisher(feed_link, TAPE_ID, "test")
    await feed.start()
    reader = TapeReader(link, 0, rest_s=0.5)
    batches: list[list[TapeRecord]] = []

    async def read() -> None:
        while sum(map(len, batches)) < total:
            if batch := await reader.next_batch(1.0):
                batches.append(batch)

    following = asyncio.create_task(read())
    for number in range(total):
        await feed.publish_stored(FeedClock(at=number))
    await following
    assert [record.seq for batch in batches for record in batch] == list(range(1, total + 1))
    assert len(batches) < total / 2
    assert reader.restarts == 1
    await reader.close()
    await feed_link.close()
    await link.close()


@pytest.mark.asyncio
async def test_a_listener_that_raises_does_not_end_the_reading(broker):
    link = await link_to(broker, "journal")
    reader = TapeReader(link, 0)
    take = reader._on_message
    raised: list[object] = []

    async def faulty(message):
        if not raised:
            raised.append(message)
            raise RuntimeError("expected nothing of the kind")
        await take(message)

    reader._on_message = faulty  # type: ignore[method-assign] # an error of ours
    feed_link = await link_to(broker, "feed")
    feed = FeedPublisher(feed_link, TAPE_ID, "test")
    await feed.start()
    for number in range(10):
        await feed.publish(FeedClock(at=number))
    await feed.flush()
    records = await read_until(reader, lambda found: len(found) >= 10)
    assert [record.seq for record in records] == list(range(1, 11))
    assert reader.restarts > 1
    await feed_link.close()
    await link.close()


@pytest.mark.asyncio
async def test_what_a_full_buffer_does_not_take_in_is_asked_for_again(broker, count, monkeypatch):
    total = count(400, 60_000)
    monkeypatch.setattr("libs.tape.reader.BUFFER_MAX", 50)
    feed_link, link = await link_to(broker, "feed"), await link_to(broker, "risk")
    feed = FeedPublisher(feed_link, TAPE_ID, "test")
    await feed.start()
    reader = TapeReader(link, 0)
    await feed.publish(FeedClock(at=0))
    records = await read_until(reader, bool)
    # Nobody takes anything out until one did not fit in.
    for number in range(1, total):
        await feed.publish(FeedClock(at=number))
    await feed.flush()
    await until(lambda: reader._broken)
    assert reader.backlog == 50
    records += await read_until(reader, lambda found: len(found) >= total - 1)
    assert [record.seq for record in records] == list(range(1, total + 1))
    assert reader.restarts > 1
    await feed_link.close()
    await link.close()


@pytest.mark.asyncio
async def test_dropped_messages_within_the_client_are_noticed_and_healed(broker):
    total = 600
    feed_link, link = await link_to(broker, "feed"), await link_to(broker, "risk")
    feed = FeedPublisher(feed_link, TAPE_ID, "test")
    await feed.start()
    reader = TapeReader(link, 0)
    take, seen = reader._on_message, []

    async def lossy(message):
        seen.append(message)
        if len(seen) % 97 != 0:
            await take(message)

    reader._on_message = lossy  # type: ignore[method-assign] # what a slow consumer does
    following = asyncio.create_task(read_until(reader, lambda found: len(found) >= total))
    for number in range(total):
        await feed.publish(FeedClock(at=number))
    await feed.flush()
    records = await following
    assert [record.seq for record in records] == list(range(1, total + 1))
    assert reader.restarts > 2
    await feed_link.close()
    await link.close()


@pytest.mark.asyncio
async def test_what_was_sent_into_a_dying_connection_is_sent_again_before_what_follows(broker):
    """A slow feed sends nothing while the broker is away, so that no publish fails: only the new connection tells."""
    link = await link_to(broker, "feed")
    feed = FeedPublisher(link, TAPE_ID, "test")
    await feed.start()
    for number in range(3):
        await feed.publish(FeedClock(at=number))
    await feed.flush()
    assert broker.process is not None
    broker.process.send_signal(signal.SIGSTOP)
    for number in range(3, 6):
        await feed.publish(FeedClock(at=number))
    await restart(broker, violent=True)
    async with asyncio.timeout(PATIENCE_S):
        while not link.losses or not link.connected:
            await asyncio.sleep(0.01)
    for number in range(6, 200):
        await feed.publish(FeedClock(at=number))
    await feed.flush()
    assert first_of_each(await whole_tape(broker), "feed") == list(range(1, 201))
    await link.close()


@pytest.mark.asyncio
async def test_who_looks_once_waits_for_a_broker_that_answers_late(broker):
    """A disk's sync can hold the broker up for seconds: no command of the operator fails because of it."""
    link = await link_to(broker, ADMIN)
    assert broker.process is not None
    broker.process.send_signal(signal.SIGSTOP)
    looking = asyncio.create_task(read_window(link, (FeedClock,)))
    with pytest.raises(BrokerUnavailable, match="expected the state of TAPE"):
        await stream_state(link.client)
    assert not looking.done()
    broker.process.send_signal(signal.SIGCONT)
    assert (await looking).entries == []
    await link.close()
