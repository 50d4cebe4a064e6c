"""The pages: whole without a script, and alive with one."""

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from markupsafe import Markup
from pydantic import ValidationError
from starlette.responses import HTMLResponse, RedirectResponse, Response

from libs.bounded import cut
from proto.operator import Verb
from services.console import answers, api, charts, evaluation_pages, reading_pages, tables
from services.console.accounts import Session, TooManyAttempts
from services.console.commands import CommandRefused
from services.console.limits import FILTER_CHARACTERS_MAX
from services.console.render import Filter, Renderer, form_of, own_path
from services.console.service import Console
from services.console.sessions import Forbidden, address_of

COMMANDS = frozenset(verb.value for verb in Verb)
OVERVIEW = (
    "account",
    "limits",
    "waiting",
    "positions",
    "decisions",
    "venues",
    "services",
    "alerts",
    "latency",
)


def router_of(console: Console, version: str) -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    draw = Renderer(console, version)
    _add_session(router, console, draw)
    _add_live_pages(router, console, draw)
    reading_pages.add_to(router, console, draw)
    evaluation_pages.add_to(router, console, draw)
    _add_commands(router, console, draw)
    return router


def _add_session(router: APIRouter, console: Console, draw: Renderer) -> None:
    @router.get("/login")
    async def login_page(request: Request) -> Response:
        asked = request.query_params.get("not_done", "")
        told = (
            f"Not done: {asked.replace('_', ' ')}. The session was over. Log in, then ask again."
            if asked in COMMANDS
            else ""
        )
        return draw.login(own_path(request.query_params.get("back", "/")), told, 200)

    @router.post("/login")
    async def login(request: Request) -> Response:
        form = await form_of(request)
        user, password = form.get("user", ""), form.get("password", "")
        back = form.get("back", "/")
        try:
            admitted = await console.accounts.log_in(user, password, address_of(request))
        except TooManyAttempts:
            return draw.login(own_path(back), "Too many wrong passwords. Try again in 15 minutes.", 429)
        if admitted is None:
            return draw.login(own_path(back), "User or password is wrong.", 401)
        response = RedirectResponse(own_path(back), 303)
        api.set_cookie(console, response, admitted.cookie)
        return response

    @router.post("/logout")
    async def logout(request: Request) -> Response:
        session = console.gatekeeper.expect_session(request)
        csrf = (await form_of(request)).get("csrf", "")
        console.gatekeeper.expect_token(session, csrf)
        console.accounts.log_out(request.cookies.get(console.gatekeeper.cookie, ""))
        response = RedirectResponse("/login", 303)
        response.delete_cookie(console.gatekeeper.cookie, path="/")
        return response


