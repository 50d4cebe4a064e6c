"""A what-if of a tape on which orders were real trades on paper, baseline and change alike."""

from proto.operator import ClockOwner, Config, Mode, Session
from proto.units import SECOND
from tools.offline.what_if import WhatIf
from tools.system.composition import sections


def opened(changes: dict[str, str]) -> WhatIf:
    test = WhatIf(changes, ("momentum",))
    found = sections(overrides={"execution.live_venues": "[kalshi]"})
    assert list(found["execution"]["live_venues"]) == ["kalshi"]
    test.feed(
        Session(
            tape="t",
            mode=Mode.REALTIME,
            clock_owner=ClockOwner.MONITOR,
            started_at=SECOND,
            nonce="n",
            expires_at=0,
            config_count=len(found),
        )
    )
    for section, document in found.items():
        test.feed(Config(section=section, document=document, nonce="n", expires_at=0))
    return test


def test_the_paper_venue_takes_the_place_of_the_real_one():
    for changes in ({}, {"execution.ack_timeout_s": "7"}):
        assert opened(changes).summary.document()["cash"] == 10_000
