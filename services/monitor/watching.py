"""The operator's own conditions: what is watched of an instrument, and when an alert is raised or over.

A figure that nobody knows (no price on one side, no fair value that still counts) meets no condition and ends none.
"""

from collections.abc import Callable, Sequence

from libs.bounded import keep_newest
from proto.advisor import AnswerStatus, Forecast
from proto.feed import Book, Market, MarketStatus, Quote, Trade
from proto.monitor import Severity
from proto.signal import Proposal
from proto.units import SECOND, show
from services.monitor.board import Board
from services.monitor.conditions import AlertCondition, AlertsParams, moment_s
from services.monitor.state import MonitorState, PriceStep, WatchedInstrument

RULE = "condition"
REFUSED = "condition_refused"
WATCHED_MAX = 256
"""Instruments that conditions are about, all in all; markets that end make room."""
STEPS_MAX = 60
"""Steps of a window: its edge is as exact as a sixtieth of it."""
NANOSECONDS_OF_A_MILLIONTH = 1_000

_OVER = (MarketStatus.CLOSED, MarketStatus.DETERMINED, MarketStatus.SETTLED)
_OF_A_WINDOW = ("volume", "change")
_UNITS = {"volume": " contracts", "time_to_close": " s"}


def configure(state: MonitorState, board: Board, params: AlertsParams) -> None:
    """Take the section: what is gone or changed is over and forgotten, and what could not be read is said."""
    before = {condition.name: condition for condition in state.conditions}
    chosen: dict[str, AlertCondition] = {}
    refused = list(params.refused)
    for condition in params.conditions:
        if condition.name in chosen:
            refused.append(f"{condition.name}: expected each name once, was twice")
        else:
            chosen[condition.name] = condition
    for name, condition in before.items():
        if chosen.get(name) != condition:
            _end(board, [topic for topic in state.active.get(RULE, {}) if _name_of(topic) == name])
            state.told.pop(name, None)
    state.conditions = list(chosen.values())
    board.over_all(REFUSED)
    for text in refused:
        entry = text.partition(": ")[0]
        board.alert(REFUSED, Severity.WARNING, entry, f"left out, the others are watched: {text}")


def restart(state: MonitorState, board: Board) -> None:
    """A session opens: what was seen in the last one is not now."""
    state.watched.clear()
    board.over_all(RULE, "a new session")


def rebase(state: MonitorState, now: int) -> None:
    """Session time has jumped: windows begin anew."""
    for told in state.told.values():
        for instrument, at in told.items():
            told[instrument] = min(at, now)
    for record in state.watched.values():
        record.steps.clear()
        record.fair_at = 0


def on_book(state: MonitorState, board: Board, about: Sequence[AlertCondition], event: Quote | Book) -> None:
    """The best prices of a watched instrument."""
    record = _record(state, event.instrument)
    if record is None:
        return
    if isinstance(event, Quote):
        record.bid, record.ask = event.bid or 0, event.ask or 0
    else:
        record.bid = event.bids[0].price if event.bids else 0
        record.ask = event.asks[0].price if event.asks else 0
    _judge(state, board, about, event.instrument, record)


def on_trade(state: MonitorState, board: Board, about: Sequence[AlertCondition], trade: Trade) -> None:
    """A trade in a watched instrument."""
    record = _record(state, trade.instrument)
    if record is None:
        return
    record.last = trade.price
    if not record.steps:
        record.steps.append(PriceStep(board.now, _price(record)))
    record.steps[-1].volume += trade.quantity
    _judge(state, board, about, trade.instrument, record)


def on_value(
    state: MonitorState, board: Board, about: Sequence[AlertCondition], event: Proposal | Forecast
) -> None:
    """What a strategy or the advisor takes an instrument to be worth."""
    record = _record(state, event.instrument)
    if record is None:
        return
    if isinstance(event, Proposal):
        record.fair, record.fair_at = event.fair_value, board.now
    elif event.status is AnswerStatus.FORECAST:
        record.fair, record.fair_at = event.probability, board.now
    _judge(state, board, about, event.instrument, record)


def on_market(state: MonitorState, board: Board, market: Market) -> None:
    """A market that is over is not watched any more."""
    if market.status not in _OVER:
        return
    for outcome in market.outcomes:
        if state.watched.pop(outcome.instrument, None) is not None:
            topics = [topic for topic in state.active.get(RULE, {}) if _of(topic) == outcome.instrument]
            _end(board, topics, "its market is over")
            for told in state.told.values():
                told.pop(outcome.instrument, None)


