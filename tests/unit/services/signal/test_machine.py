"""The host of the strategies: routing, pacing, gaps, candles, snapshots."""

from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from libs.config.section import section_hash
from libs.indicators.candles import Candle
from libs.machine.machine import Stamp
from proto import feed
from proto.evaluation import ChangeStep, Edit, Revert, SignalChange
from proto.feed import Book, FeedClock, Gap, Market, MarketStatus, Quote, Side, Trade
from proto.message import Message
from proto.monitor import Clock
from proto.operator import Command, Config, Session, Verb
from proto.signal import Proposal
from proto.units import SECOND
from services.signal.machine import SignalMachine
from services.signal.momentum import Momentum
from services.signal.strategy import Strategy, StrategyParams
from tests.support.signal_world import BTC, MARKET, NO, START, YES, SignalWorld
from tests.support.strategies import messages


class Counts(msgspec.Struct):
    seen: list[str] = []


def buy(strategy: str, instrument: str, price: int) -> Proposal:
    return Proposal(
        strategy=strategy,
        market="kalshi:M",
        instrument=instrument,
        side=Side.BUY,
        price=price,
        fair_value=price,
        edge=0,
        strength=0,
        expires_at=START,
    )


class Eager(Strategy[StrategyParams, Counts]):
    """Proposes the ask at every quote and remembers what it was called with."""

    name: ClassVar[str] = "eager"
    state_type = Counts

    def on_quote(self, instrument: str, top: Any) -> list[Proposal]:
        self.state.seen.append(instrument)
        return [buy("eager", instrument, top.ask)] if top.ask is not None else []

    def on_market(self, market: Market) -> list[Proposal]:
        self.state.seen.append(f"market {market.status.value}")
        return []


class Charting(Strategy[StrategyParams, Counts]):
    """Wants minute candles of the reference price."""

    name: ClassVar[str] = "charting"
    state_type = Counts

    def candle_interval_s(self, instrument: str) -> int:
        return 60 if instrument == BTC else 0

    def on_candle(self, instrument: str, candle: Candle) -> list[Proposal]:
        held = self.candles(instrument)
        assert held is not None
        assert held.closed[-1] == candle
        self.state.seen.append(f"{candle.first}-{candle.last}")
        return []


def open_world(**params: int) -> SignalWorld:
    world = SignalWorld(Eager)
    world.put(MARKET)
    world.configure("eager", params)
    world.snapshot_book(YES, 40, 41)
    return world


def seen(world: SignalWorld) -> list[str]:
    state: Counts = world.machine._strategies["eager"].state
    return state.seen


# ── configuration ──


def test_nothing_is_proposed_before_the_configuration_was_read():
    world = SignalWorld(Eager)
    world.put(MARKET)
    world.snapshot_book(YES, 40, 41)
    world.configure("other", {})
    world.put(Config(section="eager", document={}, nonce="n", expires_at=START))
    assert world.quote(YES, 40, 41) == []
    world.configure("eager", {})
    assert seen(world) == ["market open"]
    assert len(world.quote(YES, 40, 42)) == 1


def test_a_wrong_configuration_stops_the_machine():
    with pytest.raises(ValidationError):
        SignalWorld(Eager, twin=False).configure("eager", {"repeat_intervall_s": 3})


# ── pacing ──


def test_a_proposal_is_said_on_change_or_once_in_a_while():
    world = open_world(repeat_interval_s=30, change_interval_s=2)
    said = []
    for second in range(100):
        world.now = START + second * SECOND
        said += [second for _ in world.quote(YES, 40, 42 if second == 50 else 41)]
    # Book at 0 s, repeats, the change at 50 s, and the change back 2 s later.
    assert [0, *said] == [0, 30, 50, 52, 82]


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(41, 43)), max_size=60))
def test_pace_holds_for_any_ticks(ticks):
    world = open_world(repeat_interval_s=10, change_interval_s=3)
    for pause, ask in ticks:
        world.now += pause * SECOND
        world.quote(YES, 40, ask)
    for (at, earlier), (then, later) in zip(world.out, world.out[1:], strict=False):
        assert then - at >= (3 if earlier.price != later.price else 10) * SECOND


def test_each_instrument_has_its_own_pace():
    world = open_world()
    assert len(world.snapshot_book(NO, 59, 60)) == 1
    assert world.quote(NO, 59, 60) == []


# ── gaps ──


