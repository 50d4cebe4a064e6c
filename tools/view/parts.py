"""What all panels are made of: frames and tables."""

from rich import box
from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tools.view import styles

BORDER_SIZE = 2
"""Rows and columns that a panel's border takes."""
PADDING_SIZE = 2
"""Columns between border and text."""


def panel(title: str, body: RenderableType, note: str = "") -> Panel:
    """A frame around a part, with its title on the upper and a note on the lower border."""
    return Panel(
        body,
        title=Text(f" {title} ", style=styles.TITLE),
        subtitle=Text(f" {note} ", style=styles.QUIET) if note else None,
        title_align="left",
        subtitle_align="right",
        border_style=styles.BORDER,
        box=box.ROUNDED,
        padding=(0, 1),
    )


def table(*columns: tuple[str, str]) -> Table:
    """A table without lines; a column is its heading and its kind.

    Kinds: ``left``, ``right``, ``rest`` (takes the room that is left) and ``wrapped`` (the same, on as
    many lines as it needs).
    """
    made = Table(box=None, expand=True, padding=(0, 1, 0, 0), pad_edge=False, header_style=styles.QUIET)
    for heading, kind in columns:
        made.add_column(
            heading,
            justify="right" if kind == "right" else "left",
            no_wrap=kind != "wrapped",
            overflow="fold" if kind == "wrapped" else "ellipsis",
            ratio=1 if kind in ("rest", "wrapped") else None,
        )
    return made
