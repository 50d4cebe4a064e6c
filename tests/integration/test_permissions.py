"""Who may say what, proved on the real broker by what arrives and what the streams hold, not by errors."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from libs.contract.codec import Unreadable, decode
from libs.tape import credentials
from libs.tape.broker import Broker, stream_state
from libs.tape.connection import open_link
from libs.tape.credentials import ADMIN, OPERATOR, VIEWER, Permissions, claims_prefix
from libs.tape.reader import TapeReader
from libs.tape.record import SIGNATURE_HEADER, TapeRecord
from proto.feed import Quote
from proto.operator import Verb
from proto.subjects import ALL_SERVICES as SERVICES
from proto.subjects import CONSOLE, EVALUATOR, LEDGER, TAPE
from services.feed.publish import FeedPublisher
from tests.support.raw_client import RawClient, headers
from tests.support.waiting import PATIENCE_S, POLL_S

pytestmark = pytest.mark.broker

ATTACKERS = (*SERVICES, EVALUATOR, OPERATOR, CONSOLE, VIEWER)
NON_RISK = tuple(s for s in SERVICES if s != "risk")

# Said once more here, by hand: a mistake in the table of grants must not be a mistake in the test too.
OWN_PREFIXES = {service: {service} for service in SERVICES} | {
    "execution": {"execution", "venue"},
    EVALUATOR: {"eval"},
    OPERATOR: {"operator"},
    CONSOLE: set(),
    VIEWER: set(),
}
PREFIXES = (*SERVICES, EVALUATOR, "venue", "ledger", "operator")
READING = {f"$JS.API.CONSUMER.CREATE.{TAPE}", f"$JS.FC.{TAPE}.flow", f"$JS.API.STREAM.INFO.{TAPE}"}
CLAIMS = "(the prefix of claims)"
"""Stands for what only execution may publish; each broker of a test has another one."""
SEEDED = 5
EXTRA = {
    "execution": {f"$JS.API.STREAM.MSG.GET.{LEDGER}", f"$JS.API.STREAM.INFO.{LEDGER}", CLAIMS},
    "monitor": {"operator.command.halt"},
    "feed": {"lockstep.grant.risk", "lockstep.poll"},
    CONSOLE: {
        f"operator.command.{verb}"
        for verb in ("halt", "close_only", "resume", "approve", "deny", "accept", "reject", "flatten")
    }
    | {"report.console"},
}
# A heartbeat is an empty message of the broker's own, which the API takes for a request.
HEARTBEAT = {"idle_heartbeat": 500_000_000, "flow_control": True}


def claims_of(broker: Broker) -> str:
    """The prefix under which the ledger takes claims."""
    return claims_prefix(broker.passwords["execution"])


class Attempt(NamedTuple):
    """Something a user tries to publish."""

    subject: str
    body: bytes = b""


def _api(stream: str) -> list[Attempt]:
    """Every verb of the JetStream API that reads or changes a stream or its consumers."""
    first = json.dumps({"seq": 1}).encode()
    consumer = json.dumps({"stream_name": stream, "config": {"durable_name": "evil", "ack_policy": "none"}})
    shrunk = json.dumps({"name": stream, "subjects": ["nothing"], "max_msgs": 1})
    snapshot = json.dumps({"deliver_subject": "_INBOX_evil.1"}).encode()
    api = "$JS.API"
    return [
        Attempt(f"{api}.STREAM.UPDATE.{stream}", shrunk.encode()),
        Attempt(f"{api}.STREAM.MSG.DELETE.{stream}", first),
        Attempt(f"{api}.STREAM.MSG.GET.{stream}", first),
        Attempt(f"{api}.DIRECT.GET.{stream}", first),
        Attempt(f"{api}.DIRECT.GET.{stream}.risk.approval.x"),
        Attempt(f"{api}.STREAM.SNAPSHOT.{stream}", snapshot),
        Attempt(f"{api}.STREAM.LEADER.STEPDOWN.{stream}"),
        Attempt(f"{api}.STREAM.PEER.REMOVE.{stream}", b'{"peer":"presage"}'),
        Attempt(f"{api}.STREAM.INFO.{stream}"),
        Attempt(f"{api}.CONSUMER.CREATE.{stream}", b"{}"),
        Attempt(f"{api}.CONSUMER.CREATE.{stream}.evil", consumer.encode()),
        Attempt(f"{api}.CONSUMER.CREATE.{stream}.evil.feed.x", consumer.encode()),
        Attempt(f"{api}.CONSUMER.DURABLE.CREATE.{stream}.evil", consumer.encode()),
        Attempt(f"{api}.CONSUMER.MSG.NEXT.{stream}.kept"),
        Attempt(f"{api}.CONSUMER.DELETE.{stream}.kept"),
        Attempt(f"{api}.CONSUMER.PAUSE.{stream}.kept", b'{"pause_until":"2100-01-01T00:00:00Z"}'),
        Attempt(f"{api}.CONSUMER.RESET.{stream}.kept"),
        Attempt(f"{api}.CONSUMER.UNPIN.{stream}.kept", b'{"group":"x"}'),
        Attempt(f"{api}.CONSUMER.LEADER.STEPDOWN.{stream}.kept"),
        Attempt(f"{api}.CONSUMER.INFO.{stream}.kept"),
        Attempt(f"{api}.CONSUMER.LIST.{stream}"),
        Attempt(f"{api}.CONSUMER.NAMES.{stream}"),
        Attempt(f"$JS.ACK.{stream}.kept.1.1.1.1.1", b"+TERM"),
        Attempt(f"$JS.FC.{stream}.flow"),
        Attempt(f"{api}.STREAM.PURGE.{stream}"),
        Attempt(f"{api}.STREAM.DELETE.{stream}"),
    ]


def attempts() -> list[Attempt]:
    """All that every user tries."""
    evil = json.dumps({"name": "EVIL", "subjects": ["evil.>"]}).encode()
    return [
        *(Attempt(f"{prefix}.probe") for prefix in PREFIXES),
        *(Attempt(f"operator.command.{verb.value}") for verb in Verb),
        *(Attempt(f"report.{service}") for service in (*SERVICES, CONSOLE)),
        *(Attempt(f"lockstep.report.{service}") for service in SERVICES),
        Attempt("lockstep.grant.risk"),
        Attempt("lockstep.poll"),
        Attempt(CLAIMS),
        *_api(TAPE),
        *_api(LEDGER),
        Attempt("$JS.API.STREAM.CREATE.EVIL", evil),
        Attempt("$JS.API.STREAM.RESTORE.EVIL", evil),
        Attempt("$JS.API.STREAM.LIST"),
        Attempt("$JS.API.STREAM.NAMES"),
        Attempt("$JS.API.INFO"),
        Attempt("$JS.API.ACCOUNT.PURGE.$G"),
        Attempt("$JS.API.META.LEADER.STEPDOWN"),
        Attempt("$JS.API.SERVER.REMOVE", b'{"peer":"presage"}'),
        Attempt("$KV.bucket.key", b"value"),
        Attempt("$O.bucket.C.x", b"value"),
        Attempt("$SYS.REQ.SERVER.PING"),
        Attempt("_INBOX_risk.forged.1", b'{"stream":"TAPE","seq":1}'),
        Attempt("_R_.x"),
    ]


def allowed(user: str, subject: str) -> bool:
    """What a user may publish, by the plan."""
    first = subject.partition(".")[0]
    if first in OWN_PREFIXES[user] or subject in READING or subject in EXTRA.get(user, ()):
        return True
    reports = subject == f"report.{user}" or (subject == f"lockstep.report.{user}" and user != "feed")
    return reports and user in SERVICES


@pytest.fixture
def broker(tmp_path: Path, broker_type: type[Broker]) -> Iterator[Broker]:
    broker = broker_type(tmp_path)
    broker.start()
    try:
        asyncio.run(broker.ready())
        yield broker
    finally:
        broker.kill()


def client(broker: Broker, user: str) -> RawClient:
    return RawClient(broker.port, user, broker.passwords[user])


async def seed(broker: Broker) -> None:
    """Messages worth protecting, and a consumer of somebody else on each stream."""
    async with client(broker, ADMIN) as admin:
        for number in range(SEEDED):
            admin.publish(f"{claims_of(broker)}.order.t-{number}-0", b"claim %d" % number)
        for stream in (TAPE, LEDGER):
            config = {"durable_name": "kept", "ack_policy": "explicit"}
            body = json.dumps({"stream_name": stream, "config": config}).encode()
            admin.publish(f"$JS.API.CONSUMER.CREATE.{stream}.kept", body)
        await admin.settle()
    await held(broker, TAPE, at_least=SEEDED)


async def held(broker: Broker, stream: str, at_least: int = 0) -> list[TapeRecord]:
    """Everything a stream holds, once it is ``at_least`` so much."""
    link = await open_link(broker.url, ADMIN, broker.passwords[ADMIN])
    try:
        async with asyncio.timeout(120):
            while (state := await stream_state(link.client, stream, timeout_s=60))["messages"] < at_least:
                await asyncio.sleep(0.01)
        reader = TapeReader(link, int(state["first_seq"]) - 1, stream)
        records: list[TapeRecord] = []
        async with asyncio.timeout(120):
            while len(records) < state["messages"]:
                records += await reader.next_batch(1.0)
        await reader.close()
        return records
    finally:
        await link.close()


async def api(broker: Broker, subject: str, body: bytes = b"") -> dict[str, object]:
    """An answer of the JetStream API to the administrator."""
    link = await open_link(broker.url, ADMIN, broker.passwords[ADMIN])
    try:
        answer: dict[str, object] = json.loads((await link.client.request(subject, body, timeout=60)).data)
        return answer
    finally:
        await link.close()


async def get_through(broker: Broker, user: str, tried: list[Attempt]) -> tuple[set[str], RawClient]:
    """Which subjects anybody could hear after ``user`` tried them all; with the client that tried."""
    async with client(broker, ADMIN) as ear:
        ear.subscribe(">")
        await ear.settle()
        async with client(broker, user) as attacker:
            for attempt in tried:
                attacker.publish(
                    attempt.subject.replace(CLAIMS, f"{claims_of(broker)}.claimed"), attempt.body
                )
            await attacker.settle()
        await ear.settle()
        heard = {subject.replace(f"{claims_of(broker)}.claimed", CLAIMS) for subject, _ in ear.messages}
        return heard & {attempt.subject for attempt in tried}, attacker


@pytest.mark.asyncio
async def test_every_user_gets_through_with_exactly_what_the_plan_grants(broker: Broker):
    await seed(broker)
    ledger_before = await held(broker, LEDGER)
    tried = attempts()
    cells = 0
    for user in ATTACKERS:
        # The ear hears what the broker let pass, and its silence about the rest is what counts.
        heard, attacker = await get_through(broker, user, tried)
        expected = {attempt.subject for attempt in tried if allowed(user, attempt.subject)}
        assert heard == expected, f"{user}: {sorted(heard ^ expected)}"
        assert len(attacker.errors) == len(tried) - len(expected), user
        cells += len(tried)
    assert cells >= 500

    assert sorted((await api(broker, "$JS.API.STREAM.NAMES"))["streams"]) == [LEDGER, TAPE]  # type: ignore[call-overload]
    for stream in (TAPE, LEDGER):
        assert (await api(broker, f"$JS.API.CONSUMER.INFO.{stream}.kept")).get("paused") is not True
        assert "error" not in await api(broker, f"$JS.API.CONSUMER.INFO.{stream}.kept")
    # In the ledger: what was there, and execution's own probe. On the tape: own probes of each, no more.
    ledger = await held(broker, LEDGER)
    assert ledger[: len(ledger_before)] == ledger_before
    assert [record.subject for record in ledger[len(ledger_before) :]] == ["ledger.claimed"]
    probes = sorted(
        record.subject for record in await held(broker, TAPE) if record.subject.endswith(".probe")
    )
    assert probes == sorted(f"{prefix}.probe" for prefix in PREFIXES if prefix != "ledger")


@pytest.mark.asyncio
async def test_with_a_wildcard_grant_the_same_attempts_do_their_harm(
    tmp_path: Path, broker_type: type[Broker], monkeypatch: pytest.MonkeyPatch
):
    granted = credentials.permissions_of

    def generous(user: str, claims: str, lease: str) -> Permissions:
        grants = granted(user, claims, lease)
        if user != "feed" or grants.publish is None:
            return grants
        return Permissions((*grants.publish, "$JS.API.>", "risk.>", f"{claims}.>"), grants.subscribe)

    monkeypatch.setattr(credentials, "permissions_of", generous)
    broker = broker_type(tmp_path)
    broker.start()
    try:
        await broker.ready()
        await seed(broker)
        heard, _ = await get_through(broker, "feed", attempts())
        assert {"risk.probe", CLAIMS, "$JS.API.STREAM.CREATE.EVIL"} <= heard
        # A stream of the attacker's own, and none of ours: it all was deleted. The broker does so in its own time.
        async with asyncio.timeout(PATIENCE_S):
            while (await api(broker, "$JS.API.STREAM.NAMES"))["streams"] != ["EVIL"]:
                await asyncio.sleep(POLL_S)
    finally:
        broker.kill()


@pytest.mark.asyncio
async def test_nobody_hears_more_than_the_plan_grants(broker: Broker):
    everything = [
        ">", "*", "*.>", *(f"{prefix}.>" for prefix in PREFIXES), "operator.command.halt", "report.>",
        "report.risk", "ledger.order.t-1-1", f"$JS.API.STREAM.DELETE.{LEDGER}", "lockstep.report.>", "lockstep.poll", "$JS.>", "$JS.API.>", "$SYS.>", "_INBOX.>", ">.x",
        *(f"_INBOX_{user}.>" for user in ATTACKERS), *(f"lockstep.grant.{service}" for service in SERVICES),
    ]  # fmt: skip
    for user in ATTACKERS:
        expected = {f"_INBOX_{user}.>"}
        if user in SERVICES:
            expected |= {f"lockstep.grant.{user}", "lockstep.poll"}
        expected |= {"lockstep.report.>"} if user == "feed" else set()
        expected |= {"operator.command.halt"} if user == "execution" else set()
        if user in ("monitor", OPERATOR, CONSOLE, VIEWER):
            expected |= {"report.>", "report.risk"}
        heard: set[str] = set()
        async with client(broker, user) as ear, client(broker, ADMIN) as admin:
            for number, subject in enumerate(everything, 1):
                ear.subscribe(subject, number)
            await ear.settle()
            for subject in everything:
                if subject in (">", "*", "*.>", ">.x") or subject.startswith("$JS.API.STREAM.DELETE"):
                    continue  # nothing of its own to hear, or nothing that may be said
                probe = subject.replace(">", "heard")
                admin.publish(probe, subject.encode())
            await admin.settle()
            await ear.settle()
            heard = {payload.decode() for _, payload in ear.messages if payload.decode() in everything}
        assert heard == expected, f"{user}: {sorted(heard ^ expected)}"


# --- reply subjects: the broker does not check them against the permissions -------------------------

VICTIMS = (
    "risk.approval.t-9999-0",
    "ledger.order.t-9999-0",
    "operator.command.resume",
    "venue.fill.t-9999-0",
    f"$JS.API.STREAM.DELETE.{LEDGER}",
    f"$JS.API.STREAM.DELETE.{TAPE}",
    f"$JS.API.STREAM.PURGE.{TAPE}",
    f"$JS.API.STREAM.MSG.DELETE.{TAPE}",
    f"$JS.ACK.{TAPE}.kept.1.1.1.1.1",
)


async def inject(broker: Broker, user: str) -> None:
    """Rows 1 to 6: everything that makes the broker answer, with somebody else's subject as the reply."""
    poison = b"chosen by the attacker"
    async with client(broker, user) as attacker:
        for victim in VICTIMS:
            attacker.publish(f"{user}.probe", poison, reply=victim)
            attacker.publish(f"{user}.probe", b"", reply=victim)
            attacker.publish(f"$JS.API.CONSUMER.MSG.NEXT.{TAPE}.kept", b"", reply=victim)
            attacker.publish(f"$JS.API.DIRECT.GET.{TAPE}", b'{"seq":1}', reply=victim)
            attacker.publish(f"$JS.API.STREAM.INFO.{TAPE}", b"", reply=victim)
            attacker.publish(f"$JS.API.STREAM.MSG.GET.{LEDGER}", b'{"seq":1}', reply=victim)
            attacker.publish(
                f"$JS.API.CONSUMER.CREATE.{TAPE}",
                json.dumps(
                    {
                        "stream_name": TAPE,
                        "config": {
                            "deliver_subject": f"_INBOX_{user}.1",
                            "ack_policy": "none",
                            "description": poison.decode(),
                            "metadata": {"order": "t-9999-0"},
                            "inactive_threshold": 1_000_000_000,
                        },
                    }
                ).encode(),
                reply=victim,
            )
        await attacker.settle()


