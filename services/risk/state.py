"""Everything risk remembers: plain data, the whole of a snapshot."""

import msgspec

from libs.portfolio.portfolio import Portfolio
from proto.feed import Level, Market
from services.risk.exposure import Reservation
from services.risk.params import RiskParams


class BookView(msgspec.Struct):
    """The book of one instrument as the feed last showed it.

    ``at``: session time of its last message. ``gapped``: something was lost since the last snapshot.
    ``mark``: the last bid there was; it values a position also when the bid side is empty, as books are
    between a market's close and its settlement.
    """

    counter: int
    at: int = 0
    gapped: bool = True
    bid: int | None = None
    ask: int | None = None
    mark: int | None = None
    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()


class State(msgspec.Struct):
    """Risk's memory. Times are session time in nanoseconds, money is in millionths of a dollar.

    Attributes:
        tape: id of the tape, from the session; empty before the first.
        params: limits, from the configuration; nothing is decided without.
        halted: nothing is approved until the operator resumes. Survives sessions.
        close_only: only exits are approved.
        books: instrument → book.
        markets: market → what the feed last said of it.
        market_of: instrument → its market.
        portfolio: positions and cash.
        reservations: order → what it may still take.
        seen: message id of a proposal → its expiry; a repetition within is dropped, after it refused.
        approved_at: times of entries approved within the rate window.
        repeated_at: "instrument side price" → when last approved.
        rested_at: market → when an entry was last approved in it or its position closed.
        day: days since the epoch, UTC. ``day_equity``: equity when it began. ``day_loss``: its worst loss.
        peak_equity: the highest equity since the last resume, deposits apart.
        minute: of the last report.
        cash_by_venue: venue → its part of the cash, from its deposits, fills and payouts.
        lots: instrument → strategy → contracts it bought and that are still held.
        trade_bases: instrument → realised profit less fees when its last trade was over.
        loss_streak: trades lost in a row since the last win or resume; ``loss_at``: when the last of them ended.
        anomaly: what was unusual (``records.py``); 0 for nothing. Until the operator resumes.
        value_at_risk, expected_shortfall: of the positions, when last measured (``outcomes.py``).
        recent_equity: time and equity of falling highs within the window of a sudden loss.
    """

    tape: str = ""
    params: RiskParams | None = None
    halted: bool = False
    close_only: bool = False
    books: dict[str, BookView] = {}
    markets: dict[str, Market] = {}
    market_of: dict[str, str] = {}
    portfolio: Portfolio = msgspec.field(default_factory=Portfolio)
    reservations: dict[str, Reservation] = {}
    seen: dict[str, int] = {}
    approved_at: list[int] = []
    repeated_at: dict[str, int] = {}
    rested_at: dict[str, int] = {}
    day: int = 0
    day_equity: int = 0
    day_loss: int = 0
    peak_equity: int = 0
    minute: int = 0
    cash_by_venue: dict[str, int] = {}
    lots: dict[str, dict[str, int]] = {}
    trade_bases: dict[str, int] = {}
    loss_streak: int = 0
    loss_at: int = 0
    anomaly: int = 0
    value_at_risk: int = 0
    expected_shortfall: int = 0
    recent_equity: list[tuple[int, int]] = []
