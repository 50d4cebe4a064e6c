"""Markets whose results are waited for across restarts."""

from pathlib import Path

import pytest

from proto.feed import MarketStatus
from proto.units import SECOND
from services.feed.live.unsettled import AGE_NS_MAX, MARKETS_MAX, UnresolvedMarkets, UnsettledMarkets
from tests.support.signal_world import MARKET

NOW = MARKET.close_at + SECOND


def told(name: str, status: MarketStatus = MarketStatus.OPEN, close_at: int = MARKET.close_at):
    return MARKET.replace(market=name, status=status, close_at=close_at)


def test_what_is_not_settled_is_asked_for_after_a_restart(tmp_path: Path):
    path = tmp_path / "markets.json"
    first = UnsettledMarkets(path)
    first.handle_messages([told("kalshi:A"), told("kalshi:B"), told("polymarket:C", MarketStatus.CLOSED)])
    first.handle_messages([told("kalshi:A", MarketStatus.DETERMINED), told("kalshi:B", MarketStatus.SETTLED)])
    first.write()
    again = UnsettledMarkets(path, NOW)
    assert again.of("kalshi") == ["kalshi:A"]
    assert again.of("polymarket") == ["polymarket:C"]


def test_the_file_is_written_when_something_changed(tmp_path: Path):
    path = tmp_path / "markets.json"
    first = UnsettledMarkets(path)
    first.handle_messages([told("kalshi:A")])
    first.write()
    path.unlink()
    first.handle_messages([told("kalshi:A")])
    first.write()
    assert not path.exists()
    first.handle_messages([told("kalshi:A", MarketStatus.SETTLED)])
    first.write()
    assert UnsettledMarkets(path, NOW).of("kalshi") == []


def test_what_ended_long_ago_and_a_broken_file_are_let_go(tmp_path: Path):
    path = tmp_path / "markets.json"
    first = UnsettledMarkets(path)
    first.handle_messages([told("kalshi:A"), told("kalshi:B", close_at=0)])
    first.write()
    assert UnsettledMarkets(path, NOW + AGE_NS_MAX + 1).of("kalshi") == ["kalshi:B"]
    path.write_text("{")
    assert UnsettledMarkets(path, NOW).of("kalshi") == []


def test_they_are_bounded():
    kept = UnsettledMarkets()
    kept.handle_messages(told(f"kalshi:{n}") for n in range(MARKETS_MAX + 5))
    assert len(kept.of("kalshi")) == MARKETS_MAX
    kept.write()


def test_what_ended_first_goes_first_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    kept = UnsettledMarkets()
    kept.handle_messages([told("kalshi:open", close_at=0), told("kalshi:late", close_at=NOW)])
    kept.handle_messages([told("kalshi:early", close_at=1)])
    kept.handle_messages(told(f"kalshi:{n}") for n in range(MARKETS_MAX - 2))
    assert {"kalshi:open", "kalshi:late"} < set(kept.of("kalshi"))
    assert "kalshi:early" not in kept.of("kalshi")
    assert "kalshi:early ended first" in caplog.text


def test_markets_without_a_result_take_turns_and_none_starves():
    waiting = UnresolvedMarkets()
    for name in "abcde":
        waiting.add(name)
    assert [waiting.next_batch(2) for _ in range(3)] == [["a", "b"], ["c", "d"], ["e", "a"]]
    waiting.discard("b")
    assert "b" not in waiting
    assert waiting.next_batch(9) == ["c", "d", "e", "a"]
    for number in range(MARKETS_MAX + 1):
        waiting.add(str(number))
    assert len(waiting.next_batch(MARKETS_MAX + 9)) == MARKETS_MAX
