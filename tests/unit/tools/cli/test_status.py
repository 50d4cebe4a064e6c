"""What `presage status` says about orders that may leave."""

from typing import Any

import pytest

from libs.view.orders_state import orders_state
from proto.subjects import SERVICES


def running(**reports: dict[str, Any]) -> dict[str, Any]:
    services = {name: {"state": "live"} | reports.get(name, {}) for name in SERVICES}
    return {"running": True, "halted": "", "broker": "up", "services": services}


@pytest.mark.parametrize(
    ("book_age_max_s", "said"), [(30, "open"), (20, "no new orders: feed silent for 20 s"), (None, "open")]
)
def test_the_feed_is_silent_as_long_as_the_configuration_lets_a_book_be(
    book_age_max_s: int | None, said: str
) -> None:
    risk = {"book_age_max_s": book_age_max_s}
    assert orders_state(running(feed={"silent_s": 20}, risk=risk)) == said
