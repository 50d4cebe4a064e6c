"""The market panel: the underlying, the open markets, and the book of one."""

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from libs.view import terms, wording
from libs.view.market_state import DisplayedQuotes
from libs.view.model import ViewModel
from proto.feed import Answer, Market, MarketStatus
from tools.view import styles
from tools.view.parts import BORDER_SIZE, PADDING_SIZE, panel, table

MARKET_COLUMNS = 48
"""What the figures of a market need beside its name: strike, time left, two quotes, depth."""
_LADDER_COLUMNS = 37
"""What prices and quantities of both sides of a book need beside their bars."""

COLUMNS = (
    ("market", "rest"),
    ("strike", "right"),
    (terms.TIME_LEFT.word, "right"),
    ("yes/up", "right"),
    ("no/down", "right"),
    ("depth", "right"),
)
"""Headings of what :func:`market_row` makes, with their kinds."""


def in_order(model: ViewModel) -> list[Market]:
    """Open markets first, the next to close before others."""
    return sorted(
        model.market_state.markets.values(),
        key=lambda entry: (entry.status is not MarketStatus.OPEN, entry.ends_at),
    )


def market(model: ViewModel, width: int, rows_max: int) -> Panel:
    """The underlying's price, every open market, and the book of the next one to close if there is room."""
    parts: list[RenderableType] = []
    found = in_order(model)
    venues = sorted({entry.venue for entry in found})
    headed = len(venues) > 1 and rows_max - 1 >= len(found) + len(venues)
    if not headed:
        underlyings = list(dict.fromkeys(entry.underlying for entry in found if entry.underlying))
        parts.extend(_underlying(name, model.market_state.tops.get(name)) for name in underlyings[:1])
    inner = width - BORDER_SIZE - PADDING_SIZE
    ladder_rows = min(5, rows_max - len(parts) - 1 - len(found) - headed * len(venues) - 1)
    listed = table(*COLUMNS)
    name_width = max(10, inner - MARKET_COLUMNS)
    if headed:
        for venue in venues:
            listed.add_row(*_venue_row(model, venue, [e for e in found if e.venue == venue], name_width))
            for entry in (e for e in found if e.venue == venue):
                listed.add_row(*market_row(model, entry, name_width))
    else:
        for entry in found[: max(1, rows_max - len(parts) - 1)]:
            listed.add_row(*market_row(model, entry, name_width))
    parts.append(listed)
    if found and ladder_rows >= 2:
        parts.append(_ladder(model, found[0], inner, ladder_rows))
    if not found:
        parts = [Text("no open market", style=styles.QUIET)]
    return panel("market and book", Group(*parts), f"{len(found)} open")


def _underlying(name: str, tops: DisplayedQuotes | None) -> Text:
    return Text.assemble((f"{wording.instrument(name, 20)} ", styles.QUIET), _level(tops))


def _venue_row(model: ViewModel, venue: str, entries: list[Market], width: int) -> tuple[RenderableType, ...]:
    """A venue above its markets, with the price that decides them in the column of the strikes."""
    underlying = next((entry.underlying for entry in entries if entry.underlying), "")
    tops = model.market_state.tops.get(underlying)
    price, style = _level(tops)
    name = f"{venue} {wording.instrument(underlying, 20)}" if underlying else venue
    return (Text(wording.shorten(name, width), style=styles.ACCENT), Text(price, style=style), "", "", "", "")


def _level(tops: DisplayedQuotes | None) -> tuple[str, str]:
    """An underlying's price and the direction it went last."""
    arrow, style = "", styles.PLAIN
    if tops is not None and tops.last is not None and tops.previous is not None:
        rose = tops.last > tops.previous
        arrow, style = (" ▲", styles.GOOD) if rose else (" ▼", styles.BAD)
    return wording.level(tops.reference if tops is not None else None) + arrow, f"bold {style}"


def market_row(model: ViewModel, entry: Market, name_width: int) -> tuple[RenderableType, ...]:
    """A market: what decides it, what is left of its time, its two prices."""
    names = [outcome.instrument for outcome in entry.outcomes[:2]]
    tops = [model.market_state.tops.get(name) for name in names]
    quotes = [_bid_ask(top) for top in tops] + [Text("–")] * (2 - len(tops))
    depth = sum(top.depth for top in tops[:1] if top is not None)
    end_at = entry.ends_at or entry.expected_end_at
    left = wording.duration(end_at - model.now) if end_at > model.now or entry.close_at else "–"
    state = state_words(entry)
    style = styles.WARN if state else styles.PLAIN
    status = f" {state}" if state else ""
    ticker = wording.shorten(wording.market(entry), name_width - len(status))
    return (
        Text(ticker + status, style=style),
        wording.level(entry.strike),
        left,
        *quotes,
        wording.quantity(depth),
    )


def state_words(entry: Market) -> str:
    """What sets a market apart from one that simply trades: its stage of life, and what is said of its result."""
    words = [] if entry.status is MarketStatus.OPEN else [entry.status.value]
    if entry.answer is not Answer.NONE and entry.answer.value not in words:
        words.append(entry.answer.value)
    return " ".join(words)


def _bid_ask(tops: DisplayedQuotes | None) -> Text:
    if tops is None:
        return Text("–", style=styles.QUIET)
    return Text.assemble(
        (wording.price(tops.bid), styles.GOOD), ("/", styles.QUIET), (wording.price(tops.ask), styles.BAD)
    )


def _ladder(model: ViewModel, entry: Market, width: int, rows: int) -> RenderableType:
    """Bids to the left and asks to the right of the middle, best at the top, bars by quantity."""
    instrument = entry.outcomes[0].instrument if entry.outcomes else ""
    tops = model.market_state.tops.get(instrument) or DisplayedQuotes()
    bids, asks = tops.bids[:rows], tops.asks[:rows]
    largest = max((each.quantity for each in (*bids, *asks)), default=0)
    bar = max(0, (width - _LADDER_COLUMNS) // 2)
    lines = [Text(f"book of {model.market_state.name(instrument, width - 8)}", style=styles.QUIET)]
    for row in range(max(len(bids), len(asks))):
        line = Text()
        if row < len(bids):
            size = bids[row].quantity * bar // largest if largest else 0
            line.append(f"{'█' * size:>{bar}} ", style=f"dim {styles.GOOD}")
            line.append(f"{wording.quantity(bids[row].quantity):>9} ")
            line.append(f"{wording.price(bids[row].price):>6}", style=styles.GOOD)
        else:
            line.append(" " * (bar + 17))
        line.append(" │ ", style=styles.QUIET)
        if row < len(asks):
            size = asks[row].quantity * bar // largest if largest else 0
            line.append(f"{wording.price(asks[row].price):<6}", style=styles.BAD)
            line.append(f" {wording.quantity(asks[row].quantity):<9} ")
            line.append("█" * size, style=f"dim {styles.BAD}")
        lines.append(line)
    return Text("\n").join(lines)
