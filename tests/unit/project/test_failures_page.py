"""The page of survived failures names a test for each, and each of those tests exists."""

import re
from pathlib import Path

import pytest

PAIN_POINTS = (*range(1, 9), 9, 10, 11, 14, 15, 17, 18)
FAULTS = ("R12", "R13", "R14", "R15", "R24", "R25", "R26", "R27", "R28", "R29", "R30", "R31", "R32")
NAMED = re.compile(r"`(tests/[a-z_/0-9]+\.py)::([a-z_0-9]+)`")
ROW = re.compile(r"^\| (R?\d+) \|", re.MULTILINE)


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "reference" / "failures.md").read_text()


def exists(root: Path, file: str, name: str) -> bool:
    path = root / file
    return path.exists() and re.search(rf"^(async )?def {name}\(", path.read_text(), re.MULTILINE) is not None


def test_every_named_test_exists(root: Path, page: str):
    named = NAMED.findall(page)
    assert len(named) > 40
    missing = [f"{file}::{name}" for file, name in named if not exists(root, file, name)]
    assert missing == []


def test_every_failure_has_a_line_and_every_line_a_test(page: str):
    assert ROW.findall(page) == [str(number) for number in PAIN_POINTS] + list(FAULTS)
    lines = [line for line in page.splitlines() if ROW.match(line)]
    assert [line[:60] for line in lines if not NAMED.search(line)] == []


def test_a_test_that_does_not_exist_would_be_found(root: Path):
    assert exists(root, "tests/unit/project/test_failures_page.py", "test_every_named_test_exists")
    assert not exists(root, "tests/unit/project/test_failures_page.py", "test_every_named")
    assert not exists(root, "tests/unit/test_nothing.py", "test_every_named_test_exists")
