"""How lists look: tables without lines, names of markets as the view has them, and where the numbers come from."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from libs.runtime.layout import StateLayout
from libs.view import wording
from proto.feed import Market
from tools.cli.terminal import console
from tools.view import times

NAME_WIDTH = 44


class Names:
    """Names of instruments as the view shows them."""

    def __init__(self, markets: dict[str, Market]) -> None:
        self._labels = {name: wording.market(market) for name, market in markets.items()}

    def of(self, instrument: str) -> str:
        """An instrument for people."""
        market, _, outcome = instrument.rpartition(":")
        label = self._labels.get(market)
        if label is None:
            return wording.instrument(instrument, NAME_WIDTH)
        return f"{wording.shorten(label, NAME_WIDTH)} {wording.clean(outcome).upper()}"

    def has(self, part: str, market: str, instrument: str) -> bool:
        """Whether a market's name or id has ``part`` in it, whatever the case."""
        places = (market, instrument, self._labels.get(market, ""))
        return not part or any(part.lower() in place.lower() for place in places)


def unit_of(state: Path) -> str:
    """The sign of the account's money."""
    file = StateLayout(state).money_file
    return wording.sign_of(file.read_text()) if file.exists() else "$"


def time_heading(word: str) -> str:
    """Over a column of times."""
    return times.heading(word, time.time_ns())


def time_cell(at_ns: int) -> str:
    """A moment: of today the time alone."""
    return times.cell(at_ns, time.time_ns())


def table(*headings: str) -> Table:
    """A table without lines; a heading that ends in ``>`` is over numbers."""
    made = Table(box=None, pad_edge=False, header_style="dim")
    for heading in headings:
        right = heading.endswith(">")
        made.add_column(heading.rstrip(">"), justify="right" if right else "left", overflow="fold")
    return made


def print_list(made: Table, shown: Sequence[Any], rows: Sequence[Any], source: str) -> None:
    """The table, or that there is nothing; and where it comes from."""
    if rows:
        console.print(made)
    left_out = f"; {len(rows) - len(shown):,} earlier ones: --limit 0" if len(shown) < len(rows) else ""
    told = f"{len(shown)} from {source}" if rows else f"none; from {source}"
    console.print(Text(told + left_out, style="dim"))
