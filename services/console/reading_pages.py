"""Pages that are read from tape or journal when they are asked for: why, a market, the journal, reports."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from markupsafe import Markup
from starlette.responses import Response

from libs.bounded import cut
from libs.explain.why import SeveralMeant
from libs.lists.settings import SettingRow
from libs.performance.account import Performance
from libs.performance.trades import TradeFigures, trade_figures
from libs.runtime.layout import StateFileError
from libs.tape.errors import TapeError
from libs.view import wording
from libs.view.figures import WORDS, number, plain, share
from libs.view.moment import moment
from proto.units import show
from services.console import cells, chain, charts, evaluation_pages, performance
from services.console.journal import JournalUnavailable, Search
from services.console.limits import FILTER_CHARACTERS_MAX
from services.console.render import Filter, Renderer, number_of, plain_table
from services.console.service import Console
from services.console.settings import is_known, values_of

JOURNAL_ROWS = 50


def add_to(router: APIRouter, console: Console, draw: Renderer) -> None:
    """Add the routes."""
    _add_records(router, console, draw)
    _add_reports(router, console, draw)


def _add_records(router: APIRouter, console: Console, draw: Renderer) -> None:
    gate, now = console.gatekeeper, console.now

    @router.get("/decisions/{name:path}")
    async def why(request: Request, name: str) -> Response:
        session = gate.expect_session(request)
        problem = "The tape knows no order, message, market or sequence of this name."
        try:
            found = await chain.explain(now, name)
        except SeveralMeant as e:
            found, problem = [], str(e)
        except TapeError as e:
            found, problem = [], f"The tape cannot be read now: {e}"
        steps = chain.steps_of(found, now.unit())
        svg = charts.timeline(chain.bars_of(found))
        box = evaluation_pages.box_of(console, request, [str(step["seq"]) for step in steps])
        return draw.page(
            request, session, "why.html", "decisions", name=name, steps=steps, problem=problem, **box,
            span=f"{steps[-1]['offset_ms']} ms" if steps else "", timeline_svg=Markup(svg),  # noqa: S704 - escaped there
        )  # fmt: skip

    @router.get("/markets/{market:path}")
    async def one_market(request: Request, market: str) -> Response:
        session = gate.expect_session(request)
        return draw.page(
            request, session, "market.html", "markets", market=market, **_market(console, market)
        )

    @router.get("/journal")
    async def journal(request: Request) -> Response:
        session = gate.expect_session(request)
        given = {
            name: cut(request.query_params.get(name, ""), FILTER_CHARACTERS_MAX)
            for name in ("kind", "order", "market", "strategy", "producer")
        }
        cursor = number_of(request.query_params.get("cursor", ""))
        problem, rows = "", []
        try:
            rows = await console.journal.find(
                Search(given, cursor if cursor >= 0 else None, JOURNAL_ROWS + 1)
            )
        except JournalUnavailable as e:
            problem = f"History is unavailable: {e}. What is live goes on."
        more = ""
        if len(rows) > JOURNAL_ROWS:
            more = "/journal?" + urlencode({**given, "cursor": rows[JOURNAL_ROWS - 1]["seq"]})
        shown_rows = [_entry(row) for row in rows[:JOURNAL_ROWS]]
        columns = {
            "time": "",
            "sequence": "num",
            "kind": "",
            "about": "",
            "strategy": "wide",
            "producer": "wide",
        }
        table = plain_table("Journal", columns, shown_rows, problem or "nothing fits")
        filters = [Filter(name, name.capitalize(), value) for name, value in given.items()]
        exports = [("JSON Lines", "/api/v1/journal?" + urlencode({**given, "format": "jsonl"}))]
        about = "Everything but quotes, books and clocks, as the journal keeps it. Each row opens why."
        return draw.page(
            request, session, "tables.html", "journal", shown=("journal",), tables={"journal": table},
            about=problem or about, filters=filters, more=more, exports=exports,
        )  # fmt: skip


def _add_reports(router: APIRouter, console: Console, draw: Renderer) -> None:
    gate, now = console.gatekeeper, console.now

    @router.get("/performance")
    async def performance_page(request: Request) -> Response:
        session = gate.expect_session(request)
        points = now.fold.view.equity_history.points
        found = performance.performance_of(now.fold)
        parts = {
            name: _groups(name, split, now.unit()) for name, split in performance.splits_of(found).items()
        }
        svg = Markup(charts.equity(points, now.unit()))  # noqa: S704 - drawn here, of numbers
        return draw.page(
            request, session, "performance.html", "performance", whole=_tiles(found, now.unit()), parts=parts,
            figures=_figures(found), equity_svg=svg,
        )  # fmt: skip

    @router.get("/settings")
    async def settings(request: Request) -> Response:
        session = gate.expect_session(request)
        try:
            rows, problem = await console.settings(), ""
        except (TapeError, StateFileError) as e:
            rows, problem = [], f"Where settings come from cannot be read now: {e}"
        return draw.page(
            request, session, "settings.html", "settings", sections=_sections(rows), problem=problem
        )

    @router.get("/advisor")
    async def advisor(request: Request) -> Response:
        session = gate.expect_session(request)
        try:
            advice, problem = await console.advice(), ""
        except TapeError as e:
            advice, problem = None, f"The tape cannot be read now: {e}"
        return draw.page(request, session, "advisor.html", "advisor", problem=problem, **_advice(advice))


def _entry(row: dict[str, Any]) -> list[dict[str, Any]]:
    about = row["order"] or row["market"] or (row["subject"].partition(".")[2])
    return [
        cells.time(row["at"]),
        cells.text(f"{int(row['seq']):,}", "num"),
        cells.link(row["kind"], cells.why(row["seq"]), "id"),
        cells.text(about, "quiet"),
        cells.text(row["strategy"], "wide"),
        cells.text(row["producer"], "wide"),
    ]


def _market(console: Console, name: str) -> dict[str, Any]:
    """A market's page: its facts, its books, what is thought of it."""
    now = console.now
    state = now.fold.view.market_state
    market = state.markets.get(name)
    if market is None:
        return {"facts": [], "books": [], "label": name, "forecast": None}
    books = []
    for outcome in market.outcomes:
        quotes = state.tops.get(outcome.instrument)
        rows = []
        for side, levels in (
            ("ask", reversed(quotes.asks) if quotes else ()),
            ("bid", quotes.bids if quotes else ()),
        ):
            rows += [
                [cells.text(side, f"state {'bad' if side == 'ask' else 'good'}"), cells.text(wording.price(level.price), "num"),
                 cells.text(wording.quantity(level.quantity), "num")]
                for level in levels
            ]  # fmt: skip
        books.append(
            (
                outcome.name,
                plain_table(
                    outcome.name.upper(), {"side": "", "price": "num", "quantity": "num"}, rows, "no level"
                ),
            )
        )
    facts = [
        ("title", wording.clean(market.title)), ("venue", market.venue), ("status", market.status.value),
        ("underlying", market.underlying or "–"), ("opens", moment(market.open_at) if market.open_at else "–"),
        ("closes", moment(market.close_at) if market.close_at else "–"), ("group", market.group or "–"),
    ]  # fmt: skip
    fair = [
        (outcome.name, wording.price(found.value), found.strategy)
        for outcome in market.outcomes
        if (found := now.fold.fair.get(outcome.instrument)) is not None
    ]
    facts += [(f"fair value of {outcome}", f"{value} ({strategy})") for outcome, value, strategy in fair]
    if (forecast := now.fold.forecasts.get(name)) is not None:
        facts.append(
            (
                "advisor's forecast",
                f"{wording.price(forecast[1].forecast)}, weighed {wording.price(forecast[1].probability)}",
            )
        )
    return {"facts": facts, "books": books, "label": state.labels.get(name, name), "forecast": forecast}


