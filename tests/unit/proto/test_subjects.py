"""The table of subjects is complete and unambiguous, and names survive in subjects."""

import re
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from proto.message import Message, token
from proto.service import Started
from proto.subjects import (
    ALL_SERVICES,
    EVALUATOR,
    EXTRA_PUBLISH,
    MACHINE_ORDER,
    TABLE,
    model_of,
    tape_subjects,
)
from tests.support.samples import SAMPLES

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


def all_messages(base: type[Message] = Message) -> set[type[Message]]:
    found = {model for model in base.__subclasses__() if model.__module__.startswith("proto.")}
    children = {model for child in found for model in all_messages(child)}
    return {model for model in found if "kind" in vars(model)} | children


def matches(pattern: str, subject: str) -> bool:
    """Whether a broker delivers ``subject`` to a subscriber of ``pattern``."""
    escaped = re.escape(pattern).replace(r"\*", "[^.]+").replace(r"\.>", r"(\.[^.]+)+").replace(">", ".+")
    return re.fullmatch(escaped, subject) is not None


def test_every_message_has_exactly_one_row():
    assert {row.model for row in TABLE} == all_messages()
    assert len({row.model for row in TABLE}) == len(TABLE)


def test_no_two_rows_share_a_kind():
    assert len({row.kind for row in TABLE}) == len(TABLE)


def test_every_message_has_a_sample():
    assert {type(sample) for sample in SAMPLES} == {row.model for row in TABLE}


def test_the_model_is_found_by_any_subject_of_its_row():
    for sample in SAMPLES:
        assert model_of(sample.subject()) is type(sample)


def test_a_subject_outside_the_table_has_no_model():
    for subject in (
        "",
        ".",
        "feed",
        "feed.",
        "feed.rumour.x",
        "Feed.quote.x",
        "risk",
        "a.b.c",
        "$JS.API.INFO",
    ):
        assert model_of(subject) is None


@given(st.text(max_size=60))
def test_model_of_takes_any_text(subject: str):
    assert model_of(subject) is None or any(model_of(subject) is row.model for row in TABLE)


def test_a_pattern_matches_the_subjects_of_its_row_and_of_no_other():
    for row in TABLE:
        matched = {type(sample) for sample in SAMPLES if matches(row.pattern, sample.subject())}
        assert matched == {row.model}


def test_producers_and_readers_exist():
    for row in TABLE:
        assert row.producer in {*ALL_SERVICES, EVALUATOR, "venue", "operator", "ledger", "*"}
        assert set(row.readers) <= set(MACHINE_ORDER)
        assert row.about


def test_a_producer_may_publish_what_it_produces_and_nobody_else_may():
    """The first token is the permission: only execution has more than its own. Claims have a door of their own."""
    grants = {name: (f"{name}.>", *EXTRA_PUBLISH.get(name, ())) for name in (*ALL_SERVICES, EVALUATOR)}
    for sample in SAMPLES:
        if isinstance(sample, Started):
            continue
        subject = sample.subject()
        allowed = {name for name, patterns in grants.items() if any(matches(p, subject) for p in patterns)}
        row = next(row for row in TABLE if row.model is type(sample))
        expected = {"venue": {"execution"}, "ledger": set(), "operator": set()}
        assert allowed == expected.get(row.producer, {row.producer})


def test_the_tape_stores_everything_but_claims_from_publishers():
    for sample in SAMPLES:
        stored = any(matches(pattern, sample.subject()) for pattern in tape_subjects())
        assert stored == (not sample.subject().startswith("ledger."))


@given(names)
def test_a_token_is_one_token_that_a_broker_accepts(name: str):
    escaped = token(name)
    assert escaped
    assert not re.search(r"[\x00-\x20\x7f.*>]", escaped)


@given(names)
def test_a_token_is_read_back(name: str):
    assert re.sub("%([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), token(name)) == name


def test_tokens_of_different_names_differ():
    tricky = ["a.b", "a%2Eb", "a%252Eb", "a b", "a%20b", "a*b", "a>b", "a\tb", "a\x00b", "a%00b", "ab"]
    for one, other in combinations(tricky, 2):
        assert token(one) != token(other)
