"""Health reports: what is not as ours are, or speaks for another service, is no report."""

import json
from typing import Any

import pytest

from libs.tape.reports import REPORT_BYTES_MAX, read_report

WHOLE: dict[str, Any] = {
    "service": "journal",
    "state": "live",
    "position": 7,
    "journal": {"state": "disk_full", "rows": 3},
    "anything": [1, None],
}


def report_of(**changes: object) -> bytes:
    return json.dumps(WHOLE | changes).encode()


def test_a_report_is_read_as_it_is():
    assert read_report("report.journal", report_of()) == WHOLE


@pytest.mark.parametrize(
    "changes",
    [
        {"service": "risk"},
        {"service": None},
        {"state": 3},
        {"position": "7"},
        {"violations": 1.5},
        {"frames": []},
        {"journal": "disk_full"},
        {"journal": {"state": ["disk_full"]}},
        {"ledger": {"percent": "full"}},
        {"ledger": {"forgotten": "a"}},
        {"archive": [1]},
        {"venues": {"kalshi": 1}},
        {"dead_frames": {"reason": "x"}},
        {"dead_frames": [{"excerpt": 1}]},
    ],
)
def test_what_would_mislead_a_reader_is_no_report(changes: dict[str, object]):
    assert read_report("report.journal", report_of(**changes)) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"service": "journal"}',
        b"[" * 100_000,
        b'{"service":"journal","state":"live","a":' + b"[" * 100_000,
        b'{"service":"journal","state":"' + b"x" * REPORT_BYTES_MAX + b'"}',
    ],
)
def test_bytes_that_are_none_are_no_report(data: bytes):
    assert read_report("report.journal", data) is None
