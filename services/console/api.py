"""The REST interface, ``/api/v1``: what is so now, what was, and commands. OpenAPI is at ``/api/v1/openapi.json``."""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BeforeValidator

from libs.explain.why import SeveralMeant
from proto.operator import Verb
from services.console import answers, chain, performance, tables
from services.console.accounts import Session, TooManyAttempts
from services.console.commands import CommandRefused
from services.console.journal import Search, as_exact
from services.console.limits import EXPORT_ROWS_MAX, PAGE_ROWS_MAX
from services.console.live import encode
from services.console.service import Console
from services.console.sessions import CSRF_HEADER, Forbidden, NotLoggedIn, address_of
from services.console.settings import values_of

DEFAULT_ROWS = 100
LINES = "application/x-ndjson"


def _digits(value: object) -> object:
    """A whole number as digits alone: Python would read ``1_0`` as ten."""
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError("expected digits")
    return value


Count = Annotated[
    int, BeforeValidator(_digits), Query(ge=1, le=PAGE_ROWS_MAX, description="Rows of the answer.")
]
Cursor = Annotated[str, Query(pattern=r"^\d{0,19}$", description="`next` of the page before.")]
Filter = Annotated[str, Query(max_length=200)]
Lines = Annotated[
    str, Query(alias="format", pattern="^(json|jsonl)$", description="`jsonl`: all rows, one a line.")
]


@dataclass
class Listed:
    """Which rows of a list, how many, and in what form."""

    count: Count = DEFAULT_ROWS
    cursor: Cursor = ""
    strategy: Filter = ""
    form: Lines = "json"


@dataclass
class Wanted:
    """Filters of the journal; an empty one is none."""

    kind: Filter = ""
    order: Filter = ""
    market: Filter = ""
    strategy: Filter = ""
    producer: Filter = ""


class NotFound(Exception):
    """There is no such thing; the text says what was asked for."""


def router_of(console: Console) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/api/v1")
    _add_login(router, console)
    _add_now(router, console)
    _add_reports(router, console)
    _add_lists(router, console)
    _add_records(router, console)
    _add_commands(router, console)
    return router


def _add_login(router: APIRouter, console: Console) -> None:
    gate = console.gatekeeper

    @router.post("/login", response_model=answers.Admitted, tags=["session"])
    async def login(request: Request, response: Response, given: answers.Credentials) -> dict[str, str]:
        """Log in: the answer sets a cookie."""
        admitted = await console.accounts.log_in(given.user, given.password, address_of(request))
        if admitted is None:
            raise NotLoggedIn
        set_cookie(console, response, admitted.cookie)
        session = admitted.session
        return {"user": session.user, "role": session.role.value, "csrf": session.csrf}

    @router.post("/logout", tags=["session"])
    async def logout(request: Request) -> dict[str, bool]:
        """End the session: open sockets of it close."""
        expect_own(console, request)
        gate.accounts.log_out(request.cookies.get(gate.cookie, ""))
        return {"done": True}


def _add_now(router: APIRouter, console: Console) -> None:
    now, gate = console.now, console.gatekeeper

    @router.get("/status", response_model=answers.Status, tags=["now"])
    async def status(request: Request) -> dict[str, Any]:
        """What runs, whose money moves, whether orders may leave."""
        gate.expect_session(request)
        return tables.status(now)

    @router.get("/state", tags=["now"])
    async def state(
        request: Request, tables_: Annotated[str, Query(alias="tables", max_length=200)] = ""
    ) -> Response:
        """The tables as the socket's snapshot has them; ``tables``: names with commas, all without."""
        gate.expect_session(request)
        wanted = [name for name in tables.TABLES if not tables_ or name in tables_.split(",")]
        document = {"status": tables.status(now), "tables": console.live.snapshot(wanted)}
        return Response(encode(document), media_type="application/json")

    @router.get("/account", tags=["now"])
    async def account(request: Request) -> dict[str, Any]:
        """Money of the account, what is left of the limits, services and venues."""
        gate.expect_session(request)
        names = ("account", "limits", "services", "venues", "latency")
        return {name: list(tables.TABLES[name](now).values()) for name in names} | {
            "as_of": str(now.fold.seq)
        }

    @router.get("/positions", response_model=answers.Page[answers.Position], tags=["now"])
    async def positions(request: Request) -> dict[str, Any]:
        """Open positions."""
        gate.expect_session(request)
        return _whole(console, tables.positions(now).values())

    @router.get("/alerts", response_model=answers.Page[answers.AlertRow], tags=["now"])
    async def alerts(request: Request) -> dict[str, Any]:
        """Alerts: active ones first, the worst before others."""
        gate.expect_session(request)
        return _whole(console, tables.alerts(now).values())

    @router.get("/markets", response_model=answers.Page[answers.MarketRow], tags=["now"])
    async def markets(request: Request) -> dict[str, Any]:
        """Markets that trade."""
        gate.expect_session(request)
        return _whole(console, tables.markets(now).values())


