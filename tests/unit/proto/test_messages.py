"""Messages: through bytes and back, no floats, and bytes that do not change unnoticed."""

import contextlib
import typing
from collections.abc import Hashable
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from libs.contract.codec import Unreadable, decode, encode
from proto.feed import FeedClock, Quote
from proto.message import PAYLOAD_BYTES_MAX, Message
from proto.operator import Prices, Session
from proto.subjects import TABLE
from tests.support.samples import SAMPLES
from tests.support.strategies import fields_of, messages

MODELS = [row.model for row in TABLE]
by_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
by_sample = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
quick = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def annotated_types(annotation: typing.Any, seen: set[typing.Any]) -> set[typing.Any]:
    """Every type an annotation is built from, through Structs, unions and containers."""
    if annotation in seen:
        return seen
    seen.add(annotation)
    for part in typing.get_args(annotation):
        if isinstance(part, Hashable):
            annotated_types(part, seen)
    if isinstance(annotation, type) and (hasattr(annotation, "_fields") or issubclass(annotation, BaseModel)):
        for field in fields_of(annotation).values():
            annotated_types(field, seen)
    return seen


class Inner(NamedTuple):
    rate: float | None


class Outer(BaseModel):
    parts: tuple[Inner, ...]


@by_model
@quick
@given(data=st.data())
def test_a_message_is_what_its_bytes_say(model: type[Message], data: st.DataObject):
    message = data.draw(messages(model))
    payload = encode(message)
    read = decode(message.subject(), payload)
    assert read == message
    assert type(read) is model
    assert encode(read) == payload


@by_model
def test_samples_set_every_field(model: type[Message]):
    """Else the golden corpus would not show a field whose encoding changed."""
    samples = [sample for sample in SAMPLES if type(sample) is model]
    for name, field in model.model_fields.items():
        assert any(field.is_required() or getattr(sample, name) != field.default for sample in samples), name


@by_sample
def test_messages_are_frozen(sample: Message):
    with pytest.raises(ValidationError, match="frozen"):
        setattr(sample, next(iter(type(sample).model_fields)), "changed")


@by_model
def test_no_float_in_the_contract(model: type[Message]):
    assert float not in annotated_types(model, set())


def test_the_search_for_floats_finds_one():
    assert float in annotated_types(Outer, set())


def test_a_number_with_a_decimal_point_is_refused_where_an_amount_belongs():
    payload = msgspec.msgpack.encode({"instrument": "x", "at": 1, "counter": 1, "bid": 0.45})
    with pytest.raises(Unreadable, match="int"):
        decode("feed.quote.x", payload)


def test_defaults_are_left_out_and_unknown_fields_are_ignored():
    assert msgspec.msgpack.decode(encode(Quote(instrument="x", at=1, counter=2))) == {
        "instrument": "x",
        "at": 1,
        "counter": 2,
    }
    newer = msgspec.msgpack.encode({"at": 5, "added_later": [1, {"a": 2}]})
    assert decode("feed.clock", newer) == FeedClock(at=5)


def test_a_session_from_before_prices_were_told_keeps_its_bytes():
    sample = next(sample for sample in SAMPLES if isinstance(sample, Session))
    fields = msgspec.msgpack.decode(encode(sample))
    del fields["prices"]
    old = msgspec.msgpack.encode(fields)
    session = decode(sample.subject(), old)
    assert isinstance(session, Session)
    assert session.prices is Prices.UNKNOWN
    assert encode(session) == old


def test_a_payload_on_the_subject_of_another_instrument_is_refused():
    quote = Quote(instrument="kalshi:A:yes", at=1, counter=1)
    with pytest.raises(Unreadable, match=r"expected subject 'feed\.quote\.kalshi:A:yes'"):
        decode("feed.quote.kalshi:B:yes", encode(quote))


def test_an_oversized_payload_is_refused_unread():
    with pytest.raises(Unreadable, match=f"at most {PAYLOAD_BYTES_MAX} bytes"):
        decode("feed.clock", b"\x00" * (PAYLOAD_BYTES_MAX + 1))


@by_sample
@quick
@given(data=st.data())
def test_damaged_bytes_are_read_or_refused_and_nothing_else(sample: Message, data: st.DataObject):
    payload = bytearray(encode(sample))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(payload[: data.draw(st.integers(0, len(payload)))])
    try:
        message = decode(sample.subject(), damaged)
    except Unreadable:
        return
    assert type(message) is type(sample)
    assert message.subject() == sample.subject()


@quick
@given(subject=st.sampled_from([sample.subject() for sample in SAMPLES]), payload=st.binary(max_size=200))
def test_noise_raises_nothing_else(subject: str, payload: bytes):
    with contextlib.suppress(Unreadable):
        decode(subject, payload)


def corpus() -> str:
    """Subject, payload in hex: a line a message."""
    return "".join(f"{sample.subject()} {encode(sample).hex()}\n" for sample in SAMPLES)


def test_the_bytes_are_the_golden_ones(root: Path):
    """A difference means that an old tape no longer replays to the same bytes.

    Adding a field with a default, or a new message, adds to the corpus and changes no other line:
    ``python -m tests.unit.proto.test_messages`` writes it anew. A changed line needs a migration.
    """
    assert corpus().splitlines() == (root / "tests/golden/messages.txt").read_text().splitlines()


def test_the_golden_bytes_are_still_read(root: Path):
    lines = (root / "tests/golden/messages.txt").read_text().splitlines()
    assert [decode(subject, bytes.fromhex(payload)) for subject, payload in map(str.split, lines)] == [
        *SAMPLES
    ]


if __name__ == "__main__":
    Path("tests/golden/messages.txt").write_text(corpus())
