"""Rules about the feed: instruments of open markets keep speaking, and books have no holes."""

from proto.feed import Book, Gap, Market, MarketStatus, Quote, Trade
from proto.monitor import Severity
from proto.units import MOMENT_MAX, SECOND
from services.monitor.board import Board
from services.monitor.state import COUNTER_UNKNOWN, FeedRecord, MonitorState

SILENT = "silent_feed"
GAPPED = "book_gapped"

_SPEAKING = (MarketStatus.OPEN, MarketStatus.PAUSED)
_OVER = (MarketStatus.DETERMINED, MarketStatus.SETTLED)


def on_message(state: MonitorState, board: Board, event: Quote | Book | Trade) -> None:
    """The long way: a new, silent or gapped instrument, or a counter that is not the next one."""
    instrument = event.instrument
    feed = state.feeds.get(instrument)
    if feed is None:
        feed = FeedRecord(seen_at=board.now)
        state.feeds[instrument] = feed
    feed.seen_at = board.now
    if feed.silent:
        feed.silent = False
        board.over(SILENT, instrument, "speaking again")
    if isinstance(event, Trade):
        # An instrument without a book (a reference price) is whole again with its next trade.
        if feed.counter == COUNTER_UNKNOWN:
            _heal(state, board, instrument, feed)
    elif isinstance(event, Book) and event.snapshot:
        _heal(state, board, instrument, feed)
        feed.counter = event.counter
    else:
        jumped = feed.counter not in (COUNTER_UNKNOWN, event.counter - 1)
        if jumped and not feed.gapped:
            feed.gapped = instrument
            text = f"expected counter {feed.counter + 1}, was {event.counter}"
            board.alert(GAPPED, Severity.WARNING, instrument, text)
        feed.counter = event.counter
    feed.attention = feed.silent or bool(feed.gapped)


def on_gap(state: MonitorState, board: Board, gap: Gap) -> None:
    """The feed itself says that it lost continuity, for an instrument or for a whole venue."""
    if gap.instrument:
        feed = state.feeds.setdefault(gap.instrument, FeedRecord(seen_at=board.now))
        if not feed.gapped:
            _mark(board, feed, gap.instrument, gap.reason)
        return
    prefix = f"{gap.venue}:"
    for instrument, feed in state.feeds.items():
        if instrument.startswith(prefix) and not feed.gapped:
            _mark(board, feed, gap.venue, gap.reason)


def on_market(state: MonitorState, board: Board, market: Market) -> None:
    """Watch the instruments of a market while it trades; forget them when it is decided."""
    if market.status in _OVER:
        state.markets.pop(market.market, None)
        for outcome in market.outcomes:
            feed = state.feeds.pop(outcome.instrument, None)
            if feed is not None:
                _forget(state, board, outcome.instrument, feed)
        return
    if market.market not in state.markets or state.markets[market.market].status not in _SPEAKING:
        # The instruments had no reason to speak before the market opened.
        for instrument in _instruments(market):
            seen = state.feeds.setdefault(instrument, FeedRecord(seen_at=board.now))
            seen.seen_at = board.now
    state.markets[market.market] = market


def sweep(state: MonitorState, board: Board) -> int:
    """Raise for instruments that should speak and do not; clear those that no longer should.

    Returns:
        The last moment (ns) at which another sweep would find nothing, unless a market, the configuration or time itself
        changes: until then nobody has been silent for too long, and no market of a silent one closes.
    """
    params = state.params
    if params is None:
        return board.now
    limit = params.silent_feed_s * SECOND
    # Whoever speaks from now on is silent for too long after this at the earliest.
    quiet_until = board.now + limit
    watched, closes_at = _watched(state, board.now)
    is_any_silent = False
    for instrument, feed in state.feeds.items():
        if instrument not in watched:
            if feed.silent:
                _speak(board, instrument, feed)
        elif feed.silent:
            is_any_silent = True
        elif board.now - feed.seen_at > limit:
            feed.silent = feed.attention = is_any_silent = True
            board.alert(SILENT, Severity.WARNING, instrument, f"no message for {params.silent_feed_s} s")
        elif feed.seen_at + limit < quiet_until:
            quiet_until = feed.seen_at + limit
    return min(quiet_until, closes_at - 1) if is_any_silent else quiet_until


def _watched(state: MonitorState, now: int) -> tuple[dict[str, bool], int]:
    """The instruments of markets that trade, and when the first of these closes."""
    watched: dict[str, bool] = {}
    closes_at = MOMENT_MAX
    for market in state.markets.values():
        close_at = market.close_at
        if market.status is MarketStatus.OPEN and (not close_at or now < close_at):
            closes_at = min(closes_at, close_at or MOMENT_MAX)
            for instrument in _instruments(market):
                watched[instrument] = True
    return watched, closes_at


def restart(state: MonitorState, board: Board) -> None:
    """A session opens: the feed lists its markets and sends its books anew."""
    board.over_all(SILENT, "a new session")
    board.over_all(GAPPED, "a new session")
    state.feeds.clear()
    state.markets.clear()


def rebase(state: MonitorState, now: int) -> None:
    """Session time has jumped: every instrument's time starts again."""
    for feed in state.feeds.values():
        feed.seen_at = now


def _instruments(market: Market) -> tuple[str, ...]:
    outcomes = tuple(outcome.instrument for outcome in market.outcomes)
    return (*outcomes, market.underlying) if market.underlying else outcomes


def _mark(board: Board, feed: FeedRecord, topic: str, reason: str) -> None:
    feed.gapped = topic
    feed.attention = True
    board.alert(GAPPED, Severity.WARNING, topic, reason)


def _heal(state: MonitorState, board: Board, instrument: str, feed: FeedRecord) -> None:
    topic = feed.gapped
    feed.gapped = ""
    # A venue's gap is over when the last of its instruments has a whole book again.
    if topic and not any(other.gapped == topic for other in state.feeds.values()):
        board.over(GAPPED, topic, f"whole again with {instrument}")


def _forget(state: MonitorState, board: Board, instrument: str, feed: FeedRecord) -> None:
    if feed.silent:
        _speak(board, instrument, feed)
    _heal(state, board, instrument, feed)


def _speak(board: Board, instrument: str, feed: FeedRecord) -> None:
    feed.silent = False
    feed.attention = bool(feed.gapped)
    board.over(SILENT, instrument, "its market no longer trades")
