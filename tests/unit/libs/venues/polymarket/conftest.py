"""A normaliser that knows a market, and a venue whose books it has taken over."""

import pytest

from libs.venues.polymarket.market_data.normalise import PolymarketNormaliser
from tests.support.normalised import normalised
from tests.support.polymarket_frames import AT, Venue, markets


@pytest.fixture
def normaliser() -> PolymarketNormaliser:
    normaliser = PolymarketNormaliser()
    normalised(normaliser, markets(), AT)
    normaliser.commands(AT)
    return normaliser


@pytest.fixture
def venue(normaliser: PolymarketNormaliser) -> Venue:
    """A venue whose books the normaliser has taken over."""
    venue = Venue()
    for price, size, side in (("0.48", "10", "BUY"), ("0.49", "20", "BUY"), ("0.52", "30", "SELL")):
        venue.set(price, size, side)
    normalised(normaliser, venue.both(), AT)
    return venue