def test_a_lost_message_silences_the_instrument_until_a_snapshot():
    world = open_world(change_interval_s=0)
    before = len(seen(world))
    assert world.quote(YES, 40, 45, lost=1) == []
    assert world.quote(YES, 40, 46) == []
    assert len(seen(world)) == before
    assert len(world.snapshot_book(YES, 40, 47)) == 1


def test_a_reported_gap_silences_too():
    world = open_world(change_interval_s=0)
    world.put(Gap(venue="kalshi", at=START, reason="seq"))
    assert world.quote(YES, 40, 45) == []


class Stubborn(Eager):
    """Proposes the other side, whose book may be gapped."""

    name: ClassVar[str] = "stubborn"

    def on_quote(self, instrument: str, top: Any) -> list[Proposal]:
        return [buy("stubborn", NO, top.ask)]


def test_a_proposal_on_a_gapped_or_unknown_book_goes_nowhere():
    world = SignalWorld(Stubborn)
    world.configure("stubborn", {"change_interval_s": 0})
    assert world.snapshot_book(YES, 40, 41) == []
    world.snapshot_book(NO, 59, 60)
    assert len(world.quote(YES, 40, 42)) == 1
    world.put(Gap(venue="kalshi", at=START, reason="seq", instrument=NO))
    assert world.quote(YES, 40, 43) == []


def test_a_new_session_needs_new_snapshots():
    world = open_world(change_interval_s=0)
    world.put(
        Session(tape="t", mode="playback", clock_owner="feed", started_at=START, nonce="m", expires_at=START)
    )
    assert world.quote(YES, 40, 45) == []


# ── markets, candles ──


def test_a_settled_market_is_forgotten():
    world = open_world()
    world.put(MARKET.replace(status=MarketStatus.SETTLED, result="yes"))
    assert seen(world)[-1] == "market settled"
    state = world.machine.state
    assert (state.markets, state.tops.tops, state.hosted["eager"].said) == ({}, {}, {})
    assert world.quote(YES, 40, 45) == []


def history(start_s: int, first: int, interval_s: int = 60, instrument: str = BTC) -> feed.Candle:
    return feed.Candle(
        instrument=instrument,
        at=START,
        start_at=START + start_s * SECOND,
        interval_s=interval_s,
        first=first,
        high=first + 50,
        low=first,
        last=first + 40,
    )


def test_history_fills_candles_up_to_the_first_trade_and_never_twice():
    world = SignalWorld(Charting)
    world.configure("charting", {})
    world.now = START + 10 * SECOND
    for start_s, first in [(-180, 10), (-120, 20), (-120, 99), (-60, 30), (0, 99)]:
        world.put(history(start_s, first))
    world.put(history(-60, 99, interval_s=300))
    world.put(history(-60, 99, instrument="binance:OTHER"))
    world.put(history(-60, 0))
    strategy = world.machine._strategies["charting"]
    assert strategy.state.seen == ["10-50", "20-60", "30-70"]
    for second in (10, 50, 70):
        world.now = START + second * SECOND
        world.trade(100 + second)
        # The venue's own candle of a minute that trades have told, or are telling, is no news.
        world.put(history(0, 99))
    assert strategy.state.seen == ["10-50", "20-60", "30-70", "110-150"]
    assert len(world.machine.state.hosted["charting"].candles[BTC].closed) == 4


def test_history_that_comes_after_the_first_trades_still_fills_what_is_before_them():
    world = SignalWorld(Charting)
    world.configure("charting", {})
    world.now = START + 10 * SECOND
    world.trade(100)
    for start_s in (-180, -60, 0):
        world.put(history(start_s, 10))
    closed = world.machine.state.hosted["charting"].candles[BTC].closed
    # Across the hole it starts anew.
    assert [candle.start_at for candle in closed] == [START - 60 * SECOND]


def test_candles_are_built_from_trades_for_who_asks():
    world = SignalWorld(Charting, Eager)
    world.configure("charting", {})
    world.configure("eager", {})
    for second in range(0, 181, 20):
        world.now = START + second * SECOND
        world.trade(100 + second)
        world.trade(5, instrument=YES)
    strategy = world.machine._strategies["charting"]
    assert strategy.state.seen == ["100-140", "160-200", "220-260"]
    assert list(world.machine.state.hosted["charting"].candles) == [BTC]
    assert world.machine.state.hosted["eager"].candles == {}


# ── errors ──


class Broken(Strategy[StrategyParams, Counts]):
    name: ClassVar[str] = "broken"

    def on_clock(self) -> list[Proposal]:
        raise RuntimeError("strategy error")


