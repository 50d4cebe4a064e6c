"""Two builds side by side: which figure counts, which way a ratio points, and what one of them is run with."""

import subprocess
import sys

import pytest

from bench import builds, one_build, report
from bench.builds import Comparison, Row
from tests.support.journal_tape import mixed_tape
from tests.support.paths import ROOT

RATE = Row("replay", "replay", "messages/s", is_rate=True, aim=0.85)
TIME = Row("risk", "one risk decision", "µs", is_rate=False, aim=1.0)


@pytest.mark.parametrize(
    ("row", "base", "head", "ratio", "met"),
    [
        (RATE, [50_000.0, 60_000.0], [51_000.0, 30_000.0], "0.85", True),
        (RATE, [60_000.0, 60_000.0], [50_000.0, 50_000.0], "0.83", False),
        (TIME, [30.0, 90.0], [20.0, 40.0], "1.50", True),
        (TIME, [30.0, 29.0], [31.0, 58.0], "0.94", False),
    ],
)
def test_the_best_round_counts_and_slower_is_below_one(row, base, head, ratio, met):
    cells = Comparison(row, base, head).cells()
    assert cells[3] == ratio
    assert cells[5].endswith(", met") is met
    assert cells[5].endswith(", not met") is not met


def test_each_round_has_a_ratio_of_its_own():
    assert Comparison(TIME, [30.0, 90.0, 40.0], [30.0, 45.0, 50.0]).cells()[4] == "1.00 (0.80 … 2.00)"


def test_every_row_has_a_measurement_that_one_build_knows():
    assert set(builds.MEASUREMENTS) < one_build.MEASUREMENTS.keys()


def test_a_tape_is_read_as_it_was_written(tmp_path):
    records = mixed_tape(20)
    one_build.write_tape(tmp_path / "tape", records)
    assert one_build.read_tape(tmp_path / "tape") == records


def test_the_page_has_a_place_for_the_table_and_keeps_the_rest():
    page = report.PAGE.read_text()
    changed = report.rewrite(page, "a table", builds.BEGIN)
    assert "\n\na table\n\n" in changed
    assert changed.partition(builds.BEGIN)[0] == page.partition(builds.BEGIN)[0]
    assert report.BEGIN in changed


def test_the_driver_runs_as_text_in_a_build_and_measures_a_decision(tmp_path):
    """As ``Build.measure`` does it, in this build: its bench has what the driver uses."""
    text = builds.DRIVER.read_text().replace("MEASUREMENTS[sys.argv[1]]", "print")
    done = subprocess.run(
        [sys.executable, "-c", text, "risk", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(tmp_path) in done.stdout
