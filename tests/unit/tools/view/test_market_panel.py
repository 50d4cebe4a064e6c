"""What the markets' panel says of a market beside its prices."""

import pytest

from proto.feed import Answer, MarketStatus
from tests.support.exit_world import MARKET
from tools.view.market_panel import state_words


@pytest.mark.parametrize(
    ("status", "answer", "words"),
    [
        (MarketStatus.OPEN, Answer.NONE, ""),
        (MarketStatus.OPEN, Answer.DISPUTED, "disputed"),
        (MarketStatus.DISPUTED, Answer.DISPUTED, "disputed"),
        (MarketStatus.DETERMINED, Answer.PROPOSED, "determined proposed"),
    ],
)
def test_a_state_is_shown_where_a_market_does_not_simply_trade(status, answer, words):
    assert state_words(MARKET.replace(status=status, answer=answer)) == words
