"""The signal machine: hosts strategies and lets their proposals through at a bounded rate."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import msgspec

from libs.changes import book, limits
from libs.config.section import Section
from libs.contract.plain import decode_state, encode_state
from libs.indicators.candles import Candle, Candles
from libs.indicators.tops import Tops
from libs.machine.machine import NOTHING, Stamp, StateMachine
from libs.machine.routes import AfterTops
from proto import feed
from proto.advisor import Forecast
from proto.evaluation import Revert, SignalChange
from proto.feed import Book, FeedClock, Gap, Market, MarketStatus, News, Quote, Trade
from proto.message import Message
from proto.monitor import Clock
from proto.operator import Command, Config, Session, Verb
from proto.signal import Proposal
from proto.units import SECOND
from services.signal.strategy import Hosted, MarketView, Said, Strategy

CANDLES_KEPT_COUNT = 100
"""Closed candles kept an instrument: more than the longest common look-back (50), and small."""

PAST_INTERVAL_S = 1
"""Length of the candles that tell the past before the first live trade."""

SECTION_PREFIX = "signal."

AnyStrategy = Strategy[Any, Any]
Hook = Callable[..., Sequence[Proposal]]


_ALIVE = (MarketStatus.LISTED, MarketStatus.OPEN, MarketStatus.PAUSED)


class SignalState(msgspec.Struct):
    """Tops and markets, and for each strategy what the host keeps and its own state, encoded."""

    tops: Tops = msgspec.field(default_factory=Tops)
    markets: dict[str, Market] = {}
    hosted: dict[str, Hosted] = {}
    strategies: dict[str, msgspec.Raw] = {}
    changes: book.ChangeBook = msgspec.field(default_factory=book.ChangeBook)


class SignalMachine(StateMachine[SignalState]):
    """Routes events to strategies.

    A proposal passes if it is new for its instrument, changed (at most once in ``change_interval_s``), or
    ``repeat_interval_s`` after the last; and only on a book without a gap.
    """

    name: ClassVar[str] = "signal"
    version: ClassVar[int] = 6
    """2: strategies price a market by its payoff and leave those alone whose payoff is not known.
    3: no single live message sets its time far ahead.
    4: strategies know the seconds of before the start. 5: applies accepted changes of its sections.
    6: model_edge trades markets without a close up to their expected end; near_certainty prices nothing that is decided."""

    def __init__(self, strategies: Iterable[type[AnyStrategy]]) -> None:
        super().__init__(SignalState())
        self._types = {strategy.name: strategy for strategy in strategies}
        self._bind({})
        self.handlers = {
            Quote: self._on_quote,
            Book: self._on_book,
            Trade: self._on_trade,
            feed.Candle: self._on_candle,
            Market: self._on_market,
            Gap: self._on_gap,
            Forecast: self._on_forecast,
            News: self._on_news,
            Clock: self._on_clock,
            FeedClock: self._on_clock,
            Session: self._on_session,
            Config: self._on_config,
            Command: self._on_command,
            Revert: self._on_revert,
        }

    # ── state and the objects made from it ─────────────────────────────────────────────────────────

    def snapshot(self) -> bytes:
        self.state.strategies = {
            name: msgspec.Raw(encode_state(strategy.state)) for name, strategy in self._strategies.items()
        }
        return super().snapshot()

    def restore(self, state: bytes) -> None:
        super().restore(state)
        self._bind(self.state.strategies)

    def _bind(self, encoded: dict[str, msgspec.Raw]) -> None:
        """Make the strategy objects of the state: fresh ones where it holds none."""
        self.view = MarketView(self.state.tops, self.state.markets)
        self._strategies: dict[str, AnyStrategy] = {}
        for name, strategy_type in self._types.items():
            hosted = self.state.hosted.setdefault(name, Hosted())
            strategy = strategy_type(self.view, hosted)
            if name in encoded:
                strategy.state = decode_state(encoded[name], strategy_type.state_type)
            if hosted.document is not None:
                strategy.params = strategy_type.params_type.model_validate(hosted.document)
            self._strategies[name] = strategy
        self._collect_hooks()

    def _collect_hooks(self) -> None:
        self._quote_hooks = self._hooks("on_quote")
        self._trade_hooks = self._hooks("on_trade")
        self._market_hooks = self._hooks("on_market")
        self._clock_hooks = self._hooks("on_clock")
        self._forecast_hooks = self._hooks("on_forecast")
        self._news_hooks = self._hooks("on_news")
        self._candle_hooks = self._hooks("on_candle")
        self._past_hooks = self._hooks("on_past")
        self._vote_hooks = self._hooks("on_votes")

    def _hooks(self, name: str) -> list[tuple[AnyStrategy, Hook]]:
        """The overridden hooks of configured strategies, in the order the strategies were given."""
        return [
            (strategy, getattr(strategy, name))
            for strategy in self._strategies.values()
            if strategy.hosted.document is not None
            and getattr(type(strategy), name) is not getattr(Strategy, name)
        ]

    # ── handlers ───────────────────────────────────────────────────────────────────────────────────

    def _on_config(self, config: Config, stamp: Stamp) -> Sequence[Message]:
        if config.section == limits.SECTION:
            self.state.changes.limits = limits.limits_in(config.document)
        strategy = self._configured_by(config.section)
        if strategy is None:
            return NOTHING
        first = strategy.hosted.document is None
        params = strategy.params_type.model_validate(config.document)
        document, over = book.configured(self.state.changes, config.section, params)
        self._configure(strategy, document if document != params.document() else config.document)
        out: list[Message] = [book.outcome(SignalChange, done, strategy.params, stamp.now) for done in over]
        self._collect_hooks()
        if not first:
            return out or NOTHING
        hooks = [(owner, hook) for owner, hook in self._market_hooks if owner is strategy]
        for market in self.state.markets.values():
            out.extend(self._call(hooks, stamp, market))
        return out

    def params_of(self, section: str) -> Section | None:
        """A strategy's section as it is now, accepted changes included; ``None`` where it is not configured."""
        strategy = self._configured_by(section)
        return strategy.params if strategy is not None and strategy.hosted.document is not None else None

    def _configured_by(self, section: str) -> AnyStrategy | None:
        """The strategy whose section it is."""
        if not section.startswith(SECTION_PREFIX):
            return None
        return self._strategies.get(section.removeprefix(SECTION_PREFIX))

    @staticmethod
    def _configure(strategy: AnyStrategy, document: dict[str, Any]) -> None:
        strategy.params = strategy.params_type.model_validate(document)
        strategy.hosted.document = document

    def _on_command(self, command: Command, stamp: Stamp) -> Sequence[Message]:
        section, _ = limits.split_path(command.path)
        strategy = self._configured_by(section)
        if command.verb is not Verb.ACCEPT or strategy is None or strategy.hosted.document is None:
            return NOTHING
        done = book.accept(self.state.changes, command, section, strategy.params, stamp.now)
        return self._change(strategy, done, stamp)

    def _on_revert(self, revert: Revert, stamp: Stamp) -> Sequence[Message]:
        known = self.state.changes.changes.get(revert.proposal)
        strategy = self._configured_by(revert.edit.section if known is None else known.section)
        if strategy is None or strategy.hosted.document is None:
            return NOTHING
        return self._change(
            strategy, book.revert(self.state.changes, revert, strategy.params, stamp.now), stamp
        )

    def _change(self, strategy: AnyStrategy, done: book.Applied, stamp: Stamp) -> Sequence[Message]:
        if done.document is not None:
            self._configure(strategy, done.document)
        return (book.outcome(SignalChange, done, strategy.params, stamp.now),)

    def _on_session(self, session: Session, stamp: Stamp) -> Sequence[Message]:  # noqa: ARG002
        self.state.tops.on_session()
        return NOTHING

    @property
    def tops(self) -> Tops:
        return self.state.tops

    def after_tops(self) -> AfterTops:
        return AfterTops(on_quote=self._after_quote, on_healing=self._after_healing)

    def _on_quote(self, quote: Quote, stamp: Stamp) -> Sequence[Message]:
        self.state.tops.on_quote(quote)
        return self._after_quote(quote, stamp)

    def _after_quote(self, quote: Quote, stamp: Stamp) -> Sequence[Message]:
        instrument = quote.instrument
        top = self.state.tops.tops.get(instrument)
        if top is None or top.gapped:
            return NOTHING
        # As _call does it, without its cost: nearly all messages are quotes that mean nothing.
        self.view.now = stamp.now
        made = [(strategy, found) for strategy, hook in self._quote_hooks if (found := hook(instrument, top))]
        return self._published(made, stamp.now) if made else NOTHING

    def _on_book(self, book: Book, stamp: Stamp) -> Sequence[Message]:
        # Every change of the best price also comes as a Quote, so only a healing book is news.
        self.state.tops.on_book(book)
        return self._after_healing(book, stamp) if book.snapshot else NOTHING

    def _after_healing(self, book: Book, stamp: Stamp) -> Sequence[Message]:
        top = self.state.tops.tops.get(book.instrument)
        if top is None or not self._quote_hooks:
            return NOTHING
        return self._call(self._quote_hooks, stamp, book.instrument, top)

    def _on_gap(self, gap: Gap, stamp: Stamp) -> Sequence[Message]:  # noqa: ARG002
        self.state.tops.on_gap(gap)
        return NOTHING

    def _on_trade(self, trade: Trade, stamp: Stamp) -> Sequence[Message]:
        if not trade.price:
            # Nothing is worth nothing: a broken print, and no strategy's logarithm should meet it.
            return NOTHING
        out = self._feed_candles(trade, stamp) if self._candle_hooks else NOTHING
        if not self._trade_hooks:
            return out
        proposals = self._call(self._trade_hooks, stamp, trade)
        return [*out, *proposals] if out else proposals

    def _feed_candles(self, trade: Trade, stamp: Stamp) -> Sequence[Message]:
        out: list[Message] = []
        for strategy, hook in self._candle_hooks:
            candles = strategy.hosted.candles.get(trade.instrument)
            if candles is None:
                interval_s = strategy.candle_interval_s(trade.instrument)
                if interval_s <= 0:
                    continue
                candles = Candles(interval_s, CANDLES_KEPT_COUNT)
                strategy.hosted.candles[trade.instrument] = candles
            for candle in candles.add(stamp.now, trade.price, trade.quantity):
                out.extend(self._call([(strategy, hook)], stamp, trade.instrument, candle))
        return out or NOTHING

    def _on_candle(self, told: feed.Candle, stamp: Stamp) -> Sequence[Message]:
        """History of a reference price: what strategies would have seen had they run already."""
        closed_at = told.start_at + told.interval_s * SECOND
        is_candle = told.interval_s > 0 and told.first and told.low and told.last
        if not is_candle or closed_at > stamp.now:
            return NOTHING
        candle = Candle(told.start_at, told.first, told.high, told.low, told.last, told.volume)
        if told.interval_s == PAST_INTERVAL_S:
            self.view.now = stamp.now
            for _, hook in self._past_hooks:
                hook(told.instrument, candle)
        out: list[Message] = []
        for strategy, hook in self._candle_hooks:
            if strategy.candle_interval_s(told.instrument) != told.interval_s:
                continue
            candles = strategy.hosted.candles.get(told.instrument)
            if candles is None:
                candles = Candles(told.interval_s, CANDLES_KEPT_COUNT)
                strategy.hosted.candles[told.instrument] = candles
            if candles.seed(candle):
                out.extend(self._call([(strategy, hook)], stamp, told.instrument, candle))
        return out or NOTHING

    def _on_market(self, market: Market, stamp: Stamp) -> Sequence[Message]:
        self.state.markets[market.market] = market
        out = self._call(self._market_hooks, stamp, market)
        if market.status is MarketStatus.SETTLED:
            self._forget(market)
        return out

    def _on_forecast(self, forecast: Forecast, stamp: Stamp) -> Sequence[Message]:
        if not self._forecast_hooks:
            return NOTHING
        return self._call(self._forecast_hooks, stamp, forecast, stamp.seq)

    def _on_news(self, news: News, stamp: Stamp) -> Sequence[Message]:
        return self._call(self._news_hooks, stamp, news) if self._news_hooks else NOTHING

    def _forget(self, market: Market) -> None:
        del self.state.markets[market.market]
        for outcome in market.outcomes:
            self.state.tops.forget(outcome.instrument)
            for hosted in self.state.hosted.values():
                hosted.said.pop(outcome.instrument, None)
                hosted.candles.pop(outcome.instrument, None)

    def _on_clock(self, clock: Clock | FeedClock, stamp: Stamp) -> Sequence[Message]:  # noqa: ARG002
        return self._call(self._clock_hooks, stamp) if self._clock_hooks else NOTHING

    def unpriced(self) -> dict[str, list[str]]:
        """Why → markets that trade or will, and that no strategy can price."""
        found: dict[str, list[str]] = {}
        active = [strategy for strategy in self._strategies.values() if strategy.hosted.document is not None]
        for market in self.state.markets.values():
            if market.status not in _ALIVE:
                continue
            reasons = [f"{strategy.name}: {strategy.why_not_priced(market)}" for strategy in active]
            if active and not any(reason.endswith(": ") for reason in reasons):
                found.setdefault("; ".join(reasons), []).append(market.market)
        return found

    # ── proposals ──────────────────────────────────────────────────────────────────────────────────

    def _call(
        self, hooks: list[tuple[AnyStrategy, Hook]], stamp: Stamp, *arguments: Any
    ) -> Sequence[Message]:
        self.view.now = stamp.now
        made = [(strategy, found) for strategy, hook in hooks if (found := hook(*arguments))]
        return self._published(made, stamp.now) if made else NOTHING

    def _published(self, made: list[tuple[AnyStrategy, Sequence[Proposal]]], now: int) -> list[Proposal]:
        """What goes out of the proposals that strategies made on one event."""
        out: list[Proposal] = []
        votes: list[Proposal] = []
        for strategy, proposals in made:
            is_vote = self._vote_hooks and self._taker_of(strategy)
            (votes if is_vote else out).extend(self._admitted(strategy, proposals, now))
        return [*out, *self._voted(votes, now)] if votes else out

    def _taker_of(self, strategy: AnyStrategy) -> AnyStrategy | None:
        """The strategy for which another's proposals are votes."""
        takers = (taker for taker, _ in self._vote_hooks if taker is not strategy)
        return next((taker for taker in takers if taker.takes_votes_of(strategy.name)), None)

    def _voted(self, votes: list[Proposal], now: int) -> list[Proposal]:
        """What comes of the votes of one event: all of them are heard before anything is made of them."""
        made: list[Proposal] = []
        for taker, hook in self._vote_hooks:
            heard = [vote for vote in votes if self._taker_of(self._strategies[vote.strategy]) is taker]
            if heard:
                made += self._admitted(taker, hook(heard), now)
        return made

    def _admitted(self, strategy: AnyStrategy, proposals: Sequence[Proposal], now: int) -> list[Proposal]:
        return [proposal for proposal in proposals if self._admit(strategy, proposal, now)]

    def _admit(self, strategy: AnyStrategy, proposal: Proposal, now: int) -> bool:
        """Whether a proposal goes out; remembers it if so.

        Raises:
            ValueError: for a proposal in another strategy's name, which would blur every account of profit.
        """
        if proposal.strategy != strategy.name:
            raise ValueError(f"expected strategy {strategy.name!r}, was {proposal.strategy!r}")
        if strategy.top(proposal.instrument) is None:
            return False
        said = strategy.hosted.said.get(proposal.instrument)
        if said is not None and not self._is_due(strategy, proposal, said, now):
            return False
        strategy.hosted.said[proposal.instrument] = Said(now, proposal.side, proposal.price)
        return True

    @staticmethod
    def _is_due(strategy: AnyStrategy, proposal: Proposal, said: Said, now: int) -> bool:
        changed = said.price != proposal.price or said.side is not proposal.side
        params = strategy.params
        wait_s = params.change_interval_s if changed else params.repeat_interval_s
        return not 0 <= now - said.at < wait_s * SECOND