def _add_reports(router: APIRouter, console: Console) -> None:
    now, gate = console.now, console.gatekeeper

    @router.get("/config", response_model=answers.Page[answers.Section], tags=["now"])
    async def config(request: Request) -> dict[str, Any]:
        """The configuration as machines have it, section by section."""
        gate.expect_session(request)
        return _whole(console, [section_row(name, console) for name in sorted(now.fold.sections)])

    @router.get("/forecasts", tags=["now"])
    async def forecasts(request: Request) -> dict[str, Any]:
        """What the advisor forecast, what that was worth, what it cost. Probabilities are fractions."""
        gate.expect_session(request)
        return as_exact(await console.advice())  # type: ignore[no-any-return] # a document

    @router.get("/eval", tags=["now"])
    async def evaluation(request: Request) -> dict[str, Any]:
        """What evaluations found, what was proposed, and what became of it; amounts are decimals as text."""
        gate.expect_session(request)
        return await console.evaluation()

    @router.get("/settings", tags=["now"])
    async def settings(request: Request) -> dict[str, Any]:
        """Every setting that counts now, and where it comes from; amounts in ``value`` are in millionths, as on the tape.

        ``written`` has each value below the setting as a file writes it.
        """
        gate.expect_session(request)
        rows = await console.settings()
        return _whole(console, [as_exact(row.document()) | {"written": dict(values_of(row))} for row in rows])

    @router.get("/performance", tags=["now"])
    async def performance_(request: Request) -> dict[str, Any]:
        """What the account came to and closed trades made, by the formulas of ``presage performance``."""
        gate.expect_session(request)
        return performance.document(performance.performance_of(now.fold))


def section_row(name: str, console: Console) -> dict[str, Any]:
    """A section of the configuration."""
    setting = console.now.fold.sections[name]
    return {
        "section": name,
        "seq": str(setting.seq),
        "at": str(setting.at),
        "document": as_exact(setting.document),
    }


