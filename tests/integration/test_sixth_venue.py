"""Adding a venue is adding a folder and a line: a sixth one, whose folder is in tests/support/sixth_venue."""

from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from libs.venues.catalogue import VENUES, in_sandbox, traded
from libs.view.venues import venue_status
from proto.feed import FeedClock, Played, Quote
from sandbox.faults.rules import FaultKind, FaultRule
from sandbox.server import Sandbox
from services.feed.recording.play import play
from services.feed.recording.recorder import Limits, Recorder
from services.feed.recording.recording import open_recording
from tests.support.live_session import running
from tests.support.sixth_venue.venue import SIXTH, VENUE
from tests.support.waiting import until
from tools.cli.commands.status import print_status
from tools.cli.doctor import examine
from tools.system.composition import venue_sections
from tools.system.sandbox_process import with_addresses

INSTRUMENT = f"{SIXTH}:BTC-EUR"


@pytest.fixture(autouse=True)
def _added() -> Iterator[None]:
    VENUES.add(VENUE)
    yield
    del VENUES[SIXTH]


@pytest.fixture
def section(tmp_path: Path) -> dict[str, Any]:
    file = tmp_path / "config" / "venues" / "sixth.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("enabled: true\nsilence_max_s: 5\n")
    return venue_sections([SIXTH], tmp_path / "config")[f"venues.{SIXTH}"]


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="expected a new name of a venue, was 'sixth'"):
        VENUES.add(VENUE)


def test_it_gives_prices_and_takes_no_orders():
    assert SIXTH not in traded()
    assert in_sandbox()[-1] == SIXTH


@pytest.mark.asyncio
async def test_it_is_served_followed_recorded_examined_and_shown(
    tmp_path: Path, section: dict[str, Any]
) -> None:
    assert section["silence_max_s"] == 5
    recorder = Recorder(tmp_path / "frames", Limits(free_bytes_min=0))
    recorder.start()
    async with Sandbox(7, [SIXTH]) as sandbox:
        sections = with_addresses({SIXTH: section}, sandbox.urls)
        async with running(sections, tmp_path, recorder) as session:
            await until(lambda: len([m for m in session.messages if isinstance(m, Quote)]) >= 3)
            assert session.observer.whole(INSTRUMENT)
            health = session.live.health()
            sandbox.faults.set(FaultRule(kind=FaultKind.CLOSE_SOCKET, venue=SIXTH, count=1))
            await until(lambda: session.live.sources[SIXTH].connects == 2)
        findings = await examine(tmp_path, sections, [])
    recorder.close()
    played = list(play(open_recording(tmp_path / "frames")))
    assert [m for m in played if not isinstance(m, FeedClock | Played)] == session.messages
    assert [finding.ok for finding in findings if finding.subject == SIXTH] == [True]
    found = venue_status({"feed": health}, (), "paper")
    assert found == {SIXTH: {"feed": "live", "markets": 1, "money": ""}}
    console = Console(width=120, file=StringIO(), color_system=None)
    document: dict[str, Any] = {
        "money": "paper",
        "orders": "open",
        "account": {},
        "services": {},
        "venues": found,
    }
    with console.capture() as capture:
        print_status(console, document)
    assert SIXTH in capture.get()