@pytest.mark.asyncio
async def test_what_the_broker_can_be_made_to_write_elsewhere_is_nobody_s_message(broker: Broker):
    await seed(broker)
    before = await held(broker, LEDGER)
    for user in NON_RISK:
        await inject(broker, user)
    assert sorted((await api(broker, "$JS.API.STREAM.NAMES"))["streams"]) == [LEDGER, TAPE]  # type: ignore[call-overload]
    ledger = await held(broker, LEDGER)
    assert ledger == before
    tape = await held(broker, TAPE, at_least=len(ledger))
    assert [record.seq for record in tape] == list(range(1, len(tape) + 1)), "something was purged or deleted"
    landed = [record for record in tape if "9999" in record.subject or record.subject.startswith("operator.")]
    # On the tape the leak is real and this is all of it: the broker's own JSON, unsigned, that no message reads as.
    assert {record.subject for record in landed} == {v for v in VICTIMS if not v.startswith(("$", "ledger."))}
    for record in landed:
        assert record.payload.startswith(b"{"), record
        assert SIGNATURE_HEADER not in record.headers
        assert not record.message_id
        with pytest.raises(Unreadable):
            decode(record.subject, record.payload)


@pytest.mark.asyncio
async def test_a_push_consumer_delivers_nothing_into_a_stream_or_the_api(broker: Broker):
    await seed(broker)
    targets = (
        "risk.approval.t-1-1", "ledger.order.t-1-1", "operator.command.resume", "venue.fill.t-1-1",
        f"$JS.API.STREAM.DELETE.{LEDGER}", f"$JS.API.STREAM.PURGE.{TAPE}", "ledger.>",
    )  # fmt: skip
    for user in SERVICES:
        async with client(broker, user) as attacker:
            # An empty message is what the API takes for a request to delete or purge.
            attacker.publish(f"{user}.empty", b"")
            attacker.subscribe(f"_INBOX_{user}.allowed")
            for target in (*targets, f"_INBOX_{user}.allowed"):
                config = {"deliver_subject": target, "deliver_policy": "all", "ack_policy": "none"}
                body = json.dumps({"stream_name": TAPE, "config": config | HEARTBEAT}).encode()
                attacker.publish(f"$JS.API.CONSUMER.CREATE.{TAPE}", body)
            async with asyncio.timeout(120):
                # The control: the same consumer on the own inbox gets everything up to the empty message.
                while (f"{user}.empty", b"") not in attacker.messages:
                    await attacker.settle()
    tape, ledger = await held(broker, TAPE), await held(broker, LEDGER)
    assert [record.seq for record in tape] == list(range(1, len(tape) + 1))
    assert len(ledger) == SEEDED
    assert len(tape) == SEEDED + len(SERVICES)
    assert not [record for record in tape if record.subject in targets]


