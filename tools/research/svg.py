"""Plots as SVG in a page: no script, no font of their own, the same bytes each time, and read aloud by title and text."""

from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 720, 240
LEFT, RIGHT, TOP, BOTTOM = 76, 12, 10, 30
TICKS = 4

Label = Callable[[float], str]


class Line(NamedTuple):
    """A curve: its name, its points, and which colour of the page it has. ``filled`` down to nothing."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int = 1
    filled: bool = False


class Marks(NamedTuple):
    """Points by themselves; ``shape`` is ``up``, ``down`` or ``dot``."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int = 2
    shape: str = "dot"


class Frame:
    """The square of a plot: places of values in it."""

    def __init__(self, xs: Sequence[float], ys: Sequence[float]) -> None:
        self.x_low, self.x_high = _wide(xs)
        self.y_low, self.y_high = _wide(ys)

    def x(self, value: float) -> str:
        """A place across."""
        share = (value - self.x_low) / (self.x_high - self.x_low)
        return _number(LEFT + share * (WIDTH - LEFT - RIGHT))

    def y(self, value: float) -> str:
        """A place down."""
        share = (value - self.y_low) / (self.y_high - self.y_low)
        return _number(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM))


def plot(
    title: str,
    text: str,
    x_label: Label,
    y_label: Label,
    lines: Sequence[Line] = (),
    marks: Sequence[Marks] = (),
    *,
    with_zero: bool = False,
    diagonal: bool = False,
) -> str:
    """Curves and marks over two axes; ``text`` says in words what is to be seen."""
    every: list[Line | Marks] = [*lines, *marks]
    points = [point for series in every for point in series.points]
    if not points:
        return _empty(title)
    ys = [y for _, y in points] + ([0.0] if with_zero else [])
    frame = Frame([x for x, _ in points], ys)
    parts = [_axes(frame, x_label, y_label)]
    if diagonal:
        low, high = max(frame.x_low, frame.y_low), min(frame.x_high, frame.y_high)
        parts.append(f'<path class="g" d="M{frame.x(low)} {frame.y(low)}L{frame.x(high)} {frame.y(high)}"/>')
    if with_zero:
        parts.append(f'<path class="z" d="M{LEFT} {frame.y(0)}H{WIDTH - RIGHT}"/>')
    parts += [_line(frame, line) for line in lines if line.points]
    parts += [_mark(frame, series, point) for series in marks for point in series.points]
    return _wrap(title, text, parts) + _legend([(s.name, s.colour) for s in every if s.points])


def bars(title: str, text: str, rows: Sequence[tuple[str, float]], y_label: Label) -> str:
    """A bar for each named value."""
    if not rows:
        return _empty(title)
    frame = Frame([0.0, float(len(rows))], [0.0, *(value for _, value in rows)])
    width = (WIDTH - LEFT - RIGHT) / len(rows)
    parts = [_axes(frame, None, y_label), f'<path class="z" d="M{LEFT} {frame.y(0)}H{WIDTH - RIGHT}"/>']
    every = max(1, len(rows) // 12)
    for number, (name, value) in enumerate(rows):
        top, bottom = frame.y(max(value, 0)), frame.y(min(value, 0))
        place = LEFT + number * width
        parts.append(
            f'<rect class="{"b" if value >= 0 else "n"}" x="{_number(place + width * 0.1)}" y="{top}"'
            f' width="{_number(width * 0.8)}" height="{_number(float(bottom) - float(top))}"/>'
        )
        if number % every == 0:
            parts.append(
                f'<text x="{_number(place + width / 2)}" y="{HEIGHT - 10}" text-anchor="middle">{escape(name)}</text>'
            )
    return _wrap(title, text, parts)


def _wide(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 1, high + 1)


def _number(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")


def _axes(frame: Frame, x_label: Label | None, y_label: Label) -> str:
    parts = []
    for step in range(TICKS + 1):
        y = frame.y_low + (frame.y_high - frame.y_low) * step / TICKS
        place = frame.y(y)
        parts.append(f'<path class="g" d="M{LEFT} {place}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{place}" dy="4" text-anchor="end">{escape(y_label(y))}</text>')
        if x_label is not None:
            x = frame.x_low + (frame.x_high - frame.x_low) * step / TICKS
            anchor = "start" if step == 0 else "end" if step == TICKS else "middle"
            parts.append(
                f'<text x="{frame.x(x)}" y="{HEIGHT - 10}" text-anchor="{anchor}">{escape(x_label(x))}</text>'
            )
    return "".join(parts)


def _line(frame: Frame, line: Line) -> str:
    places = "L".join(f"{frame.x(x)} {frame.y(y)}" for x, y in line.points)
    made = f'<path class="l c{line.colour}" d="M{places}"/>'
    if not line.filled:
        return made
    first, last, base = frame.x(line.points[0][0]), frame.x(line.points[-1][0]), frame.y(max(frame.y_low, 0))
    return f'<path class="a c{line.colour}" d="M{first} {base}L{places}L{last} {base}Z"/>{made}'


def _mark(frame: Frame, series: Marks, point: tuple[float, float]) -> str:
    x, y = frame.x(point[0]), frame.y(point[1])
    if series.shape == "dot":
        return f'<circle class="m c{series.colour}" cx="{x}" cy="{y}" r="4"/>'
    down = 1 if series.shape == "up" else -1
    return f'<path class="m c{series.colour}" d="M{x} {y}l-5 {9 * down}h10z"/>'


def _wrap(title: str, text: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><title>{escape(title)}</title><desc>{escape(text)}</desc>'
        f"{''.join(parts)}</svg>"
    )


def _legend(names: Sequence[tuple[str, int]]) -> str:
    if len(names) < 2:
        return ""
    items = "".join(f'<li class="c{colour}">{escape(name)}</li>' for name, colour in names)
    return f'<ul class="legend">{items}</ul>'


def _empty(title: str) -> str:
    return f'<p class="none">{escape(title)}: nothing to show.</p>'
