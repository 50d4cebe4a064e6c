"""Nonsense by the thousand, from every producer and at the feed's socket: the flow goes on."""

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from time import time_ns

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from libs.contract.codec import Unreadable, decode, encode
from libs.tape.credentials import claims_prefix
from libs.venues.coinbase import COINBASE
from libs.venues.coinbase.market_data.normalise import CoinbaseNormaliser
from libs.venues.frame import FrameError
from libs.venues.kalshi.market_data.normalise import KalshiNormaliser
from proto.feed import Quote, Trade
from proto.message import Message
from proto.monitor import DEAD_EXCERPT_BYTES_MAX, Dead
from proto.subjects import ALL_SERVICES, EXTRA_PUBLISH, SERVICES, TABLE
from proto.venue import Ack
from services.feed.normalise import source_of
from services.feed.synthetic.market import SyntheticMarket
from services.monitor.dead_letters import BURST_COUNT
from tests.fault.rig import BUSY
from tests.support.harness import Tape, running, synthetic_recording
from tests.support.raw_client import RawClient, headers
from tests.support.samples import SAMPLES
from tools.system.options import Options
from tools.system.system import System

pytestmark = [pytest.mark.fault, pytest.mark.broker, pytest.mark.postgres, pytest.mark.timeout(900)]

MAX_PAYLOAD = 1 << 20
SECOND_NS = 1_000_000_000
CLAIMS_POISONED = 20


def poisonous(draw: random.Random, good: bytes) -> bytes:
    """A payload that no message reads as, or at least not this one."""
    pack = msgspec.msgpack.encode
    kinds: tuple[Callable[[], bytes], ...] = (
        lambda: b"",
        lambda: draw.randbytes(draw.randint(1, 300)),
        lambda: good[: draw.randrange(max(1, len(good)))],
        lambda: good + b"\x00",
        lambda: pack({"instrument": draw.choice([None, 1.5, [], {}, True, -1]), "at": "now"}),
        lambda: pack({"price": float("nan"), "quantity": float("inf"), "order": 7}),
        lambda: pack({"at": 2**64 - 1, "counter": -(2**63), "bid": -1}),
        lambda: b"\x81\xa2at\xcf" + b"\xff" * 8,
        lambda: b"\x81\xaainstrument\xa4\xff\xfe\xfd\xfc",
        lambda: b"\x91" * draw.randint(1, 5_000) + b"\xc0",
        lambda: b"\x81\xa1a" * draw.randint(1, 5_000) + b"\xc0",
        lambda: b"\xdd\xff\xff\xff\xff" + b"\xc0" * 10,
        lambda: b"\xdb\xff\xff\xff\xff" + b"a" * 10,
        lambda: b"\xc7\xff\x01" + b"e" * 255,
        lambda: b"\xc1" * draw.randint(1, 100),
        lambda: json.dumps({"order": "t-1-0", "price": 1e308}).encode(),
        lambda: bytes(byte ^ (1 << draw.randrange(8)) if draw.random() < 0.1 else byte for byte in good),
    )
    return draw.choice(kinds)()


def poison_for(user: str, number: int, seed: int) -> Iterator[tuple[str | bytes, bytes, bytes]]:
    """``number`` messages within a user's permissions that are unreadable: subject, payload, headers."""
    draw = random.Random(f"{seed} {user}")
    prefixes = (f"{user}.>", *EXTRA_PUBLISH.get(user, ()))
    firsts = [prefix.removesuffix(".>") for prefix in prefixes]
    own = [message for message in SAMPLES if message.kind.partition(".")[0] in firsts]
    odd = [b"\xff\xfe", b"a\x0cb", b"\x00", b"\x1b[2J", b"x" * 2_000, "é".encode(), b"nothing.known", b"%2E"]
    yield f"{firsts[0]}.large", draw.randbytes(MAX_PAYLOAD - 1_000), b""
    made = 1
    while made < number:
        sample = draw.choice(own) if own else draw.choice(SAMPLES)
        subject = sample.subject() if own else f"{user}.thing"
        if subject == "operator.command.halt":
            continue  # anyone may halt: execution's gate shuts on that subject, whatever the message says
        payload = poisonous(draw, encode(sample))
        if draw.random() < 0.2:
            yield draw.choice(firsts).encode() + b"." + draw.choice(odd), payload, b""
            made += 1
            continue
        try:
            decode(subject, payload)
        except Unreadable:
            head = headers(Nats_Msg_Id=f"t:{user}:{draw.getrandbits(80)}:0", cause="9" * 50)
            yield subject, payload, head if draw.random() < 0.3 else b""
            made += 1


