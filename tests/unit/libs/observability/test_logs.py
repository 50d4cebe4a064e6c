"""Logs are JSON, bounded, and say no secrets."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.observability import logs

SEED = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIE\n-----END PRIVATE KEY-----"


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_one_line_with_its_fields(root_logger: logging.Logger) -> None:
    stream = io.StringIO()
    logs.setup("risk", stream)
    root_logger.info("two\nlines %s", 7, extra={"seq": 4, "api_key": "hunter2", "nested": {"password": "x"}})
    (line,) = lines(stream)
    assert line["text"] == "two\nlines 7"
    assert line["service"] == "risk"
    assert line["level"] == "info"
    assert line["seq"] == 4
    assert line["api_key"] == logs.REDACTED
    assert line["nested"] == {"password": logs.REDACTED}
    assert str(line["at"]).endswith("+00:00")


def test_a_traceback_is_kept_without_its_secrets(root_logger: logging.Logger) -> None:
    stream = io.StringIO()
    logs.setup("risk", stream)
    root_logger.error("failed", exc_info=RuntimeError(f"cannot log in with {SEED}"))
    (line,) = lines(stream)
    assert "RuntimeError" in str(line["traceback"])
    assert SEED not in stream.getvalue()


def test_a_wrong_placeholder_does_not_lose_the_line(root_logger: logging.Logger) -> None:
    stream = io.StringIO()
    logs.setup("risk", stream)
    root_logger.info("%d things", "no number")
    assert "no number" in str(lines(stream)[0]["text"])


def test_the_level_comes_from_the_environment(
    root_logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    monkeypatch.setenv("PRESAGE_LOG_LEVEL", "warning")
    logs.setup("risk", stream)
    root_logger.info("quiet")
    root_logger.warning("loud")
    assert [line["text"] for line in lines(stream)] == ["loud"]
    monkeypatch.setenv("PRESAGE_LOG_LEVEL", "shouting")
    with pytest.raises(ValueError, match=r"PRESAGE_LOG_LEVEL: expected .*, was 'SHOUTING'"):
        logs.setup("risk", stream)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (PEM, "MC4CAQAwBQYDK2VwBCIE"),
        (PEM[:40], "MC4CAQ"),
        ("nats://execution:s3cr3t@127.0.0.1:4222", "s3cr3t"),
        (f"seed is {SEED}.", SEED),
        ("Authorization: Bearer abcdef123456", "abcdef123456"),
        ("password=hunter2&x=1", "hunter2"),
        ('{"api_key": "k-123", "n": 1}', "k-123"),
        ("kalshi_private_key: 'zzz yyy'", "zzz yyy"),
        ("eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl", "c2lnbmF0dXJl"),
    ],
)
def test_what_looks_like_a_secret_is_redacted(text: str, secret: str) -> None:
    assert secret not in logs.redact(text)
    assert logs.REDACTED in logs.redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "order t1-42-0 of kalshi:KXBTC15M-26MAY131800-00:yes filled at 0.45",
        "tokens=5 monkeys: 3",
        "http://127.0.0.1:8222/varz",
        "expected counter 3, was 7",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    assert logs.redact(text) == text


@pytest.mark.parametrize(
    "name", ["password", "apiKey", "accessToken", "SIGNING_KEY", "x_secret", "kalshi_api_key"]
)
def test_fields_with_secret_names_are_redacted(name: str) -> None:
    assert logs.redact_value(name, "v") == logs.REDACTED


@pytest.mark.parametrize("name", ["key_id", "instrument", "tokens", "position", "passed", "public_key"])
def test_fields_with_other_names_stay(name: str) -> None:
    assert logs.redact_value(name, "v") == "v"


@given(
    st.recursive(
        st.text() | st.binary() | st.integers() | st.none(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_any_value_becomes_bounded_json(value: object) -> None:
    assert len(json.dumps(logs.redact_value("field", value))) < 4_000_000


def test_long_texts_are_cut() -> None:
    assert len(logs.redact("x" * 1_000_000)) < logs.TEXT_CHARACTERS_MAX + 50
