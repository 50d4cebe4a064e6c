"""Facts of a shell keep their order, also when the first attempt fails: else readers drop the retried ones."""

import asyncio
from pathlib import Path
from typing import Any

from libs.keys.signing import Verifier
from libs.machine.host_state import Fact, HostSettings, HostState
from libs.machine.input_gate import InputGate
from libs.machine.outbox import Outbox
from libs.tape.connection import Link
from libs.tape.errors import BrokerUnavailable
from libs.tape.publisher import Stored
from libs.tape.record import ID_HEADER, TapeRecord
from proto.execution import Unclaimed
from proto.message import Message
from proto.service import Started
from proto.venue import Ack, AckStatus


class Flaky:
    """A publisher whose every third attempt is lost, and that takes its time."""

    def __init__(self) -> None:
        self.attempts = 0
        self.stored: list[tuple[str, str, bytes]] = []

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> Stored:
        self.attempts = attempt = self.attempts + 1
        await asyncio.sleep(0)
        if attempt % 3 == 1:
            raise BrokerUnavailable("expected an answer, was none")
        self.stored.append((headers[ID_HEADER], subject, payload))
        return Stored(seq=len(self.stored))


def told(messages: list[Message], monkeypatch: Any) -> Flaky:
    """Tell all of them at once."""
    monkeypatch.setattr("libs.machine.outbox.RETRY_WAIT_S", 0.0)
    publisher = Flaky()
    settings = HostSettings("execution", "t1", Path(), "b")

    async def nothing() -> None:
        pass

    outbox = Outbox(
        settings,
        HostState(),
        Link("execution"),
        publisher,
        None,
        runners=list,
        position=lambda: 40,
        acknowledged=nothing,
    )

    async def tell() -> None:
        await asyncio.gather(*(outbox.publish_fact(Fact(message)) for message in messages))

    asyncio.run(tell())
    return publisher


def test_facts_told_at_once_are_stored_in_order_and_all_are_read(monkeypatch):
    messages: list[Message] = [
        kind
        for n in range(10)
        for kind in (
            Ack(order=f"t1-{n}-0", status=AckStatus.ACCEPTED),
            Unclaimed(order=f"t1-{n}-1", reason="halted"),
        )
    ]
    publisher = told(messages, monkeypatch)
    assert [subject for _, subject, _ in publisher.stored] == [message.subject() for message in messages]
    input_gate = InputGate(Verifier({}))
    for seq, (message_id, subject, payload) in enumerate(publisher.stored, start=41):
        record = TapeRecord(seq, subject, {ID_HEADER: message_id}, payload, 0)
        assert input_gate.accept(record, messages[seq - 41]) is not None


def test_each_fact_speaks_in_the_name_of_its_subject(monkeypatch):
    started = Started(service="execution", machine="paper", build="b", version=2, from_seq=1)
    messages = [Ack(order="o", status=AckStatus.ACCEPTED), Unclaimed(order="o", reason="x"), started]
    producers = [message_id.split(":")[1] for message_id, _, _ in told(messages, monkeypatch).stored]
    assert producers == ["venue-shell", "execution-shell", "execution-shell"]
