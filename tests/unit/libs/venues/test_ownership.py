"""Whose a row is, and what becomes of a question about it that fails."""

import asyncio

import pytest

from libs.venues.errors import Unavailable
from libs.venues.gateway import SentOrder
from libs.venues.odd_items import OddItems
from libs.venues.ownership import ASK_AGAIN_S, ORDERS_MAX, Ownership

pytestmark = pytest.mark.asyncio


class Venue:
    """Fails until it is told not to."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer = ""

    async def ask(self) -> str:
        self.asked += 1
        if not self.answer:
            raise Unavailable("v", "not now", 503)
        return self.answer


def order(name: str, market: str = "v:m", venue_order_id: str = "") -> SentOrder:
    return SentOrder(
        order=name, client_order_id=name, instrument=f"{market}:yes", venue_order_id=venue_order_id
    )


async def test_what_fails_for_others_is_asked_again_after_a_while() -> None:
    clock_s, venue, odd = 0.0, Venue(), OddItems("v")
    own = Ownership(odd, lambda: clock_s)
    own.set_held_markets(["v:held"])
    for _ in range(3):
        assert await own.ask(venue.ask, "trade", "1", "v:other") is None
    assert (venue.asked, odd.count) == (1, 1)
    with pytest.raises(Unavailable):
        await own.ask(venue.ask, "trade", "2", "v:held")
    with pytest.raises(Unavailable):
        await Ownership(odd).ask(venue.ask, "trade", "2", "v:other")
    clock_s, venue.answer = ASK_AGAIN_S, "there"
    assert await own.ask(venue.ask, "trade", "1", "v:other") == "there"


async def test_who_does_not_answer_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("libs.venues.ownership.PATIENCE_S", 0.01)
    own = Ownership(OddItems("v"))
    own.set_held_markets([])
    assert await own.ask(asyncio.Event().wait, "trade", "1", "v:other") is None


async def test_an_order_is_ours_by_each_id_and_by_its_market() -> None:
    own = Ownership(OddItems("v"))
    own.set_held_markets([])
    own.remember_order(order("a", "v:m", "A"))
    assert own.is_ours("v:m")
    assert own.is_ours("v:n", ["x", "a"])
    assert own.is_ours("v:n", ["A"])
    assert not own.is_ours("v:n", ["x", ""])
    for number in range(ORDERS_MAX):
        own.remember_order(order(f"o{number}", f"v:{number}"))
    assert not own.is_ours("v:m", ["a"])
