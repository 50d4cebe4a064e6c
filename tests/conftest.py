"""What every test may use: hypothesis profiles, counts that grow in a soak run, recordings."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
SOAK = os.environ.get("PRESAGE_SOAK") == "1"

# No deadline: the machine that runs the tests may be shared, and a property is about results, not speed.
settings.register_profile(
    "default", deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("soak", settings.get_profile("default"), max_examples=5_000)
settings.load_profile("soak" if SOAK else "default")


@pytest.fixture(scope="session")
def count() -> Callable[[int, int], int]:
    """``count(small, full)``: the small number in ``make test``, the full one in ``make soak``.

    A test that uses it is marked ``soak``, so that ``make soak`` finds it.
    """

    def choose(small: int, full: int) -> int:
        return full if SOAK else small

    return choose


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of recorded sessions; ``PRESAGE_RECORDINGS`` names another one.

    Recordings are too large for the repository: a test that needs them is marked ``recorded`` and is
    skipped, with the reason in pytest's summary, where there are none.
    """
    folder = Path(os.environ.get("PRESAGE_RECORDINGS", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no recordings: expected a folder {folder}; PRESAGE_RECORDINGS names another")
    return folder