def _tiles(found: Performance, unit: str) -> list[tuple[str, str, str]]:
    """What is looked at first: of all closed trades, and the deepest fall of the account."""
    whole = trade_figures(found.results, with_bootstrap=False)
    profit = cells.money(show(whole.profit), unit, signed=True, classes="figure")
    fall = found.drawdown
    return [
        ("closed trades", f"{whole.trades:,}", "figure"),
        ("profit", profit["t"], profit["c"]),
        ("fees", wording.money(whole.fees, unit=unit), "figure"),
        ("won", share(whole.win_rate), "figure"),
        ("profit factor", plain(whole.profit_factor), "figure"),
        ("drawdown", f"{wording.money(fall.amount, unit=unit)} ({100 * fall.depth:.2f} %)", "figure"),
    ]


def _figures(found: Performance) -> dict[str, Any]:
    """Every figure of the account, with its number of samples, or why it has no value."""
    rows = [
        [
            cells.text(WORDS[name][0], "name"),
            cells.text(number(figure, WORDS[name][1]), "num" if figure.value is not None else "quiet"),
            cells.text(f"{figure.samples:,}", "num"),
        ]
        for name, figure in found.figures().items()
    ]
    columns = {"figure": "", "value": "num", "samples": "num"}
    return plain_table("Figures of the account", columns, rows, "nothing happened yet")


