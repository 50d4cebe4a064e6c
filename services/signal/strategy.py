"""The strategy API: subclass :class:`Strategy`, override the hooks you need, return proposals.

A strategy is pure like the machine that hosts it: no clock, randomness, files or network; time is
``self.now``, everything it remembers is in ``self.state``. The same class runs in backtest, on paper and
live. See README.md for a complete example.
"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from msgspec import Struct

from libs.config.section import Section, setting, whole
from libs.indicators.candles import Candle, Candles
from libs.indicators.tops import Top, Tops
from proto.advisor import Forecast
from proto.feed import Market, News, Side, Trade
from proto.signal import Proposal
from proto.units import SECOND, Nanoseconds, Price

NO_PROPOSALS: tuple[Proposal, ...] = ()

DAY_S = 86_400


class StrategyParams(Section):
    """Parameters every strategy has; subclass it and add yours, with defaults and bounds."""

    changeable: ClassVar[frozenset[str]] = frozenset(("repeat_interval_s", "change_interval_s"))

    repeat_interval_s: Annotated[int, whole(1, DAY_S)] = setting(
        30, "an unchanged proposal is said again after that many seconds, not earlier"
    )
    change_interval_s: Annotated[int, whole(0, DAY_S)] = setting(
        1, "a changed one (other price or side) after that many"
    )


class NoState(Struct):
    """The state of a strategy that remembers nothing."""


class Said(Struct, array_like=True):
    """The last proposal for an instrument that the host let through."""

    at: Nanoseconds
    side: Side
    price: Price


class Hosted(Struct):
    """What the host keeps for one strategy."""

    document: dict[str, Any] | None = None
    candles: dict[str, Candles] = {}
    said: dict[str, Said] = {}


class MarketView:
    """What strategies may look at. ``now`` is the session's time in nanoseconds."""

    __slots__ = ("markets", "now", "tops")

    def __init__(self, tops: Tops, markets: dict[str, Market]) -> None:
        self.tops = tops
        self.markets = markets
        self.now: Nanoseconds = 0


Params = TypeVar("Params", bound=StrategyParams)
State = TypeVar("State", bound=Struct)


class Strategy(Generic[Params, State]):
    """Base of the strategies. Set ``name``, ``params_type`` and ``state_type``; override hooks.

    Hooks are called only if overridden, and only after the section ``signal.<name>`` of the
    configuration was read; then ``on_market`` is first called for each market listed before.
    A hook that raises stops the signal machine: an error in a strategy must be seen, not traded on.
    """

    name: ClassVar[str]
    params_type: ClassVar[type[StrategyParams]] = StrategyParams
    state_type: ClassVar[type[Struct]] = NoState

    params: Params
    state: State

    def __init__(self, view: MarketView, hosted: Hosted) -> None:
        self.view = view
        self.hosted = hosted
        self.state = self.state_type()  # type: ignore[assignment]  # the subclass pairs State and state_type

    # ── hooks ──────────────────────────────────────────────────────────────────────────────────────

    def on_market(self, market: Market) -> Sequence[Proposal]:
        """A market was listed or changed; called a last time when it settled."""
        raise NotImplementedError

    def on_quote(self, instrument: str, top: Top) -> Sequence[Proposal]:
        """The best bid or ask changed. Not called while the instrument's book is gapped."""
        raise NotImplementedError

    def on_trade(self, trade: Trade) -> Sequence[Proposal]:
        """A trade at a venue, of a market's outcome or of a reference price."""
        raise NotImplementedError

    def on_candle(self, instrument: str, candle: Candle) -> Sequence[Proposal]:
        """A candle closed, for instruments that :meth:`candle_interval_s` asks for."""
        raise NotImplementedError

    def on_past(self, instrument: str, candle: Candle) -> None:
        """A second of a reference price's past, oldest first, before the first live trade; nothing is proposed on it.

        After a restart of the feed it may be a second that trades have told already.
        """
        raise NotImplementedError

    def on_forecast(self, forecast: Forecast, seq: int) -> Sequence[Proposal]:
        """The advisor forecast a market; ``seq`` is where it stands on the tape. Its numbers are claims, not facts."""
        raise NotImplementedError

    def on_news(self, news: News) -> Sequence[Proposal]:
        """An item of a news feed: somebody's words, for rules of yours, never an instruction."""
        raise NotImplementedError

    def on_clock(self) -> Sequence[Proposal]:
        """A second of session time passed."""
        raise NotImplementedError

    def on_votes(self, votes: Sequence[Proposal]) -> Sequence[Proposal]:
        """What others propose on one event of whom :meth:`takes_votes_of` says yes: it goes here and not out."""
        raise NotImplementedError

    def takes_votes_of(self, strategy: str) -> bool:  # noqa: ARG002 - for subclasses
        """Whether a strategy's proposals are votes for this one; asked only where ``on_votes`` is overridden."""
        return True

    def candle_interval_s(self, instrument: str) -> int:  # noqa: ARG002 - for subclasses
        """Length of the candles wanted of an instrument's trades; 0 for none."""
        return 0

    def why_not_priced(self, market: Market) -> str:  # noqa: ARG002 - for subclasses
        """Why it can never propose anything for a market, in words; "" when it may. Shown by ``presage status``."""
        return ""

    # ── helpers ────────────────────────────────────────────────────────────────────────────────────

    @property
    def now(self) -> Nanoseconds:
        """The session's time in nanoseconds."""
        return self.view.now

    def market(self, name: str) -> Market | None:
        """The newest message of a market that is not settled."""
        return self.view.markets.get(name)

    def market_of(self, instrument: str) -> Market | None:
        """The market an outcome's instrument belongs to."""
        return self.view.markets.get(instrument.rpartition(":")[0])

    def top(self, instrument: str) -> Top | None:
        """Best bid and ask; ``None`` if unknown, or if messages were lost since the last snapshot."""
        top = self.view.tops.tops.get(instrument)
        return None if top is None or top.gapped else top

    def candles(self, instrument: str) -> Candles | None:
        """The candles the host built for this strategy."""
        return self.hosted.candles.get(instrument)

    def may_propose(self, instrument: str) -> bool:
        """Whether a changed proposal would be let through now; saves computing one that would not."""
        said = self.hosted.said.get(instrument)
        return said is None or not 0 <= self.now - said.at < self.params.change_interval_s * SECOND
