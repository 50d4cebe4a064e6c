"""Charts as SVG, drawn here: no script draws them, and they say what they show to who cannot see them."""

from collections.abc import Sequence
from html import escape

from libs.view import wording
from libs.view.history import EquityPoint
from libs.view.moment import moment

WIDTH, HEIGHT = 640, 190
LEFT, RIGHT, TOP, BOTTOM = 112, 12, 10, 22
"""Left: room for a negative amount of seven digits with its sign of money and its cents."""
POINTS_MAX = 400
"""More would not be seen at this width."""
GRID_LINES = 3


def _open(height: int, label: str, width: int = WIDTH) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {width} {height}" role="img"'
        f' aria-label="{escape(label, quote=True)}">'
    )


def equity(points: Sequence[EquityPoint], unit: str) -> str:
    """The equity curve."""
    if len(points) < 2:
        return (
            _open(60, "no equity yet")
            + '<text x="0" y="30">The curve begins with the first minute.</text></svg>'
        )
    step = max(1, len(points) // POINTS_MAX)
    thinned = [*points[:-1:step], points[-1]]
    values = [point.equity for point in thinned]
    low, high = min(values), max(values)
    margin = max((high - low) // 10, 10_000)
    low, high = low - margin, high + margin
    begin, end = thinned[0].at, max(thinned[-1].at, thinned[0].at + 1)

    def x(at: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (at - begin) / (end - begin)

    def y(value: int) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    change = values[-1] - values[0]
    label = (
        f"equity from {wording.money(values[0], unit=unit)} to {wording.money(values[-1], unit=unit)},"
        f" {wording.money(change, signed=True, unit=unit)}, between {moment(begin)[:19]} and {moment(end)[:19]} UTC"
    )
    parts = [_open(HEIGHT, label)]
    said: set[str] = set()
    for line in range(GRID_LINES):
        value = low + (high - low) * line // (GRID_LINES - 1)
        words = wording.money(value, unit=unit)
        if words in said:
            # Closer together than a cent: the same words at two heights would say nothing.
            continue
        said.add(words)
        level = f"{y(value):.1f}"
        parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{level}" y2="{level}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{words}</text>')
    path = " ".join(f"{x(point.at):.1f},{y(point.equity):.1f}" for point in thinned)
    floor = HEIGHT - BOTTOM
    parts.append(f'<polygon class="area" points="{LEFT},{floor} {path} {WIDTH - RIGHT},{floor}"/>')
    parts.append(f'<polyline class="line" points="{path}"/>')
    for at, anchor in ((begin, "start"), (end, "end")):
        place = LEFT if anchor == "start" else WIDTH - RIGHT
        parts.append(
            f'<text x="{place}" y="{HEIGHT - 6}" text-anchor="{anchor}">{moment(at)[11:16]} UTC</text>'
        )
    return "".join([*parts, "</svg>"])


ROW = 22
NAMES = 150


def timeline(steps: Sequence[tuple[str, str, float, float]]) -> str:
    """A chain as bars: kind, class, begin and end in milliseconds after the first cause."""
    if not steps:
        return ""
    whole = max(0.001, *(end for _, _, _, end in steps))
    height = ROW * len(steps) + 24
    label = f"{len(steps)} messages within {whole:.1f} milliseconds"
    parts = [_open(height, label)]
    span = WIDTH - NAMES - 78
    for index, (kind, classes, begin, end) in enumerate(steps):
        top = index * ROW
        left = NAMES + span * begin / whole
        width = max(span * (end - begin) / whole, 2.5)
        parts.append(f'<text x="{NAMES - 8}" y="{top + 15}" text-anchor="end">{escape(kind)}</text>')
        parts.append(
            f'<rect class="bar-part {escape(classes, quote=True)}" x="{left:.1f}" y="{top + 5}" width="{width:.1f}"'
            ' height="12" rx="3"/>'
        )
        parts.append(f'<text x="{min(left + width + 6, WIDTH - 70):.1f}" y="{top + 15}">{end:.1f} ms</text>')
    parts.append(
        f'<line class="axis" x1="{NAMES}" x2="{NAMES + span}" y1="{height - 18}" y2="{height - 18}"/>'
    )
    parts.append(f'<text x="{NAMES}" y="{height - 4}">0</text>')
    parts.append(f'<text x="{NAMES + span}" y="{height - 4}" text-anchor="end">{whole:.1f} ms</text>')
    return "".join([*parts, "</svg>"])


BINS_SIDE = 220


def calibration(bins: Sequence[tuple[float, float, int]]) -> str:
    """What was said against what happened, a dot for each tenth; the diagonal is who is always right on average."""
    side, pad = BINS_SIDE, 26
    label = "; ".join(
        f"said {said:.0%}, happened {happened:.0%} of {count}" for said, happened, count in bins
    )
    parts = [_open(side + 2 * pad, label or "no outcome yet", side + 2 * pad)]
    parts.append(f'<line class="axis" x1="{pad}" y1="{pad + side}" x2="{pad + side}" y2="{pad + side}"/>')
    parts.append(f'<line class="axis" x1="{pad}" y1="{pad}" x2="{pad}" y2="{pad + side}"/>')
    parts.append(f'<line class="dashed" x1="{pad}" y1="{pad + side}" x2="{pad + side}" y2="{pad}"/>')
    for said, happened, count in bins:
        radius = min(3 + count**0.5, 14)
        parts.append(
            f'<circle class="bar-part" cx="{pad + side * said:.1f}" cy="{pad + side * (1 - happened):.1f}" r="{radius:.1f}"/>'
        )
    parts.append(f'<text x="{pad}" y="{side + 2 * pad - 6}">said 0 to 100 %</text>')
    parts.append(f'<text x="{pad + 4}" y="{pad - 10}">happened</text>')
    return "".join([*parts, "</svg>"])