def _groups(name: str, found: Mapping[str, TradeFigures], unit: str) -> dict[str, Any]:
    rows = [
        [
            cells.text(key or "–", "name"),
            cells.text(f"{group.trades:,}", "num"),
            cells.text(share(group.win_rate), "num"),
            cells.money(show(group.profit), unit, signed=True),
            cells.money(show(group.fees), unit, classes="num wide"),
            cells.text(plain(group.profit_factor), "num wide"),
            cells.text(share(group.profit_per_stake), "num wide"),
        ]
        for key, group in found.items()
    ]
    columns = {
        f"{name} (UTC)" if name in ("hour", "weekday") else name: "",
        "trades": "num",
        "won": "num",
        "profit": "num",
        "fees": "num wide",
        "profit factor": "num wide",
        "by stake": "num wide",
    }
    return plain_table(f"By {name}", columns, rows, "no closed trade yet")


def _sections(rows: list[SettingRow]) -> list[tuple[str, dict[str, Any]]]:
    """A table for each section: setting, value, and where it comes from."""
    found: dict[str, list[list[dict[str, Any]]]] = {}
    for row in rows:
        unit = "" if is_known(row.section) else ", amounts in millionths"
        found.setdefault(row.section, []).extend(
            [cells.text(key, "id"), cells.text(value), cells.text(f"{row.origin}{unit}", "quiet")]
            for key, value in values_of(row)
        )
    columns = {"setting": "", "value": "", "from": ""}
    return [
        (f"section-{name.replace('.', '-')}", plain_table(name, columns, section, "no setting"))
        for name, section in found.items()
    ]


def _advice(advice: dict[str, Any] | None) -> dict[str, Any]:
    """The advisor's page: spend, forecasts with reasons, the record of each forecaster."""
    if advice is None:
        return {"spend": [], "forecasts": [], "scores": None, "calibration_svg": "", "lessons": []}
    spend = advice["spend"]
    figures = [
        ("spent", f"${spend['total']:,.2f}", "figure"),
        ("reserved", f"${spend['reserved']:,.2f}", "figure"),
        ("answers", f"{advice['answers']['count']:,}", "figure"),
        ("unanswered", f"{spend['unanswered']:,}", "figure"),
        ("mean latency", f"{advice['answers']['mean_latency_ms']:,} ms", "figure"),
    ]
    rows = [
        [
            cells.text(f"{score['scope']} {score['name']}", "name"), cells.text(score["family"], "wide"),
            cells.text(f"{score['markets']:,}", "num"), cells.text(f"{score['brier']:.4f}", "num"),
            cells.text(f"{score['brier_market']:.4f}", "num"), cells.text(f"{score['weight']:.2f}", "num"),
        ]
        for score in advice["scores"]
    ]  # fmt: skip
    columns = {
        "forecaster": "",
        "family": "wide",
        "markets": "num",
        "Brier": "num",
        "the market's": "num",
        "weight": "num",
    }
    pooled = next((score for score in advice["scores"] if score["scope"] == "pooled"), None)
    bins = [(b["said"], b["happened"], b["markets"]) for b in pooled["calibration"]] if pooled else []
    return {
        "spend": figures,
        "forecasts": advice["forecasts"][:30],
        "scores": plain_table("Record beside the market's", columns, rows, "no outcome yet"),
        "calibration_svg": Markup(charts.calibration(bins)),  # noqa: S704 - drawn here, of numbers
        "lessons": advice["lessons"][-10:][::-1],
    }
