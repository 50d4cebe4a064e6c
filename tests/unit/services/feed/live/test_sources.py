"""What the live sources make of single frames and messages, without a venue."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from libs.venues.frame import RawFrame
from libs.venues.kalshi.auth import KalshiCredentials, RequestSigner
from libs.venues.kalshi.market_data.normalise import DIFFERS_NS, KalshiNormaliser
from libs.venues.kalshi.params import KalshiParams
from proto.units import SECOND
from services.feed.live.kalshi import PROBE_ID, KalshiSource
from tests.support.live_session import Session
from tests.unit.libs.venues.kalshi.test_auth import KEY, pem
from tests.unit.libs.venues.kalshi.test_following import START, TICKER, delta, following, snapshot

pytestmark = pytest.mark.asyncio

AT = 1_778_709_000 * SECOND


async def forget(source: str, data: bytes, at_ns: int = 0) -> None:
    """Nobody reads what these sources ask."""


class Kalshi:
    """A source beside the normaliser that reads its frames."""

    def __init__(self) -> None:
        self.normaliser = KalshiNormaliser(["KXBTC15M"])
        signer = RequestSigner(KalshiCredentials("key-1", pem(KEY)))
        self.source = KalshiSource(KalshiParams(), forget, signer, lambda: self.normaliser)

    def proved(self, data: bytes) -> list[str]:
        """What a frame proves once it has been read."""
        self.normaliser.normalise(data, AT)
        return list(self.source.proven_markets(data))


@pytest_asyncio.fixture
async def kalshi() -> AsyncIterator[Kalshi]:
    made = Kalshi()
    yield made
    await made.source.close()


async def test_kalshi_books_are_proved_by_numbered_frames_in_their_order_only(kalshi: Kalshi) -> None:
    about = {"market_ticker": TICKER}
    ticker = about | {"yes_bid_dollars": "0.4300", "yes_ask_dollars": "0.4600"}
    trade = about | {
        "trade_id": "t1", "yes_price_dollars": "0.4300", "no_price_dollars": "0.5700", "count_fp": "1.00",
    }  # fmt: skip
    assert kalshi.proved(snapshot(TICKER, 1)) == [f"kalshi:{TICKER}"]
    for kind, msg in (("ticker", ticker), ("trade", trade)):
        assert kalshi.proved(msgspec.json.encode({"type": kind, "sid": 3, "msg": msg})) == []
    assert kalshi.proved(delta(TICKER, 2, "yes", "0.4300", "1.00")) == [f"kalshi:{TICKER}"]
    assert kalshi.proved(delta(TICKER, 2, "yes", "0.4300", "1.00")) == [], "an old number proves nothing"
    assert kalshi.proved(delta(TICKER, 9, "yes", "0.4300", "1.00")) == [], "frames were lost"


async def test_after_a_refused_question_each_book_is_asked_for_by_itself(kalshi: Kalshi) -> None:
    """What was asked shows in the source's own numbers; the error to a single one says whose fault it was."""
    source, names = kalshi.source, ["kalshi:A", "kalshi:B"]
    source.leases.follow(names, AT)
    await source.on_frame(b'{"type":"subscribed","msg":{"channel":"orderbook_delta","sid":2}}')
    await source.probe(names)
    error = {"type": "error", "id": PROBE_ID + 1, "msg": {"code": 16, "msg": "Market not found"}}
    await source.on_frame(msgspec.json.encode(error))
    for number in (2, 3):
        await source._queued.get_nowait()()
        await source.on_frame(msgspec.json.encode(error | {"id": PROBE_ID + number}))
    assert source._queued.empty()
    reconnects = [second for second in range(3_000) if source.leases.due(AT + second * SECOND).reconnect]
    assert reconnects[0] > 600, "a connection was given up for markets that the venue does not have"


async def test_a_ticker_that_stands_still_costs_a_busy_book_one_snapshot(kalshi: Kalshi) -> None:
    """The book is right, and its answer, which takes two seconds, ends the doubt."""
    normaliser, leases = following(TICKER), kalshi.source.leases
    kalshi.normaliser = normaliser
    leases.follow([f"kalshi:{TICKER}"], START)
    leases.handle_messages(normaliser.resend(START))
    ticker = {"market_ticker": TICKER, "yes_bid_dollars": "0.4300", "yes_ask_dollars": "0.4600"}
    normaliser.normalise(msgspec.json.encode({"type": "ticker", "sid": 3, "msg": ticker}), START)
    probed: list[int] = []
    stale: list[str] = []
    for tenth in range(600):
        at = START + tenth * SECOND // 10
        frame = delta(TICKER, tenth + 2, "yes", "0.0100", "1.00")
        if probed and at - probed[0] == 2 * SECOND:
            frame = snapshot(TICKER, tenth + 2)
        messages = normaliser.normalise(frame, at)
        leases.renew(kalshi.source.proven_markets(frame), at)
        leases.handle_messages(messages)
        leases.set_inconsistent(kalshi.source.inconsistent_markets(at), at)
        due = leases.due(at)
        probed += [at] * len(due.probe)
        stale += due.stale
    assert (probed, stale) == ([START + DIFFERS_NS], [])


@pytest.mark.parametrize(
    ("venue", "frame", "words"),
    [
        (
            "kalshi",
            {"type": "error", "id": 1, "msg": {"code": 16, "msg": "Market not found"}},
            "16 Market not found",
        ),
        (
            "coinbase",
            {"type": "error", "message": "Failed", "reason": "no such product"},
            "Failed no such product",
        ),
        ("binance", {"code": 2, "msg": "Invalid request"}, "2 Invalid request"),
    ],
)
async def test_what_a_venue_complains_of_is_shown_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, venue: str, frame: dict[str, Any], words: str
) -> None:
    for name, content in (("kalshi.pem", pem(KEY)), ("kalshi.id", b"key-1")):
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    session = Session({venue: {}}, tmp_path)
    source = session.live.sources[venue]
    source.connected = True
    assert session.live.detail == ""
    raw = RawFrame(AT, venue, msgspec.json.encode(frame))
    for _ in range(2):
        session.live.handle_result(raw, session.normalisers.read(raw))
    assert session.live.detail == f"{venue}: the venue said {words}"
    assert caplog.text.count(words) == 1
    await source.close()
