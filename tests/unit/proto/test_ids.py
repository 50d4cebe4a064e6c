"""Ids carry their origin and are read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proto.ids import MessageId, order_id, parse_message_id
from proto.message import token

names = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12)
numbers = st.integers(0, 10**18 - 1)


@given(names, names, numbers, numbers)
def test_a_message_id_is_read_back(tape: str, producer: str, cause: int, index: int):
    message_id = MessageId(tape, producer, cause, index)
    assert parse_message_id(str(message_id)) == message_id


@pytest.mark.parametrize(
    "text",
    [
        "", ":::", "t1:risk:1", "t1:risk:1:2:3", "t1:risk:-1:0", "t1:risk:1:-0", "t1:risk:1.0:0", "t1:risk:+1:0",
        "t1:risk: 1:0", "t1:risk:x:0", "t1:risk:1:", "halt-8a6f",
        "t1:risk:1000000000000000000:0", "t1:risk:" + "9" * 5_000 + ":0", "t1:risk:٣:0", "t1:risk:²:0",
    ],
)  # fmt: skip
def test_anything_else_is_no_message_id(text: str):
    assert parse_message_id(text) is None


@given(st.tuples(numbers, numbers), st.tuples(numbers, numbers))
def test_order_ids_of_a_tape_differ_when_their_decisions_differ(
    first: tuple[int, int], second: tuple[int, int]
):
    assert (order_id("t1", *first) == order_id("t1", *second)) == (first == second)


@given(names, numbers, numbers)
def test_an_order_id_is_one_subject_token_as_it_is(tape: str, cause: int, index: int):
    order = order_id(tape, cause, index)
    assert token(order) == order
    assert order.partition("-")[0] == tape
