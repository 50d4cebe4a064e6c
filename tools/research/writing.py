"""Writes a report to a folder: the page, its document, and the trades as a table."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from libs.files import write_atomically
from tools.research.page import page

PAGE, DOCUMENT, TRADES = "report.html", "report.json", "trades.csv"
COLUMNS = (
    "id strategy market instrument family opened_at closed_at quantity entry_price exit_price fees slippage expected profit"
    " ended"
).split()


def write_report(folder: Path, document: dict[str, Any]) -> None:
    """Write all three files; the same document gives the same bytes.

    Raises:
        OSError: the folder cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / PAGE, page(document).encode())
    write_atomically(folder / DOCUMENT, (json.dumps(document, indent=1) + "\n").encode())
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(document["trades"])
    write_atomically(folder / TRADES, table.getvalue().encode())
