"""A frame: which parts are shown, where, for a terminal of a given size."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.layout import Layout
from rich.segment import Segment
from rich.text import Text

from libs.lists.orders import OrderRow
from libs.observability.latency import HOPS
from libs.view.model import ViewModel
from tools.view import market_panel, pages, panels
from tools.view.keys import PAGES, Shown
from tools.view.parts import BORDER_SIZE

WIDTH_MIN, HEIGHT_MIN = 40, 12
"""Below this nothing useful fits, and the view says so."""
WIDE_WIDTH, WIDE_HEIGHT = 100, 36
"""From here on two columns."""
_HEADER_ROWS = 2
_HEADINGS = 1


def render(
    model: ViewModel, width: int, height: int, shown: Shown | None = None, orders: Sequence[OrderRow] = ()
) -> RenderableType:
    """The frame of the model, exactly ``width`` × ``height`` characters.

    ``shown``: what is looked at where keys can be pressed; without it the overview, and no line of keys.
    """
    if width < WIDTH_MIN or height < HEIGHT_MIN:
        text = f"expected a terminal of at least {WIDTH_MIN}×{HEIGHT_MIN}, was {width}×{height}"
        return _Sized(Text(text), width, height)
    banner_rows = 3 if height >= WIDE_HEIGHT else 2 if height >= 30 else 1
    banner = panels.banner(model, width, banner_rows)
    used = _HEADER_ROWS + bool(model.venues)
    top = [Layout(panels.header(model, width), size=used)]
    if banner is not None:
        rows = banner.plain.count("\n") + 1
        top.append(Layout(banner, size=rows))
        used += rows
    bottom = [] if shown is None else [Layout(pages.keys_line(shown, width), size=1)]
    used += len(bottom)
    if shown is not None and shown.page != PAGES[0]:
        room = height - used
        body = [Layout(pages.page(model, orders, shown, width, room), size=room)]
    elif width >= WIDE_WIDTH and height >= WIDE_HEIGHT:
        body = _wide(model, width, height - used)
    else:
        body = _narrow(model, width, height - used)
    frame = Layout()
    frame.split_column(*top, *body, *bottom)
    return _Sized(frame, width, height)


def _wide(model: ViewModel, width: int, height: int) -> list[Layout]:
    """Services beside market, equity beside latency, positions beside reasons, decisions across."""
    inner = BORDER_SIZE + _HEADINGS
    markets = model.market_state.markets.values()
    listed = len(markets) + len({entry.venue for entry in markets}) + inner
    upper_height = max(min(len(model.services), 12) + inner, min(14, height // 4), min(listed, height // 3))
    middle_height = len(HOPS) + 1 + BORDER_SIZE
    positions_height = max(inner + 2, min(inner + len(model.portfolio.open), height // 6))
    rest = height - upper_height - middle_height - positions_height
    left = width * 5 // 12
    right = width - left
    side = max(30, width // 4)
    main = width - side
    return [
        _row(
            upper_height,
            Layout(panels.services(model, upper_height - inner), size=left),
            Layout(market_panel.market(model, right, upper_height - BORDER_SIZE), size=right),
        ),
        _row(
            middle_height,
            Layout(panels.equity(model, main, middle_height), size=main),
            Layout(panels.latency(model), size=side),
        ),
        _row(
            positions_height,
            Layout(panels.positions(model, positions_height - inner, main), size=main),
            Layout(panels.reasons(model, positions_height - BORDER_SIZE), size=side),
        ),
        Layout(panels.decisions(model, rest - inner, width), size=rest),
    ]


def _narrow(model: ViewModel, width: int, height: int) -> list[Layout]:
    """One column: a strip of services, market beside equity, positions, decisions, a strip of latency."""
    strips = 2
    market_rows = min(2, max(1, len(model.market_state.markets)))
    upper_height = min(3 + market_rows + _HEADINGS, max(4, (height - strips) // 3))
    inner = BORDER_SIZE + _HEADINGS
    positions_rows = min(3, max(1, len(model.portfolio.open)))
    positions_height = min(inner + positions_rows, max(4, (height - strips) // 3))
    rest = height - strips - upper_height - positions_height
    equity_width = width // 4 if width >= 100 else 0
    market_width = width - equity_width
    parts = [Layout(market_panel.market(model, market_width, upper_height - BORDER_SIZE), size=market_width)]
    if equity_width:
        parts.append(Layout(panels.equity(model, equity_width, upper_height), size=equity_width))
    lower = [Layout(panels.decisions(model, rest - inner, width), size=rest)]
    if not equity_width and rest >= 12:
        equity_height = rest // 3
        lower = [
            Layout(panels.equity(model, width, equity_height), size=equity_height),
            Layout(panels.decisions(model, rest - equity_height - inner, width), size=rest - equity_height),
        ]
    return [
        Layout(panels.services_strip(model, width), size=1),
        _row(upper_height, *parts),
        Layout(panels.positions(model, positions_height - inner, width), size=positions_height),
        *lower,
        Layout(panels.latency_strip(model, width), size=1),
    ]


def _row(height: int, *parts: Layout) -> Layout:
    row = Layout(size=height)
    row.split_row(*parts)
    return row


@dataclass(frozen=True)
class _Sized:
    """Draws within a fixed size, whatever the console's is."""

    body: RenderableType
    width: int
    height: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        sized = options.update(width=self.width, height=self.height)
        for line in console.render_lines(self.body, sized)[: self.height]:
            yield from line
            yield Segment.line()


def export_svg(model: ViewModel, width: int = 120, height: int = 40, title: str = "presage up") -> str:
    """The frame as an SVG picture."""
    console = Console(record=True, width=width, height=height, file=StringIO(), color_system="truecolor")
    console.print(render(model, width, height))
    return console.export_svg(title=title)
