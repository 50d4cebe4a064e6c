"""Whatever the bytes, decoding says ``Unreadable`` or gives a message that is what it says it is."""

import random
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contract.codec import Unreadable, decode, encode
from libs.contract.plain import to_document
from proto.message import PAYLOAD_BYTES_MAX, Message
from proto.subjects import TABLE
from tests.support.samples import SAMPLES
from tests.support.strategies import messages

UNPACKER_STACK = 1_023
"""Containers below the outermost map for which msgpack's unpacker has room: its stack has 1,024 places."""
MODELS = [row.model for row in TABLE]
SUBJECTS = st.one_of(
    st.sampled_from([sample.subject() for sample in SAMPLES]),
    st.sampled_from([row.kind for row in TABLE]).flatmap(
        lambda kind: st.text(max_size=40).map(lambda t: f"{kind}.{t}")
    ),
    st.text(max_size=60),
)


def reads_or_refuses(subject: str, payload: bytes) -> Message | None:
    """The message, or ``None`` for an unreadable one; anything else is an error of the test."""
    message: Message | None = None
    refusal = ""
    try:
        message = decode(subject, payload)
    except Unreadable as e:
        refusal = str(e)
    if message is None:
        assert 0 < len(refusal) <= 500
        return None
    assert message.subject() == subject
    assert decode(subject, encode(message)) == message
    return message


@given(SUBJECTS, st.binary(max_size=200))
def test_any_bytes(subject: str, payload: bytes):
    reads_or_refuses(subject, payload)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(SUBJECTS, ANYTHING)
def test_any_structure(subject: str, thing: object):
    reads_or_refuses(subject, msgspec.msgpack.encode(thing))


@given(st.sampled_from(SAMPLES), st.data())
def test_a_message_with_any_field_changed_to_anything(sample: Message, data: st.DataObject):
    fields = to_document(sample)
    name = data.draw(st.sampled_from(sorted(fields)) | st.text(max_size=8))
    fields[name] = data.draw(ANYTHING)
    reads_or_refuses(sample.subject(), msgspec.msgpack.encode(fields))


@given(st.sampled_from(MODELS).flatmap(messages))
def test_every_valid_message_is_read_back(message: Message):
    payload = encode(message)
    assert decode(message.subject(), payload) == message
    assert encode(decode(message.subject(), payload)) == payload


def test_thousands_of_torn_and_flipped_payloads(count: Callable[[int, int], int]):
    draw = random.Random(7)
    read = refused = 0
    for _ in range(count(5_000, 200_000)):
        sample = draw.choice(SAMPLES)
        payload = bytearray(encode(sample))
        for _ in range(draw.randint(0, 4)):
            payload[draw.randrange(len(payload))] = draw.randrange(256)
        torn = bytes(payload[: draw.randint(0, len(payload))]) if draw.random() < 0.5 else bytes(payload)
        if reads_or_refuses(sample.subject(), torn) is None:
            refused += 1
        else:
            read += 1
    assert read
    assert refused > read


@pytest.mark.parametrize(
    "payload",
    [
        b"\x91" * 100_000 + b"\xc0",
        b"\x81\xa1a" * 80_000 + b"\xc0",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc7\x0c\xff" + b"\xff" * 12,
        b"\x00" * (PAYLOAD_BYTES_MAX + 1),
        b"\x81\xa8document" + b"\x81\xa1a" * 60_000 + b"\xc0",
    ],
    ids=["lists", "maps", "long list", "long map", "long text", "long bytes", "timestamp", "large", "any"],
)
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.kind)
def test_deep_huge_and_lying_lengths(sample: Message, payload: bytes):
    assert reads_or_refuses(sample.subject(), payload) is None


@given(st.integers(1, 1_500), st.booleans(), st.integers(0, 400))
def test_the_verdict_on_deep_nesting_does_not_depend_on_the_caller_s_stack(
    depth: int, lists: bool, frames: int
):
    sample = SAMPLES[0]
    fields = encode(sample)
    assert fields[0] >> 4 == 8, "a small map"
    nested = (b"\x91" if lists else b"\x81\xa1a") * depth + b"\xc0"
    payload = bytes([fields[0] + 1]) + fields[1:] + b"\xa1z" + nested

    def verdict(left: int) -> bool:
        if left:
            return verdict(left - 1)
        return reads_or_refuses(sample.subject(), payload) is not None

    assert verdict(frames) == verdict(0)
    assert verdict(0) == (depth <= UNPACKER_STACK)
