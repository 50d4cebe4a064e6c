"""Rates of producers by the broker's own time, whenever they are read."""

from proto.units import SECOND
from services.monitor.rates import SPAN_S, ProducerRates


def test_each_span_says_who_said_how_much_in_the_one_before():
    rates = ProducerRates()
    assert rates.add("feed.quote.a", 5 * SECOND) is None
    for _ in range(99):
        assert rates.add("feed.quote.a", 6 * SECOND) is None
    for _ in range(20):
        assert rates.add("risk.approval.x", 7 * SECOND) is None
    assert rates.add("feed.quote.a", SPAN_S * SECOND) == {"feed": 10, "risk": 2}
    # The broker's clock may be set back: that begins no span.
    assert rates.add("feed.quote.a", 5 * SECOND) is None
    assert rates.add("feed.quote.a", 2 * SPAN_S * SECOND) == {"feed": 0}