def sweep(state: MonitorState, board: Board, about_of: Callable[[str], Sequence[AlertCondition]]) -> None:
    """Time passes: windows move on, markets near their close."""
    for instrument, record in state.watched.items():
        about = about_of(instrument)
        _step(board.now, about, record)
        _judge(state, board, about, instrument, record)


def conditions_about(state: MonitorState, instrument: str) -> tuple[AlertCondition, ...]:
    """The conditions that watch an instrument."""
    return tuple(condition for condition in state.conditions if condition.is_about(instrument))


def _record(state: MonitorState, instrument: str) -> WatchedInstrument | None:
    record = state.watched.get(instrument)
    if record is None and len(state.watched) < WATCHED_MAX:
        record = state.watched[instrument] = WatchedInstrument()
    return record


def _step(now: int, about: Sequence[AlertCondition], record: WatchedInstrument) -> None:
    """Begin a step where it is time for one, and forget those that no window reaches."""
    windows = [condition.within_s for condition in about if condition.watch in _OF_A_WINDOW]
    if not windows:
        record.steps.clear()
        return
    longest = max(windows)
    grain = max(1, longest // STEPS_MAX) * SECOND
    if not record.steps or now - record.steps[-1].at >= grain:
        record.steps.append(PriceStep(now, _price(record)))
    while len(record.steps) > 1 and now - record.steps[0].at > longest * SECOND:
        del record.steps[0]


def _judge(
    state: MonitorState,
    board: Board,
    about: Sequence[AlertCondition],
    instrument: str,
    record: WatchedInstrument,
) -> None:
    for condition in about:
        topic = f"{condition.name} {instrument}"
        if condition.until and board.now >= moment_s(condition.until) * SECOND:
            board.over(RULE, topic, "not watched any more")
            continue
        figure = _figure(state, board.now, condition, instrument, record)
        if figure is None:
            continue
        words = _beyond(condition, figure)
        if not words:
            board.over(RULE, topic, f"{condition.watch} is {_shown(condition, figure)}")
        elif not board.is_active(RULE, topic) and _may_tell(state, board.now, condition, instrument):
            text = f"{condition.watch} of {instrument} is {_shown(condition, figure)}, {words}"
            board.alert(RULE, condition.severity, topic, text)
            if board.is_active(RULE, topic):
                told = state.told.setdefault(condition.name, {})
                told[instrument] = board.now
                keep_newest(told, WATCHED_MAX)


def _may_tell(state: MonitorState, now: int, condition: AlertCondition, instrument: str) -> bool:
    told_at = state.told.get(condition.name, {}).get(instrument)
    if told_at is None:
        return True
    return bool(condition.again_after_s) and now - told_at >= condition.again_after_s * SECOND


def _figure(
    state: MonitorState, now: int, condition: AlertCondition, instrument: str, record: WatchedInstrument
) -> int | None:
    """What is watched, in millionths of its unit; ``None`` while nobody knows it."""
    since = now - condition.within_s * SECOND
    price = _price(record)
    if condition.watch == "price":
        return price or None
    if condition.watch == "spread":
        return record.ask - record.bid if record.bid and record.ask else None
    if condition.watch == "edge":
        return record.fair - price if price and record.fair_at and record.fair_at >= since else None
    if condition.watch == "time_to_close":
        market = state.markets.get(instrument.rpartition(":")[0])
        left = market.close_at - now if market is not None and market.close_at else -1
        return left // NANOSECONDS_OF_A_MILLIONTH if left >= 0 else None
    steps = [step for step in record.steps if step.at >= since]
    if condition.watch == "volume":
        return sum(step.volume for step in steps)
    before = next((step.price for step in steps if step.price), 0)
    return price - before if price and before else None


def _price(record: WatchedInstrument) -> int:
    """The middle of bid and ask; where a side is missing the last trade; 0 where there is neither."""
    return (record.bid + record.ask) // 2 if record.bid and record.ask else record.last


def _beyond(condition: AlertCondition, figure: int) -> str:
    """How a figure meets the condition; empty when it does not."""
    if condition.above is not None and figure > condition.above:
        return f"above {_shown(condition, condition.above)}"
    if condition.below is not None and figure < condition.below:
        return f"below {_shown(condition, condition.below)}"
    return ""


def _shown(condition: AlertCondition, figure: int) -> str:
    return show(figure) + _UNITS.get(condition.watch, "")


def _end(board: Board, topics: Sequence[str], text: str = "") -> None:
    for topic in topics:
        board.over(RULE, topic, text)


def _name_of(topic: str) -> str:
    return topic.partition(" ")[0]


def _of(topic: str) -> str:
    return topic.partition(" ")[2]