@pytest.mark.asyncio
async def test_only_the_subscribe_grants_keep_a_push_consumer_out_of_the_api(broker: Broker):
    """Delivery needs somebody who subscribes to literally that subject: the reason for the test above."""
    await seed(broker)
    deleting = f"$JS.API.STREAM.DELETE.{LEDGER}"
    async with client(broker, "feed") as attacker, client(broker, ADMIN) as careless:
        attacker.subscribe(deleting)
        await attacker.settle()
        assert "Subscription" in attacker.errors[0]
        careless.subscribe(deleting)
        await careless.settle()
        attacker.publish("feed.empty", b"")
        config = {"deliver_subject": deleting, "deliver_policy": "all", "ack_policy": "none"} | HEARTBEAT
        body = json.dumps({"stream_name": TAPE, "config": config}).encode()
        attacker.publish(f"$JS.API.CONSUMER.CREATE.{TAPE}", body)
        await attacker.settle()
        async with asyncio.timeout(120):
            while (await api(broker, "$JS.API.STREAM.NAMES"))["streams"] != [TAPE]:
                await careless.settle()


@pytest.mark.asyncio
async def test_the_reader_takes_what_no_decent_client_would_write(broker: Broker):
    """Each of these alone would stop nats-py's read loop, or the reader, for good."""
    blocks = [
        b"garbage",
        b"NATS/1.0\r\n\r\n",
        b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: x\r\n\r\n",
        b"NATS/1.0\r\nStatus: 100\r\n\r\n",
        b"NATS/1.0 \xff\xfe\r\n\r\n",
        b"NATS/1.0 503\r\n\r\n",
        b"NATS/1.0\r\nno colon\r\n: no name\r\n\xff: x\r\n\r\n",
        b"NATS/1.0\r\nNats-Msg-Id: \xff\r\ncause: \xff\r\n\r\n",
        b"NATS/1.0\r\ncause: " + b"9" * 6_000 + b"\r\nroot: " + b"9" * 6_000 + b"\r\n\r\n",
        b"NATS/1.0\r\nNats-Schedule: @every 1s\r\nNats-Schedule-Target: risk.approval.x\r\n\r\n",
        b"NATS/1.0\r\nNats-Rollup: all\r\n\r\n",
    ]
    names = [
        b"feed.\xff\xfe",
        b"feed.a\x0cb",
        b"feed.a\x0bb",
        b"feed.\x00",
        b"feed.\x1b[2J",
        b"feed." + b"x" * 3_000,
    ]
    async with client(broker, "feed") as attacker:
        for block in blocks:
            attacker.publish("feed.headers", b"p", headers=block)
        for name in names:
            attacker.publish(name, b"p")
        attacker.publish("feed.last", b"p")
        await attacker.settle()
    # The stream refuses the schedule and the roll-up; everything else is stored, and read, in order.
    tape = await held(broker, TAPE, at_least=len(blocks) - 2 + len(names) + 1)
    assert tape[-1].subject == "feed.last"
    assert [record.seq for record in tape] == list(range(1, len(tape) + 1))
    assert all(isinstance(record.cause + record.root, int) for record in tape)


@pytest.mark.asyncio
async def test_the_feed_counts_on_from_its_own_last_word_whoever_wrote_after_it(broker: Broker):
    link = await open_link(broker.url, "feed", broker.passwords["feed"])
    try:
        publisher = FeedPublisher(link, "t", "test")
        await publisher.start()
        for counter in range(1, 4):
            await publisher.publish_stored(Quote(instrument="i", at=1, counter=counter))
        async with client(broker, "signal") as injector, client(broker, "feed") as forger:
            injector.publish(f"$JS.API.STREAM.INFO.{TAPE}", b"", reply="feed.quote.i")
            await injector.settle()
            for name in (f"t:feed:{10**17}:0", "t:risk:9:0", f"t:feed:{'9' * 5_000}:0", "", "x"):
                forger.publish("feed.quote.i", b"", headers=headers(Nats_Msg_Id=name))
            await forger.settle()
        await held(broker, TAPE, at_least=9)
        again = FeedPublisher(link, "t", "test")
        await again.start()
        assert again.counter == 3
        other_tape = FeedPublisher(link, "te1", "test")
        await other_tape.start()
        assert other_tape.counter == 0
    finally:
        await link.close()