def _add_live_pages(router: APIRouter, console: Console, draw: Renderer) -> None:
    gate, now = console.gatekeeper, console.now

    @router.get("/")
    async def overview(request: Request) -> Response:
        session = gate.expect_session(request)
        svg = charts.equity(now.fold.view.equity_history.points, now.unit())
        return draw.page(request, session, "overview.html", "overview", live=OVERVIEW, equity_svg=Markup(svg))  # noqa: S704 - drawn here, of numbers

    @router.get("/chart/equity.svg")
    async def equity(request: Request) -> Response:
        gate.expect_session(request)
        svg = charts.equity(now.fold.view.equity_history.points, now.unit())
        return Response(svg, media_type="image/svg+xml")

    @router.get("/markets")
    async def markets(request: Request) -> Response:
        session = gate.expect_session(request)
        about = "What the first outcome of each market costs, beside what strategies and the advisor think it is worth."
        return _tables(
            draw,
            request,
            session,
            "markets",
            ("markets",),
            about=about,
            exports=[("JSON", "/api/v1/markets")],
        )

    @router.get("/orders")
    async def orders(request: Request) -> Response:
        session = gate.expect_session(request)
        exports = [
            (f"{name} as {form.upper()}", f"/api/v1/{name}?format={form}")
            for name in ("orders", "fills", "trades")
            for form in ("json", "jsonl")
        ]
        return _tables(
            draw, request, session, "orders", ("waiting", "orders", "fills", "trades"), exports=exports
        )

    @router.get("/decisions")
    async def decisions(request: Request) -> Response:
        session = gate.expect_session(request)
        asked = {
            name: cut(request.query_params.get(name, ""), FILTER_CHARACTERS_MAX)
            for name in ("strategy", "outcome", "market")
        }
        rows = tables.decisions(now).values()
        filters = [
            Filter(
                "strategy",
                "Strategy",
                asked["strategy"],
                tuple(sorted({r["strategy"] for r in rows if r["strategy"]})),
            ),
            Filter("outcome", "Outcome", asked["outcome"], tuple(sorted({r["outcome"] for r in rows}))),
            Filter("market", "Market", asked["market"]),
        ]
        about = "What strategies proposed and what became of it; the same rejection again is folded. Each row opens why."
        if not any(asked.values()):
            return _tables(
                draw, request, session, "decisions", ("decisions",), about=about, filters=filters,
                exports=[("JSON", "/api/v1/decisions"), ("JSON Lines", "/api/v1/decisions?format=jsonl")],
            )  # fmt: skip
        found = draw.table(
            "decisions", lambda row: all(not value or value in row[name] for name, value in asked.items())
        )
        return draw.page(
            request, session, "tables.html", "decisions", shown=("decisions",), tables={"decisions": found},
            about=about, filters=filters, more="", exports=[],
        )  # fmt: skip

    @router.get("/alerts")
    async def alerts(request: Request) -> Response:
        session = gate.expect_session(request)
        return _tables(
            draw,
            request,
            session,
            "alerts",
            ("alerts", "services", "commands"),
            exports=[("JSON", "/api/v1/alerts")],
        )


def _tables(
    draw: Renderer, request: Request, session: Session, page: str, live: tuple[str, ...], **values: Any
) -> Response:
    given = {"about": "", "filters": [], "more": "", "exports": []} | values
    return draw.page(request, session, "tables.html", page, live=live, shown=live, **given)


def _add_commands(router: APIRouter, console: Console, draw: Renderer) -> None:
    gate = console.gatekeeper

    @router.post("/command/{verb}")
    async def command(request: Request, verb: str) -> Response:
        session = gate.expect_session(request)
        form = await form_of(request)
        gate.expect_token(session, form.get("csrf", ""))
        try:
            told = answers.Told.model_validate(
                {name: form[name] for name in ("order", "instrument", "proposal", "password") if name in form}
                | {"verb": verb, "close_only": form.get("close_only") == "yes"}
            )
            outcome = await api.say(console, session, told)
        except (CommandRefused, Forbidden, TooManyAttempts, ValidationError) as e:
            text = (
                "Too many wrong passwords. Try again in 15 minutes."
                if isinstance(e, TooManyAttempts)
                else str(e)
            )
            # The address of this answer is the command's: what its forms lead back to is where this one came from.
            answer = draw.page(
                request, session, "message.html", "overview", title="Not done", text=text, form=None,
                back=own_path(form.get("back", "/")),
            )  # fmt: skip
            answer.status_code = 403
            return answer
        back = own_path(form.get("back", "/"))
        return RedirectResponse(f"{back}?outcome={quote(outcome['id'])}", 303)

    @router.get("/flatten/{instrument:path}")
    async def flatten(request: Request, instrument: str) -> Response:
        session = gate.expect_session(request)
        gate.expect_operator(session)
        what = "every open position" if instrument == "all" else instrument
        text = f"Leave {what} now: its targets are cancelled, the rest is sold at the bid. Entries go on."
        form = {
            "action": "/command/flatten",
            "back": "/",
            "fields": {"instrument": "" if instrument == "all" else instrument},
            "password": False,
            "label": "Flatten now",
        }
        return draw.page(request, session, "message.html", "overview", title="Flatten", text=text, form=form)
