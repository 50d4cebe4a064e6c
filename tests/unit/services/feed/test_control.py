"""The feed's own frames, the front that reads them, and the feed's own key."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from libs.keys.venues.errors import BadKey, KeyStoreError, NoKey, WrongPassphrase
from libs.keys.venues.kinds import RsaKey, write_rsa
from libs.keys.venues.store import KEYS_DIRECTORY_VARIABLE, KeyStore
from libs.venues.catalogue import key_kinds
from libs.venues.frame import RawFrame
from libs.venues.kalshi import KALSHI
from libs.venues.kalshi.auth import KEY_HEADER
from libs.venues.kalshi.market_data.normalise import KalshiNormaliser
from libs.venues.kalshi.params import KalshiParams
from proto.feed import Gap
from proto.message import Message
from proto.units import SECOND
from services.feed import control
from services.feed.control import FEED
from services.feed.live.kalshi import load_signer
from services.feed.live.live_feed import Inlet, LiveFeed
from services.feed.normalise import DeadFrame, Normalisers
from services.feed.synthetic import frames
from services.feed.synthetic.book import Change
from tests.support.feed_observer import FeedObserver

START = 1_795_269_600 * SECOND
TICKER = "KXBTC15M-26NOV211415-15"
YES = f"kalshi:{TICKER}:yes"


def read(normalisers: Normalisers, data: bytes, source: str = FEED, at: int = START) -> list[Message]:
    result = normalisers.read(RawFrame(at, source, data))
    assert not isinstance(result, DeadFrame), result
    return result


def with_book() -> tuple[Normalisers, FeedObserver]:
    normalisers, observer = Normalisers(), FeedObserver()
    observer.handle_messages(read(normalisers, frames.snapshot(TICKER, 1, [(400, 5)], [(500, 5)]), KALSHI))
    assert observer.whole(YES)
    return normalisers, observer


def test_a_stale_frame_is_a_gap_until_the_next_whole_book() -> None:
    normalisers, observer = with_book()
    observer.handle_messages(read(normalisers, control.stale(KALSHI, f"kalshi:{TICKER}", "stale")))
    assert next((gap.instrument, gap.reason) for gap in observer.gaps) == (YES, "stale")
    assert not observer.whole(YES)
    observer.handle_messages(read(normalisers, frames.snapshot(TICKER, 2, [(410, 5)], []), KALSHI))
    assert observer.whole(YES)


def test_time_is_a_frame_and_moves_what_waits() -> None:
    normalisers, _observer = with_book()
    assert read(normalisers, frames.delta(TICKER, 2, Change("yes", 390, 5), 0), KALSHI) == []
    assert read(normalisers, control.TICK) == []
    told = read(normalisers, control.TICK, at=START + SECOND)
    assert YES in {getattr(message, "instrument", "") for message in told}
    assert normalisers.frames == 2, "the feed's own frames are no sign that a venue speaks"


def test_everything_is_told_again_on_demand() -> None:
    normalisers, observer = with_book()
    observer.handle_messages(read(normalisers, control.RESEND))
    assert {message.instrument for message in observer.books.values() if message.snapshot} >= {YES}


def test_parameters_replace_a_normaliser_once_and_drop_what_was_known() -> None:
    normalisers, observer = with_book()
    setup = control.setup(KALSHI, KalshiParams().document())
    assert [type(message) for message in read(normalisers, setup)] == [Gap]
    first = normalisers.of(KALSHI, KalshiNormaliser)
    assert read(normalisers, setup) == []
    assert normalisers.of(KALSHI, KalshiNormaliser) is first
    other = control.setup(KALSHI, KalshiParams(markets_max_count=1).document())
    observer.handle_messages(read(normalisers, other))
    assert normalisers.of(KALSHI, KalshiNormaliser) is not first
    assert observer.gaps[-1].venue == KALSHI


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b'{"type":"_what"}',
        b'{"type":"_stale","msg":{"venue":"nobody","market":"x","reason":"y"}}',
        b'{"type":"_stale","msg":{"venue":"kalshi"}}',
        b'{"type":"_setup","msg":{"venue":"nobody","params":{}}}',
        b'{"type":"_setup","msg":{"venue":"kalshi","params":{"series":7}}}',
        b'{"type":"_setup","msg":{"venue":"kalshi","params":{"unknown":7}}}',
    ],
)
def test_a_frame_of_ours_that_cannot_be_is_dead(data: bytes) -> None:
    normalisers = Normalisers()
    assert isinstance(normalisers.read(RawFrame(START, FEED, data)), DeadFrame)
    assert normalisers.dead == 1


@pytest.mark.asyncio
async def test_time_never_goes_back_and_ticks_come_between() -> None:
    inlet = Inlet()
    live = LiveFeed([], inlet, Normalisers(), {})
    for offset in (0, SECOND, SECOND // 2, 3 * SECOND):
        await inlet.emit("binance", b"{}", START + offset)
    iterator = live.frames()
    found = [await anext(iterator) for _ in range(7)]
    await iterator.aclose()
    assert [(frame.source, (frame.at - START) / SECOND) for frame in found] == [
        ("feed", 0.0),
        ("binance", 0.0),
        ("feed", 1.0),
        ("binance", 1.0),
        ("binance", 1.0),
        ("feed", 3.0),
        ("binance", 3.0),
    ]


# ── the feed's own key ──


@pytest.fixture(scope="module")
def key() -> RsaKey:
    return RsaKey.parse("the-id", write_rsa(generate_private_key(65537, 2048)))


def mount(directory: Path, key: RsaKey) -> None:
    directory.mkdir(parents=True)
    (directory / "kalshi.pem").write_bytes(key.private_key_pem)
    (directory / "kalshi.id").write_text(key.key_id)


def test_the_key_is_found_mounted_plain_or_encrypted(
    tmp_path: Path, key: RsaKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEYS_DIRECTORY_VARIABLE, raising=False)
    own = tmp_path / "own"
    with pytest.raises(NoKey):
        load_signer(own)
    mount(own, key)
    assert load_signer(own).headers("GET", "/x")[KEY_HEADER] == "the-id"

    sealed = tmp_path / "sealed"
    KeyStore(sealed, key_kinds()).save("kalshi", key, "a passphrase")
    with pytest.raises(WrongPassphrase):
        load_signer(sealed)
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("a passphrase\n")
    passphrase.chmod(0o600)
    monkeypatch.setenv("PRESAGE_PASSPHRASE_FILE", str(passphrase))
    assert load_signer(sealed).headers("GET", "/x")[KEY_HEADER] == "the-id"

    other = RsaKey("mounted-id", key.private_key_pem)
    mount(tmp_path / "mounted" / "feed", other)
    monkeypatch.setenv(KEYS_DIRECTORY_VARIABLE, str(tmp_path / "mounted"))
    assert load_signer(sealed).headers("GET", "/x")[KEY_HEADER] == "mounted-id"


def test_a_trading_key_is_never_taken_and_a_broken_one_says_nothing_of_itself(
    tmp_path: Path, key: RsaKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PRESAGE_PASSPHRASE_FILE", raising=False)
    mount(tmp_path / "mounted", key)
    monkeypatch.setenv(KEYS_DIRECTORY_VARIABLE, str(tmp_path / "mounted"))
    with pytest.raises(NoKey):
        load_signer(tmp_path / "own")
    broken = RsaKey("id", b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")
    mount(tmp_path / "mounted" / "feed", broken)
    with pytest.raises(KeyStoreError) as caught:
        load_signer(tmp_path / "own")
    assert isinstance(caught.value, BadKey)
    assert "c2VjcmV0" not in str(caught.value)
