"""Pages of what could be otherwise: a what-if over the recorded time."""

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from libs.bounded import cut
from libs.tape.errors import TapeError
from services.console import cells, what_if
from services.console.evaluation import FIGURES
from services.console.limits import FILTER_CHARACTERS_MAX
from services.console.render import Renderer, form_of, own_path, plain_table
from services.console.service import Console
from services.console.sessions import Forbidden
from services.console.work import Job

DECISIONS_SHOWN = 60
PAGE = "/what-if"
ASKED = ("path", "value", "first", "last")
MONEY = ("cash", "equity", "profit", "realised_profit", "fees", "drawdown")


def add_to(router: APIRouter, console: Console, draw: Renderer) -> None:
    """Add the routes."""
    gate = console.gatekeeper

    @router.get("/eval")
    async def evaluation(request: Request) -> Response:
        session = gate.expect_session(request)
        try:
            found, problem = await console.evaluation(), ""
        except TapeError as e:
            found, problem = {"changes": [], "findings": []}, f"The tape cannot be read now: {e}"
        return draw.page(
            request, session, "eval.html", "eval", problem=problem, changes=found["changes"],
            findings=_findings(found["findings"], console.now.unit()), figures=(*FIGURES, "profit", "drawdown"),
        )  # fmt: skip

    @router.get(PAGE)
    async def what_if_page(request: Request) -> Response:
        session = gate.expect_session(request)
        values = box_of(console, request)
        return draw.page(request, session, "what_if.html", "what-if", **values)

    @router.post(PAGE)
    async def ask(request: Request) -> Response:
        session = gate.expect_session(request)
        form = await form_of(request)
        gate.expect_token(session, form.get("csrf", ""))
        gate.expect_operator(session)
        asked = {name: cut(form.get(name, "").strip(), FILTER_CHARACTERS_MAX) for name in ASKED}
        if not asked["path"] or not asked["value"]:
            raise Forbidden("expected a setting and its new value")
        job = await console.work.ask(
            session.user, {asked["path"]: asked["value"]}, asked["first"], asked["last"]
        )
        query = urlencode({**{name: value for name, value in asked.items() if value}, "job": job.name})
        return RedirectResponse(f"{own_path(form.get('back', PAGE))}?{query}#what-if", 303)

    @router.post("/what-if/{name}/cancel")
    async def cancel(request: Request, name: str) -> Response:
        session = gate.expect_session(request)
        form = await form_of(request)
        gate.expect_token(session, form.get("csrf", ""))
        gate.expect_operator(session)
        back = own_path(form.get("back", PAGE))
        job = console.work.jobs.get(name)
        if job is None:
            return RedirectResponse(back, 303)
        if not job.is_over:
            await console.work.cancel(job)
        return RedirectResponse(f"{back}?job={name}#what-if", 303)


def box_of(console: Console, request: Request, own: Collection[str] = ()) -> dict[str, Any]:
    """What the box of a what-if shows: what is asked for, how far it is, and what came of it.

    ``own``: sequences whose decisions the page is about.
    """
    fold = console.now.fold
    asked = {name: cut(request.query_params.get(name, ""), FILTER_CHARACTERS_MAX) for name in ASKED}
    job = console.work.jobs.get(request.query_params.get("job", ""))
    is_over = job is None or job.is_over
    return {
        "asked": asked, "paths": what_if.paths_of(fold), "value_now": what_if.value_now(fold, asked["path"]),
        "job": job, "over": is_over, "refresh": not is_over, **_result(job, own),
    }  # fmt: skip


def _findings(found: list[dict[str, Any]], unit: str) -> dict[str, Any]:
    rows = [
        [
            cells.text(row["day"]), cells.text(row["rule"].replace("_", " "), "name"), cells.text(row["scope"] or "–", "wide"),
            cells.text(f"{row['count']:,}", "num"), cells.money(row["cost"], unit),
            cells.text(row["text"] if row["enough"] else f"{row['text']} (too few cases to say)", "quiet"),
            cells.link("why", cells.why(row["evidence"][0]["id"]), "wide") if row["evidence"] else cells.text("", "wide"),
        ]
        for row in found
    ]  # fmt: skip
    columns = {
        "day": "",
        "rule": "",
        "about": "wide",
        "cases": "num",
        "a day": "num",
        "finding": "",
        "evidence": "wide",
    }
    return plain_table("Findings", columns, rows, "nothing was found yet; presage eval run looks at a day")


def _result(job: Job | None, own: Collection[str] = ()) -> dict[str, Any]:
    """The tables of a job that is done; nothing else is sure of its form but what the evaluator's page says."""
    document = job.result if job is not None else None
    if document is None:
        return {"figures": None, "differing": None}
    variant: Mapping[str, Any] = (document.get("variants") or [{}])[0]
    baseline, outcome = document.get("baseline", {}), variant.get("outcome", {})
    rows = [
        [
            cells.text(name.replace("_", " "), "name"),
            cells.text(_figure(name, value), "num"),
            cells.text(_figure(name, outcome.get(name)), "num"),
        ]
        for name, value in baseline.items()
    ]
    rows.append([
        cells.text("profit against the baseline", "name"), cells.text("", "num"),
        cells.text(f"{float(variant.get('profit_difference', 0)):+,.2f}", "num"),
    ])  # fmt: skip
    decisions = [_decision(row, own) for row in variant.get("decisions", [])[:DECISIONS_SHOWN]]
    count = int(variant.get("decisions_differing", len(decisions)))
    title = f"Decisions that differ: {count:,}"
    columns = {"time": "", "of": "", "as it was": "", "with the change": ""}
    return {
        "figures": plain_table(
            "Outcome, simulated", {"": "", "as it was": "num", "with the change": "num"}, rows, ""
        ),
        "differing": plain_table(title, columns, decisions, "no decision differs"),
    }


def _decision(row: Mapping[str, Any], own: Collection[str]) -> list[dict[str, Any]]:
    """A decision that differs; it opens its own chain, and the one whose page this is says so."""
    at, seq = str(row.get("at", "")), str(row.get("seq", 0))
    is_own = seq in own
    return [
        cells.text(f"{at} (this one)" if is_own else at) if is_own or seq == "0" else cells.link(at, cells.why(seq)),
        cells.text(str(row.get("instrument", "")), "name"),
        cells.text(str(row.get("baseline", "")), "" if is_own else "quiet"),
        cells.text(str(row.get("changed", "")), "" if is_own else "quiet"),
    ]  # fmt: skip


def _figure(name: str, value: Any) -> str:
    return f"{float(value):,.2f}" if name in MONEY and value is not None else str(value)
