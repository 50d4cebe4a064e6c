"""A line chart in braille dots: two dots a character across, four down."""

from collections.abc import Sequence

from libs.view.history import EquityPoint

_BLANK = 0x2800
# Bit of the dot in column 0 or 1, from the top row of a character to its bottom row.
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_ACROSS, _DOWN = 2, 4


def resample(points: Sequence[EquityPoint], count: int) -> list[int]:
    """``count`` values evenly spaced over the time of the points; each is the last one known then."""
    if not points or count < 1:
        return []
    first, last = points[0].at, points[-1].at
    values: list[int] = []
    index = 0
    for column in range(count):
        at = last if count == 1 else first + (last - first) * column // (count - 1)
        while index + 1 < len(points) and points[index + 1].at <= at:
            index += 1
        values.append(points[index].equity)
    return values


def line_chart(points: Sequence[EquityPoint], width: int, height: int) -> list[str]:
    """``height`` lines of ``width`` characters; the highest value touches the top, the lowest the bottom.

    A curve that does not move is drawn in the middle.
    """
    if width < 1 or height < 1:
        return []
    rows_max = height * _DOWN - 1
    cells = [[_BLANK] * width for _ in range(height)]
    before: int | None = None
    for column, row in enumerate(_rows(resample(points, width * _ACROSS), rows_max)):
        # The line between two columns is drawn in the later one, so that a jump shows as a stroke.
        start = row if before is None else before + (row > before) - (row < before)
        for dot in range(min(row, start), max(row, start) + 1):
            cells[dot // _DOWN][column // _ACROSS] |= _DOTS[column % _ACROSS][dot % _DOWN]
        before = row
    return ["".join(map(chr, line)) for line in cells]


def _rows(values: Sequence[int], rows_max: int) -> list[int]:
    """Dot rows from the top for values."""
    if not values:
        return []
    lowest, highest = min(values), max(values)
    span = highest - lowest
    if not span:
        return [rows_max // 2] * len(values)
    return [((highest - value) * rows_max * 2 + span) // (2 * span) for value in values]
