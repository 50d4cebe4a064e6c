"""The application: routes, static files, errors as problems, and the guard around all of it."""

import hashlib
import mimetypes
from collections.abc import Collection
from pathlib import Path
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response

from libs.bounded import clip
from libs.runtime.layout import StateFileError
from libs.tape.errors import TapeError
from services.console import api, pages, socket
from services.console.guard import App, Guard
from services.console.journal import JournalUnavailable
from services.console.service import Console
from services.console.sessions import NotLoggedIn

STATIC = Path(__file__).parent / "static"
DETAIL_CHARACTERS_MAX = 500
TITLE = "Presage console"
LANGUAGE_TYPES = {
    ".webmanifest": "application/manifest+json",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


def app_of(console: Console, hosts: Collection[str], *, is_secure: bool) -> App:
    """The whole application. ``hosts``: names with port by which browsers reach it."""
    return Guard(routes_of(console), hosts, is_secure=is_secure)


def routes_of(console: Console) -> FastAPI:
    """The routes without their guard: what the OpenAPI document is made of."""
    app = FastAPI(
        title=TITLE,
        version=console.now.build,
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        openapi_url=None,
        summary="What a trading system does and why; all of it also as data.",
    )
    files = _static_files()
    version = hashlib.sha256(b"".join(body for _, body in files.values())).hexdigest()[:12]

    @app.get("/static/{name}", include_in_schema=False)
    async def static(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, f"expected one of {len(files)} files")
        kind, body = files[name]
        return Response(
            body, media_type=kind, headers={"cache-control": "public, max-age=31536000, immutable"}
        )

    @app.get("/api/v1/openapi.json", include_in_schema=False)
    async def openapi(request: Request) -> Response:
        console.gatekeeper.expect_session(request)
        return JSONResponse(app.openapi())

    app.include_router(api.router_of(console))
    app.include_router(socket.router_of(console))
    app.include_router(pages.router_of(console, version))
    _add_errors(app)
    return app


def _static_files() -> dict[str, tuple[str, bytes]]:
    """Name → type and content: read once, so that no path of a request ever reaches the disk."""
    return {
        path.name: (
            LANGUAGE_TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "text/plain",
            path.read_bytes(),
        )
        for path in sorted(STATIC.iterdir())
    }


def _add_errors(app: FastAPI) -> None:
    async def refused(request: Request, error: Exception) -> Response:
        if isinstance(error, NotLoggedIn) and not request.url.path.startswith("/api/"):
            return RedirectResponse(_login_after(request), 303)
        status, words = api.ERRORS[type(error)]
        return problem(status, words(error))

    async def unavailable(_: Request, error: Exception) -> Response:
        return problem(503, f"not available now: {error}")

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        told = [f"{'.'.join(map(str, item['loc']))}: {item['msg'].lower()}" for item in error.errors()[:5]]
        return problem(422, "; ".join(told))

    async def http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return problem(error.status_code, str(error.detail))

    for kind in api.ERRORS:
        app.add_exception_handler(kind, refused)
    app.add_exception_handler(JournalUnavailable, unavailable)
    app.add_exception_handler(TapeError, unavailable)
    app.add_exception_handler(StateFileError, unavailable)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


def _login_after(request: Request) -> str:
    """Where who is not logged in goes; after a command the page there says that it was not done."""
    path = request.url.path
    if request.method == "GET":
        return f"/login?back={quote(path)}"
    if path.startswith("/command/"):
        return f"/login?not_done={quote(path.removeprefix('/command/'), safe='')}"
    return "/login"


def problem(status: int, detail: str) -> Response:
    """An error, after RFC 9457."""
    titles = {400: "Bad request", 401: "Not logged in", 403: "Not allowed", 404: "Not found", 405: "Method not allowed",
              422: "Not as expected", 429: "Too many attempts", 503: "Not available"}  # fmt: skip
    body = {
        "type": "about:blank",
        "title": titles.get(status, "Error"),
        "status": status,
        "detail": clip(detail, DETAIL_CHARACTERS_MAX),
    }
    return JSONResponse(body, status, media_type="application/problem+json")