class Impostor(Strategy[StrategyParams, Counts]):
    name: ClassVar[str] = "impostor"

    def on_clock(self) -> list[Proposal]:
        return [buy("eager", YES, 1)]


@pytest.mark.parametrize(("strategy", "text"), [(Broken, "strategy error"), (Impostor, "'impostor'")])
def test_a_strategy_that_errs_stops_the_machine(strategy, text):
    world = SignalWorld(strategy, twin=False)
    world.put(FeedClock(at=START))
    world.configure(strategy.name, {})
    with pytest.raises((RuntimeError, ValueError), match=text):
        world.put(FeedClock(at=START))


# ── anything the feed may say ──

NAMES = st.sampled_from([YES, NO, BTC])
FEED = [Quote, Book, Trade, Market, Gap, FeedClock, Clock]


@st.composite
def feed_messages(draw: st.DrawFn):
    message: Any = draw(st.one_of([messages(model) for model in FEED]))
    changes: dict[str, Any] = {}
    if hasattr(message, "instrument"):
        changes["instrument"] = draw(NAMES)
    if isinstance(message, Book):
        changes["snapshot"] = draw(st.booleans())
    if isinstance(message, Market):
        changes |= {"market": "kalshi:M", "underlying": BTC, "outcomes": MARKET.outcomes}
    return message.replace(**changes) if changes else message


@given(st.lists(feed_messages(), max_size=25), st.lists(st.integers(0, 10**12), min_size=25, max_size=25))
def test_no_valid_message_stops_the_machine(feed, pauses):
    machine = SignalMachine([Momentum])
    config = Config(section="signal.momentum", document={"warmup_s": 1}, nonce="n", expires_at=START)
    machine.on(config, Stamp(1, START))
    now = START
    for seq, message in enumerate(feed):
        now += pauses[seq]
        machine.on(message, Stamp(seq + 2, now))
        machine.restore(machine.snapshot())


def change(new: int, proposal: str, **fields: Any) -> Command:
    given: dict[str, Any] = {
        "path": "signal.eager.repeat_interval_s",
        "section_hash": section_hash(StrategyParams().document()),
        "old": 30,
    }
    return Command(
        verb=Verb.ACCEPT, nonce=proposal, expires_at=START, proposal=proposal, new=new, **(given | fields)
    )


def test_an_accepted_change_counts_at_once_survives_a_new_session_and_can_be_taken_back():
    limits = {"counts": {"signal.eager.repeat_interval_s": {"low": 5, "high": 60, "step": 20}}}
    machine = SignalMachine([Eager])
    world = SignalWorld(Eager)
    out: list[SignalChange] = []

    def put(event: Message, at_s: int = 0) -> None:
        nonlocal machine
        world.seq += 1
        restored = SignalMachine([Eager])
        restored.restore(machine.snapshot())
        stamp = Stamp(world.seq, START + at_s * SECOND)
        said = list(machine.on(event, stamp))
        assert list(restored.on(event, stamp)) == said
        assert restored.snapshot() == machine.snapshot()
        machine = restored
        out.extend(message for message in said if isinstance(message, SignalChange))

    def repeats_s() -> int:
        return next(iter(machine._strategies.values())).params.repeat_interval_s

    def configure(document: dict[str, int]) -> None:
        put(Config(section="signal.eager", document=document, nonce="n", expires_at=START))

    put(Config(section="eval", document=limits, nonce="n", expires_at=START))
    configure({})
    put(change(20, "c-1", section_hash="0" * 16))
    put(change(20, "c-2"))
    assert (repeats_s(), [m.step for m in out]) == (20, [ChangeStep.REFUSED, ChangeStep.APPLIED])
    put(change(20, "c-3", path="signal.other.z"))
    put(change(20, "c-4", path="exit.decay_s"))
    assert len(out) == 2
    configure({})
    assert repeats_s() == 20
    other = Edit(path="signal.eager.x", section="signal.eager", section_hash="x", old=0, new=1)
    put(Revert(proposal="c-2", edit=other, reason="loss", at=START, barred_until=START + 1), 3_600)
    assert (repeats_s(), out[-1].step, out[-1].edit.new) == (30, ChangeStep.REVERTED, 20)
    put(change(20, "c-5"), 3_601)
    assert "last week" in out[-1].reason
    put(change(40, "c-6"), 3_602)
    configure({"repeat_interval_s": 25})
    assert (repeats_s(), out[-1].step) == (25, ChangeStep.ENDED)
