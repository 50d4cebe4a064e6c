"""Recorded bodies of Kalshi's other families, beside the sessions: read, and skipped loudly where there are none."""

import csv
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import RECORDINGS

FOLDER = RECORDINGS / "families"
KALSHI = FOLDER / "kalshi"
SAMPLES = RECORDINGS / "kalshi" / "rest_samples"
"""Answers to single requests, which are older than the families."""

Body = dict[str, Any]


def _data(path: Path) -> bytes:
    if not path.is_file():
        pytest.skip(f"no recorded bodies at {path}")
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def read(name: str, folder: Path = KALSHI) -> Any:
    """A body of Kalshi."""
    return json.loads(_data(folder / name))


def rows(name: str) -> list[dict[str, str]]:
    """A table of Kalshi's markets."""
    return list(csv.DictReader(io.StringIO(_data(KALSHI / name).decode())))


def lines(path: Path) -> Iterator[Body]:
    """One JSON object a line."""
    if not path.is_file():
        pytest.skip(f"no recorded bodies at {path}")
    with gzip.open(path, "rt") as text:
        yield from map(json.loads, text)