def _whole(console: Console, rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {"items": list(rows), "next": None, "as_of": str(console.now.fold.seq)}


def _add_lists(router: APIRouter, console: Console) -> None:
    now, gate = console.now, console.gatekeeper

    def answer(rows: list[dict[str, Any]], listed: Listed, **wanted: str) -> Any:
        found = fitting(rows, strategy=listed.strategy, **wanted)
        if listed.form == "jsonl":
            return _lines(found)
        return page_of(found, listed.count, listed.cursor, now.fold.seq)

    @router.get("/orders", response_model=answers.Page[answers.Order], tags=["lists"])
    async def orders(
        request: Request, listed: Annotated[Listed, Depends()], market: Filter = "", status: Filter = ""
    ) -> Any:
        """Orders, newest first."""
        gate.expect_session(request)
        rows = [tables.order_row(now, row) for row in reversed(now.fold.orders.rows.values())]
        return answer(rows, listed, market=market, status=status)

    @router.get("/fills", response_model=answers.Page[answers.Fill], tags=["lists"])
    async def fills(request: Request, listed: Annotated[Listed, Depends()], market: Filter = "") -> Any:
        """Fills, newest first."""
        gate.expect_session(request)
        rows = [tables.fill_row(now, row) for row in reversed(now.fold.books.fills.values())]
        return answer(rows, listed, market=market)

    @router.get("/trades", response_model=answers.Page[answers.Trade], tags=["lists"])
    async def trades(
        request: Request, count: Count = DEFAULT_ROWS, strategy: Filter = "", form: Lines = "json"
    ) -> Any:
        """Closed trades, newest first."""
        gate.expect_session(request)
        made = [tables.trade_row(now, row) for row in reversed(now.fold.books.trades())]
        rows = fitting(made, strategy=strategy)
        return _lines(rows) if form == "jsonl" else _whole(console, rows[:count])

    @router.get("/decisions", response_model=answers.Page[answers.DecisionRow], tags=["lists"])
    async def decisions(request: Request, listed: Annotated[Listed, Depends()], outcome: Filter = "") -> Any:
        """The latest decisions, newest first; older ones are in the journal."""
        gate.expect_session(request)
        rows = [tables.decision_row(now, row) for row in reversed(now.fold.view.decisions.latest)]
        return answer(rows, listed, outcome=outcome)


def fitting(rows: list[dict[str, Any]], **wanted: str) -> list[dict[str, Any]]:
    """The rows whose fields are what is wanted; an empty wish is none."""
    return [row for row in rows if all(not value or row[name] == value for name, value in wanted.items())]


def page_of(rows: list[dict[str, Any]], count: int, cursor: str, seq: int) -> dict[str, Any]:
    """The rows behind a cursor, as a page; a cursor is the sequence of the last row of the page before."""
    behind = [row for row in rows if not cursor or int(row["seq"]) < int(cursor)]
    items = behind[:count]
    more = items[-1]["seq"] if len(behind) > count else None
    return {"items": items, "next": more, "as_of": str(seq)}


def _lines(rows: list[dict[str, Any]]) -> StreamingResponse:
    async def write() -> AsyncIterator[str]:
        for row in rows[:EXPORT_ROWS_MAX]:
            yield encode(row) + "\n"

    return StreamingResponse(write(), media_type=LINES)


def _add_records(router: APIRouter, console: Console) -> None:
    now, gate = console.now, console.gatekeeper

    @router.get("/why/{name:path}", tags=["records"])
    async def why(request: Request, name: str) -> list[dict[str, Any]]:
        """The chain of causes of an order, a message, a market or a sequence, as ``presage why --json`` has it."""
        gate.expect_session(request)
        try:
            found = await chain.explain(now, name)
        except SeveralMeant as e:
            raise NotFound(str(e)) from e
        if not found:
            raise NotFound("expected an order, message id, market or sequence of the tape")
        return found

    @router.get("/journal", response_model=answers.Page[answers.Entry], tags=["records"])
    async def journal(
        request: Request,
        wanted: Annotated[Wanted, Depends()],
        count: Count = DEFAULT_ROWS,
        cursor: Cursor = "",
        form: Lines = "json",
    ) -> Any:
        """Messages in the journal, newest first."""
        gate.expect_session(request)
        given = asdict(wanted)
        before = int(cursor) if cursor else None
        if form == "jsonl":
            return StreamingResponse(_export(console, given, before), media_type=LINES)
        rows = await console.journal.find(Search(given, before, count + 1))
        more = rows[count - 1]["seq"] if len(rows) > count else None
        return {"items": rows[:count], "next": more, "as_of": str(now.fold.seq)}


async def _export(console: Console, given: dict[str, str], before: int | None) -> AsyncIterator[str]:
    left = EXPORT_ROWS_MAX
    while left > 0:
        rows = await console.journal.find(Search(given, before, min(PAGE_ROWS_MAX, left)))
        for row in rows:
            yield encode(row) + "\n"
        if len(rows) < PAGE_ROWS_MAX:
            return
        left -= len(rows)
        before = int(rows[-1]["seq"])


def _add_commands(router: APIRouter, console: Console) -> None:
    gate = console.gatekeeper

    @router.post("/commands", response_model=answers.CommandOutcome, tags=["commands"])
    async def give(request: Request, told: answers.Told) -> JSONResponse:
        """Say something to the system; the answer is what the tape says of it. Halt is anyone's, the rest an operator's."""
        session = expect_own(console, request)
        outcome = await say(console, session, told)
        return JSONResponse(outcome)

    @router.get("/commands", response_model=answers.Page[answers.CommandOutcome], tags=["commands"])
    async def given(request: Request) -> dict[str, Any]:
        """What was said from this console since it started, newest first."""
        gate.expect_session(request)
        return _whole(console, [outcome.document() for outcome in reversed(console.desk.latest)])


def expect_own(console: Console, request: Request) -> Session:
    """The session of a request that changes something, with its token in the header."""
    session = console.gatekeeper.expect_session(request)
    console.gatekeeper.expect_token(session, request.headers.get(CSRF_HEADER, ""))
    return session


async def say(console: Console, session: Session, told: answers.Told) -> dict[str, Any]:
    """Give a command in the name of a session, after everything that it takes.

    Raises:
        Forbidden: the session may not, or the password that a resume takes is wrong.
        TooManyAttempts: it was wrong too often.
    """
    verbs: dict[str, Verb] = {verb.value: verb for verb in Verb}
    verb = verbs.get(told.verb)
    if verb is None:
        raise Forbidden(f"expected one of {', '.join(verbs)}, was {told.verb!r}")
    if verb is not Verb.HALT:
        console.gatekeeper.expect_operator(session)
    # Before the password is looked at: that takes a moment, in which somebody may halt.
    seen = console.desk.halts()
    if verb is Verb.RESUME and not await console.accounts.confirms(session, told.password):
        raise Forbidden("expected your password for a resume, was another one")
    fields = {
        "order": told.order,
        "instrument": told.instrument,
        "proposal": told.proposal,
        "reason": told.reason,
        "close_only": "yes" if told.close_only else "",
    }
    return (await console.desk.give(verb, session.user, seen=seen, **fields)).document()


def set_cookie(console: Console, response: Response, value: str) -> None:
    """Give a browser its session: for this origin alone, out of reach of scripts."""
    gate = console.gatekeeper
    response.set_cookie(gate.cookie, value, httponly=True, samesite="strict", secure=gate.is_secure, path="/")


ERRORS: dict[type[Exception], tuple[int, Callable[[Exception], str]]] = {
    CommandRefused: (403, str),
    NotLoggedIn: (401, lambda _: "expected a session, was none: log in"),
    Forbidden: (403, str),
    NotFound: (404, str),
    TooManyAttempts: (429, lambda _: "too many wrong passwords; try again in 15 minutes"),
}
"""Error → status and words."""
