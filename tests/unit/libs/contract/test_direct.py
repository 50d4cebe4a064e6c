"""The reader that unpacks and checks at once lets through what the model does, and makes the same of it."""

import random
from collections.abc import Callable
from typing import TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contract.codec import Unreadable, decode_by_model, encode
from libs.contract.direct import reader_of
from libs.contract.plain import encode_state, to_document
from proto.feed import Book, FeedClock, Level, Market, Quote, Trade, to_levels
from proto.message import INTEGER_MAX, NAME_CHARACTERS_MAX, ROWS_MAX, TEXT_CHARACTERS_MAX, Message
from proto.operator import Config
from proto.risk import Approval, Check
from proto.subjects import TABLE
from proto.units import AMOUNT_MAX
from tests.support.samples import SAMPLES
from tests.support.strategies import messages

Made = TypeVar("Made", bound=Message)
READERS = {row.model: read for row in TABLE if (read := reader_of(row.model)) is not None}
READ = [sample for sample in SAMPLES if type(sample) in READERS]
EDGES: st.SearchStrategy[object] = st.sampled_from(
    [
        *(-1, 0, 1, AMOUNT_MAX, AMOUNT_MAX + 1, -AMOUNT_MAX, -AMOUNT_MAX - 1),
        *(INTEGER_MAX, INTEGER_MAX + 1, -INTEGER_MAX - 1, 2**64 - 1, 0.0, 1.0, 1.5),
        *(True, False, None, "", b"", b"buy", "buy", [], {}, [[]], [[1]], [[1, 2]], [[1, 2, 3]], [[1, -1]]),
        *("x" * NAME_CHARACTERS_MAX, "x" * (NAME_CHARACTERS_MAX + 1), "ä" * NAME_CHARACTERS_MAX),
        *("x" * TEXT_CHARACTERS_MAX, "x" * (TEXT_CHARACTERS_MAX + 1)),
        *([[1, 2]] * ROWS_MAX, [[1, 2]] * (ROWS_MAX + 1), [[1, AMOUNT_MAX + 1]], [["a", 1, 2]], [["", 1, 2]]),
        *([["a", 1, 2, False]], [["a", 1, 2, False, 9]], [["a", 1, 2**63]]),
    ]
)


def read_direct(model: type[Made], payload: bytes) -> Made:
    """What the reader makes of a payload that it can read."""
    read = reader_of(model)
    assert read is not None
    found = read(payload)
    assert found is not None
    return found


def reads_the_same(model: type[Message], payload: bytes) -> bool:
    """Whether the reader read it; then the model reads it too, to the same bytes and the same types."""
    found = READERS[model](payload)
    if found is None:
        return False
    expected = decode_by_model(model, payload)
    assert found == expected
    assert list(found.__dict__) == list(expected.__dict__), "the order of fields"
    for name, value in expected.__dict__.items():
        assert isinstance(found.__dict__[name], type(value))
    assert encode(found) == encode(expected)
    assert encode_state(found) == encode_state(expected)
    return True


@given(st.sampled_from(sorted(READERS, key=lambda model: model.kind)).flatmap(messages))
def test_every_message_is_read_without_asking_the_model(message: Message):
    assert reads_the_same(type(message), encode(message))


@given(st.sampled_from(READ), st.data())
def test_a_field_at_or_beyond_its_edge(sample: Message, data: st.DataObject):
    fields = to_document(sample)
    for _ in range(data.draw(st.integers(1, 2))):
        fields[data.draw(st.sampled_from(sorted(fields)) | st.just("unknown"))] = data.draw(EDGES)
    reads_the_same(type(sample), msgspec.msgpack.encode(fields))


@pytest.mark.parametrize("model", [Quote, Book, Trade, FeedClock, Approval])
def test_what_most_of_a_tape_is_needs_no_model(model: type[Message]):
    assert model in READERS


@pytest.mark.parametrize("model", [Market, Config])
def test_what_holds_a_map_is_left_to_the_model(model: type[Message]):
    assert model not in READERS


def test_a_book_beyond_its_bounds_is_refused_whoever_read_levels_before():
    msgspec.msgpack.decode(b"\x91\x92\x01\x02", type=tuple[Level, ...])
    book = Book(instrument="kalshi:A:yes", at=1, counter=1, bids=to_levels([(1, 2)]))
    assert reads_the_same(Book, encode(book))
    for level in ((1, AMOUNT_MAX + 1), (-1, 1)):
        payload = msgspec.msgpack.encode(to_document(book) | {"bids": [level]})
        assert READERS[Book](payload) is None
        with pytest.raises(Unreadable, match="bids"):
            decode_by_model(Book, payload)


def test_rows_are_of_their_class():
    book = Book(instrument="kalshi:A:yes", at=1, counter=1, bids=to_levels([(1, 2)]))
    (level,) = read_direct(Book, encode(book)).bids
    assert isinstance(level, Level)
    assert repr(level) == repr(Level(1, 2))
    approval = next(sample for sample in SAMPLES if isinstance(sample, Approval))
    assert all(isinstance(check, Check) for check in read_direct(Approval, encode(approval)).checks)


@pytest.mark.parametrize(
    "payload",
    [
        b"\x84\xaainstrument\xa1a\xa2at\x01\xa7counter\x01\xa2at\x02",
        b"\x83\xaainstrument\xa1a\xa2at\x01\xa7counter\x01\x00",
        b"\x83\xaainstrument\xa1\xff\xa2at\x01\xa7counter\x01",
        b"\x83\xc4\x0ainstrument\xa1a\xa2at\x01\xa7counter\x01",
        b"\xdf\x00\x00\x00\x03\xaainstrument\xa1a\xa2at\x01\xa7counter\x01",
        b"",
    ],
    ids=["a field twice", "more behind it", "no text", "a name of bytes", "a wide map", "nothing"],
)
def test_what_is_not_plainly_right_is_left_to_the_model(payload: bytes):
    assert READERS[Quote](payload) is None


def test_thousands_of_torn_and_flipped_payloads(count: Callable[[int, int], int]):
    draw = random.Random(11)
    read = 0
    for _ in range(count(4_000, 400_000)):
        sample = draw.choice(READ)
        payload = bytearray(encode(sample))
        for _ in range(draw.randint(1, 3)):
            payload[draw.randrange(len(payload))] = draw.randrange(256)
        read += reads_the_same(type(sample), bytes(payload))
    assert read