def dead_count(tape: Tape, *, of_tape: bool) -> int:
    return sum(dead.count for dead in tape.of(Dead) if (dead.seq > 0) is of_tape)


async def more(tape: Tape, kind: type[Message]) -> None:
    """Wait for one more message of a kind than there are."""
    seen = len(tape.of(kind))
    await tape.wait(lambda t: len(t.of(kind)) > seen)


def nothing_died(system: System) -> None:
    for service, child in system.supervisor.children.items():
        assert child.restarts == 0, f"{service} was restarted after {child.exit_codes}"
        assert child.process is not None
        assert child.process.poll() is None
    for service in SERVICES:
        assert system.reports.latest[service]["state"] == "live", system.reports.latest[service]


def bounded(tape: Tape, elapsed_s: float) -> None:
    """No report is large, and no producer's reports are many."""
    told: dict[str, int] = {}
    for dead in tape.of(Dead):
        assert len(dead.excerpt) <= DEAD_EXCERPT_BYTES_MAX
        assert len(encode(dead)) < 2_000
        told[dead.producer] = told.get(dead.producer, 0) + 1
    for producer, number in told.items():
        assert number <= BURST_COUNT + elapsed_s + 2, f"{producer} was reported {number} times"


@pytest.mark.asyncio
async def test_poison_on_the_tape_is_counted_and_the_orders_flow_on(
    tmp_path: Path, count: Callable[[int, int], int]
):
    number = count(300, 5_000)
    # The market ends with the recording: a busy machine needs longer than a quiet one.
    recording = synthetic_recording(tmp_path, minutes=count(6, 15))
    options = Options(tmp_path / "state", recordings=[recording], speed=3.0)
    async with running(options, BUSY) as (system, tape):
        broker = system.installation.broker
        await tape.wait(lambda t: len(t.of(Ack)) >= 1)
        began = time_ns()
        sent = 0
        for user in (*ALL_SERVICES, "operator"):
            async with RawClient(broker.port, user, broker.passwords[user]) as poisoner:
                for subject, payload, head in poison_for(user, number, seed=7):
                    poisoner.publish(subject, payload, headers=head)
                    sent += 1
                    if sent % 100 == 0:
                        await poisoner.settle()
                # Good words under an id that belongs to another, or is far ahead: unreadable as well.
                for producer, cause in (("risk", 1), ("risk", 10**17), ("paper", 1), (f"{user}", 10**17)):
                    if user != "feed":
                        break
                    quote = Quote(instrument="kalshi:X:yes", at=1, counter=1)
                    name = f"{system.tape}:{producer}:{cause}:0"
                    poisoner.publish(quote.subject(), encode(quote), headers=headers(Nats_Msg_Id=name))
                    sent += 1
                if user == "execution":
                    # Stored as ``ledger.>``, published under the prefix that only execution knows.
                    claims = claims_prefix(broker.passwords[user])
                    for position in range(CLAIMS_POISONED):
                        poisoner.publish(f"{claims}.order.x-{position}-0", b"\xc1" * position)
                        sent += 1
                await poisoner.settle()
                assert not poisoner.errors
        # Above the broker's limit: that costs its sender the connection, and nobody else anything.
        async with RawClient(broker.port, "feed", broker.passwords["feed"]) as poisoner:
            poisoner.publish("feed.quote.x", b"x" * (MAX_PAYLOAD + 1))
            with pytest.raises((AssertionError, ConnectionError)):
                await poisoner.settle()
        await tape.wait(lambda t: dead_count(t, of_tape=True) >= sent)
        await more(tape, Ack)
        assert dead_count(tape, of_tape=True) == sent
        bounded(tape, (time_ns() - began) / SECOND_NS)
        assert {dead.producer for dead in tape.of(Dead)} >= {*ALL_SERVICES, "operator", "venue", "ledger"}
        assert all(dead.reason for dead in tape.of(Dead))
        nothing_died(system)


