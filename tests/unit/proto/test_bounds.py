"""What is made can be read again: bounds hold where a message is made, for every message there is."""

import types
import typing
from enum import Enum
from typing import Annotated, Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from libs.contract.codec import Unreadable, decode, encode
from proto import feed
from proto.feed import Book, FeeSchedule, Market, MarketStatus, Quote, book_of, quote_of
from proto.ids import natural_key
from proto.message import (
    INTEGER_MAX,
    NAME_CHARACTERS_MAX,
    PAYLOAD_BYTES_MAX,
    ROWS_MAX,
    Message,
    as_integer,
    as_name,
    as_text,
)
from proto.operator import Config
from proto.risk import Rejection
from proto.subjects import TABLE
from proto.units import AMOUNT_MAX, MOMENT_MAX, as_money, as_quantity, later
from tests.support.samples import SAMPLES
from tests.support.strategies import bounds_of, fields_of, messages

MODELS = [row.model for row in TABLE]
by_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
WIDE = "\U0001f4c8"
"""A character of four bytes."""


class Edge(NamedTuple):
    """The largest value a type allows, and values just beyond its bounds."""

    largest: Any
    beyond: tuple[Any, ...]


def edge_of(annotation: Any) -> Edge:
    """The edge of an annotation; of a union, that of its first member."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return plain_edge(arguments[0], bounds_of(arguments[1:]))
    if origin in (typing.Union, types.UnionType):
        return edge_of(arguments[0])
    return plain_edge(annotation, {})


def plain_edge(kind: Any, bounds: dict[str, Any]) -> Edge:
    if typing.get_origin(kind) is tuple:
        row = edge_of(typing.get_args(kind)[0]).largest
        return Edge((row,) * ROWS_MAX, ((row,) * (ROWS_MAX + 1), ((),), "x"))
    if typing.get_origin(kind) is dict:
        return Edge(
            {WIDE: [1, None, 0.5]}, ({"x": 2**64}, {"x": "x" * PAYLOAD_BYTES_MAX}, {1: 2}, {"x": {1}})
        )
    if kind is int:
        return Edge(bounds["le"], (bounds["le"] + 1, bounds["ge"] - 1, 1.0, True, "1"))
    if kind is bool:
        return Edge(True, (1, "true"))
    if kind is bytes:
        return Edge(b"\xff" * bounds["max_length"], (b"\xff" * (bounds["max_length"] + 1), "x"))
    if kind is str:
        longest = bounds["max_length"]
        too_short = ("",) if bounds.get("min_length") else ()
        return Edge(WIDE * longest, ("x" * (longest + 1), "\ud800", b"x", *too_short))
    if issubclass(kind, Enum):
        return Edge(list(kind)[-1], ("no such word", b"x", 0))
    return Edge({name: edge_of(part).largest for name, part in fields_of(kind).items()}, (7, "x"))


def largest(model: type[Message]) -> dict[str, Any]:
    values = {name: edge_of(part).largest for name, part in fields_of(model).items()}
    return {name: rows_of(value) for name, value in values.items()}


def rows_of(value: Any) -> Any:
    """Rows as the wire has them: without the names of their fields."""
    if isinstance(value, tuple) and value and isinstance(value[0], dict):
        return tuple(tuple(row.values()) for row in value)
    return value


@by_model
def test_the_largest_message_of_all_is_read_again(model: type[Message]):
    message = model(**largest(model))
    payload = encode(message)
    assert len(payload) <= PAYLOAD_BYTES_MAX
    assert decode(message.subject(), payload) == message


@by_model
def test_a_value_beyond_its_bound_is_refused_where_the_message_is_made(model: type[Message]):
    values = largest(model)
    for name, part in fields_of(model).items():
        for beyond in edge_of(part).beyond:
            with pytest.raises(ValidationError):
                model(**{**values, name: beyond})
            with pytest.raises(ValidationError):
                model(**values).replace(**{name: beyond})


@by_model
@settings(max_examples=30)
@given(data=st.data())
def test_equal_messages_have_equal_bytes(model: type[Message], data: st.DataObject):
    """Whichever way they were made: every field given, defaults left out, or read."""
    message = data.draw(messages(model))
    for other in (
        model(**message.__dict__),
        model(**message.wire_fields()),
        decode(message.subject(), encode(message)),
        message.replace(),
    ):
        assert other == message
        assert encode(other) == encode(message)


def test_a_market_without_fees_has_one_form():
    market = Market(market="kalshi:A", venue="kalshi", at=1, status=MarketStatus.OPEN)
    said = market.replace(fees=FeeSchedule(model="none"))
    assert said == market
    assert encode(said) == encode(market)


@given(messages(Quote), messages(Book))
def test_what_is_made_without_checks_is_the_same_message(quote: Message, book: Message):
    for message, make in ((quote, quote_of), (book, book_of)):
        assert make(**message.__dict__) == message
        assert make(**message.wire_fields()).replace() == message
        assert encode(make(**message.wire_fields())) == encode(message)
    assert feed.to_levels([(1, 2)]) == (feed.Level(1, 2),)


@given(st.integers(), st.integers(), st.text(st.characters()))
def test_computed_values_are_brought_within_bounds(value: int, other: int, text: str):
    assert 0 <= as_quantity(value) <= AMOUNT_MAX
    assert abs(as_money(value)) <= AMOUNT_MAX
    assert -INTEGER_MAX - 1 <= as_integer(value) <= INTEGER_MAX
    assert later(value, other) == min(value + other, MOMENT_MAX)
    assert as_text(text) == as_text(as_text(text))
    assert 1 <= len(as_name(text)) <= NAME_CHARACTERS_MAX
    Config(section="x", document={}, nonce=as_name(text), expires_at=0)


@given(st.lists(st.text("ab:", min_size=1, max_size=90), min_size=1, max_size=4), st.sampled_from(["x", "y"]))
def test_keys_of_facts_fit_a_name_and_stay_apart(parts: list[str], last: str):
    key = natural_key(*parts, last)
    assert len(key) <= NAME_CHARACTERS_MAX
    assert key != natural_key(*parts, last + "z")


BAD = {
    "twice": b"\x82\xa2at\x01\xa2at\x02",
    "twice within": b"\x81\xa1x\x82\xa1a\x01\xa1a\x02",
    "bytes for a key": b"\x81\xc4\x02at\x01",
    "a number for a key": b"\x82\xa2at\x01\x05\x05",
    "more behind": b"\x81\xa2at\x01\x00",
    "no text": b"\x82\xa2at\x01\xa1x\xa2\xff\xfe",
    "too large": b"\x81\xa2at\xcf" + b"\xff" * 8,
    "an extension": b"\x82\xa2at\x01\xa1x\xd4\x05\x01",
    "a list": b"\x91\x01",
    "nothing": b"",
}


@pytest.mark.parametrize("payload", BAD.values(), ids=BAD)
def test_what_is_no_message_is_refused_with_a_reason(payload: bytes):
    with pytest.raises(Unreadable, match=r"FeedClock: .{8,}"):
        decode("feed.clock", payload)


def test_a_row_may_be_longer_than_we_know_or_shorter_by_its_defaults():
    check = risk_row(["spread", 1, 2, False, "later"])
    assert check == ("spread", 1, 2, False)
    assert risk_row(["spread", 1, 2]).passed
    with pytest.raises(ValidationError):
        risk_row(["spread", 1])


def risk_row(row: list[Any]) -> Any:
    (sample,) = [sample for sample in SAMPLES if isinstance(sample, Rejection)]
    return sample.replace(failed=[row]).failed[0]
