"""Drawing pages: templates with what every page has, and tables as templates draw them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from libs.view import wording
from libs.view.moment import moment
from services.console import cells, tables
from services.console.accounts import Session
from services.console.cells import SHOWN
from services.console.live import shown
from services.console.service import Console
from services.console.sessions import Forbidden

HERE = Path(__file__).parent
PAGES = (
    ("overview", "/", "Overview"),
    ("markets", "/markets", "Markets"),
    ("decisions", "/decisions", "Decisions"),
    ("orders", "/orders", "Orders"),
    ("journal", "/journal", "Journal"),
    ("advisor", "/advisor", "Advisor"),
    ("eval", "/eval", "Eval"),
    ("what-if", "/what-if", "What-if"),
    ("performance", "/performance", "Performance"),
    ("settings", "/settings", "Settings"),
    ("alerts", "/alerts", "Alerts"),
)
"""Name, address and label of each page."""
FORM = "application/x-www-form-urlencoded"
FIELDS_MAX = 20
"""The largest form has six."""


@dataclass
class Filter:
    """A field of a page's filter form."""

    name: str
    label: str
    value: str
    options: tuple[str, ...] = ()


class Renderer:
    """Draws templates with what every page has."""

    def __init__(self, console: Console, version: str) -> None:
        self._console = console
        self._version = version
        environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters["utc"] = lambda at: f"{moment(int(at))}" if at else ""
        environment.filters["left"] = _left
        self._environment = environment

    def page(
        self, request: Request, session: Session, template: str, page: str, **values: Any
    ) -> HTMLResponse:
        """A page for who is logged in."""
        now = self._console.now
        outcome = self._console.desk.outcomes.get(number_of(request.query_params.get("outcome", "")))
        live: tuple[str, ...] = values.pop("live", ())
        context: dict[str, Any] = {
            "page": page,
            "title": {name: label for name, _, label in PAGES}.get(page, page),
            "pages": PAGES,
            "status": tables.status(now),
            "csrf": session.csrf,
            "user": session.user,
            "role": session.role.value,
            "back": request.url.path,
            "live": live,
            "refresh": False,
            "outcome": outcome.document() if outcome is not None else None,
            "version": self._version,
            "tables": {name: self.table(name) for name in live},
        } | values
        return HTMLResponse(self._environment.get_template(template).render(context))

    def login(self, back: str, failed: str, status: int) -> HTMLResponse:
        """The page for who is not."""
        template = self._environment.get_template("login.html")
        return HTMLResponse(template.render(back=back, failed=failed, version=self._version), status)

    def table(self, name: str, keep: Callable[[dict[str, Any]], bool] | None = None) -> dict[str, Any]:
        """A table as the templates draw it."""
        rows = shown(self._console.now, name)
        if keep is not None:
            rows = {key: row for key, row in rows.items() if keep(row["row"])}
        look = SHOWN[name]
        return {"title": look.title, "columns": look.columns, "rows": rows, "empty": look.empty}


def plain_table(
    title: str, columns: Mapping[str, str], rows: list[list[dict[str, Any]]], empty: str
) -> dict[str, Any]:
    """A table that is not live: heading → classes, and cells."""
    return {
        "title": title,
        "columns": [cells.Column(heading, classes) for heading, classes in columns.items()],
        "rows": {str(index): {"cells": row} for index, row in enumerate(rows)},
        "empty": empty,
    }


def _left(until: str, now: str) -> str:
    return wording.duration(int(until) - int(now)) if int(until) and int(now) else "–"


def number_of(text: str) -> int:
    """A small number that somebody may have changed in the address; −1 for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form, each once; no files, no parts: nothing of ours sends them.

    Raises:
        Forbidden: it is no form, or one with too many fields.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != FORM:
        raise Forbidden(f"expected {FORM}")
    try:
        fields = parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError as e:
        raise Forbidden(f"expected a form of at most {FIELDS_MAX} fields, was {e}") from e
    return dict(fields)


def own_path(text: str) -> str:
    """A page of this console; whatever would lead elsewhere, or is no page but a command, becomes the overview."""
    leads_elsewhere = not text.startswith("/") or text.startswith(("//", "/\\")) or not text.isprintable()
    return "/" if leads_elsewhere or text.startswith("/command/") else text