# --- at the feed's socket ------------------------------------------------------------------------------


def is_dead(frame: bytes) -> bool:
    """Whether a frame is unreadable on its own; others may only be unwanted."""
    try:
        if source_of(frame) == COINBASE:
            CoinbaseNormaliser().normalise(frame, 1)
        else:
            KalshiNormaliser().normalise(frame, 1)
    except FrameError:
        return True
    return False


def dead_frames(number: int, seed: int) -> Iterator[bytes]:
    """Unreadable frames, made from good ones and from nothing."""
    draw = random.Random(seed)
    market = SyntheticMarket(seed, 1_800_000_000 * SECOND_NS)
    good = [frame.data for _ in range(200) for frame in market.step()]
    made = 0
    while made < number:
        frame = bytearray(draw.choice(good))
        for _ in range(draw.randint(1, 3)):
            frame[draw.randrange(len(frame))] = draw.randrange(256)
        mutated = draw.choice(
            (
                bytes(frame),
                bytes(frame[: draw.randrange(len(frame))]),
                draw.randbytes(draw.randint(0, 200)),
                b"[" * draw.randint(1, 20_000),
                b'{"a":' * draw.randint(1, 5_000),
                bytes(frame).replace(b'"sid":', b'"sid":NaN,"x":'),
                bytes(frame).replace(b'"seq":', b'"seq":' + b"9" * 400),
                bytes(frame).replace(b'"msg":', b'"msg":null,"x":'),
                bytes(frame).replace(b'_dollars":"', b'_dollars":"1e999'),
            )
        )
        if is_dead(mutated):
            made += 1
            yield mutated


@pytest.mark.asyncio
async def test_poison_at_the_socket_is_counted_and_the_quotes_flow_on(
    tmp_path: Path, count: Callable[[int, int], int]
):
    poison = list(dead_frames(count(2_000, 20_000), seed=7))
    finished = asyncio.Event()

    async def venue(connection: ServerConnection) -> None:
        """A good market; the poison comes in a flood of its own between two steps."""
        start = time_ns()
        market = SyntheticMarket(7, start)
        try:
            await connection.recv()
            while True:
                for frame in market.step():
                    await connection.send(frame.data.decode())
                if not finished.is_set():
                    for data in poison:
                        await connection.send(data)
                    finished.set()
                # Ten times as fast as life, for the first market to open soon.
                behind_ns = market.at - start - 10 * (time_ns() - start)
                await asyncio.sleep(max(0.0, behind_ns / 10 / SECOND_NS))
        except ConnectionClosed:
            return

    async with serve(venue, "127.0.0.1", 0, max_size=None) as server:
        port = server.sockets[0].getsockname()[1]
        options = Options(tmp_path / "state", sockets=[f"ws://127.0.0.1:{port}"])
        async with running(options) as (system, tape):
            began = time_ns()
            async with asyncio.timeout(180):
                await finished.wait()
            await tape.wait(lambda t: dead_count(t, of_tape=False) >= len(poison))
            await more(tape, Quote)
            await more(tape, Trade)
            # No frame was told twice, and the feed's own count is the same.
            assert dead_count(tape, of_tape=False) == len(poison)
            assert system.reports.latest["feed"]["dead"] == len(poison)
            assert system.reports.latest["feed"]["frames"] > len(poison)
            bounded(tape, (time_ns() - began) / SECOND_NS)
            nothing_died(system)


def test_every_producer_has_messages_to_be_poisoned():
    producers = {row.producer for row in TABLE} - {"*"}
    assert {message.kind.partition(".")[0] for message in SAMPLES} >= producers - {"journal"}
