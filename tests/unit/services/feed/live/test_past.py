"""The past of reference prices: what a venue does not give is told as a gap, and nothing waits for ever."""

import asyncio

import pytest

from libs.venues.errors import VenueError
from libs.venues.frame import RawFrame
from proto.feed import Gap
from services.feed.control import FEED
from services.feed.live import past
from services.feed.live.past import PastPrices
from services.feed.normalise import Normalisers

AT = 1_790_000_000_000_000_000


async def answered() -> None:
    """The answer was passed on."""


async def refused() -> None:
    raise VenueError("binance", "no such interval")


async def silent() -> None:
    await asyncio.Event().wait()


@pytest.mark.asyncio
async def test_what_is_not_answered_is_a_gap_and_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "PAST_PATIENCE_S", 0.01)
    prices = PastPrices("binance")
    frames = await prices.load(
        [("binance:A", answered), ("binance:B", refused), ("binance:C", silent), ("binance:D", answered)]
    )
    # D was not asked any more: the patience is for all of them together.
    assert list(prices.missing) == ["binance:B", "binance:C", "binance:D"]
    assert prices.missing["binance:B"] == "no such interval"
    assert "no answer within" in prices.notes[1]
    normalisers = Normalisers()
    told = [message for frame in frames for message in normalisers.read(RawFrame(AT, FEED, frame))]
    assert [(type(gap), gap.venue, gap.instrument) for gap in told] == [
        (Gap, "binance", instrument) for instrument in prices.missing
    ]
    assert told[0].reason == "no history: no such interval"
    assert await prices.load([("binance:A", answered)]) == []
    assert prices.notes == []
