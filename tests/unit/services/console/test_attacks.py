"""The console as an attacker meets it: no session, other origins, foreign hosts, forms without token, paths, markup."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest

from proto.operator import Verb
from services.console.accounts import Role
from services.console.limits import BODY_BYTES_MAX, TARGET_CHARACTERS_MAX
from services.console.service import Console
from services.console.web import routes_of
from tests.support.console_world import HOST, ORIGIN, PASSWORD, browser, console_over, log_in, session
from tests.support.view_session import market

MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>"


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Console:
    hostile = market(0).model_copy(update={"title": MARKUP, "venue": "polymarket"})
    made = console_over(tmp_path_factory.mktemp("console"), [*session(), hostile])
    made.accounts.set_password("operator", PASSWORD, Role.OPERATOR)
    made.accounts.set_password("viewer", PASSWORD, Role.VIEWER)
    return made


def attack(
    console: Console, act: Callable[[httpx.AsyncClient], Coroutine[Any, Any, None]], **headers: str
) -> None:
    async def run() -> None:
        async with browser(console, **headers) as client:
            await act(client)

    asyncio.run(run())


def _paths(console: Console, method: str) -> list[str]:
    """Every address of the application; what stands in braces is filled in."""

    routes = [r for r in flat(routes_of(console).routes) if method in (getattr(r, "methods", None) or ())]
    return [re.sub(r"\{[^}]+\}", "x", route.path) for route in routes]


def tags_of(page: str) -> list[tuple[str, dict[str, str | None]]]:
    """Tags of a page with their attributes, as a parser sees them."""
    found: list[tuple[str, dict[str, str | None]]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, dict(attrs)))

    Reader().feed(page)
    return found


def flat(routes: Any) -> list[Any]:
    """Routes, those of routers inside as well."""
    found: list[Any] = []
    for route in routes:
        inner = getattr(route, "routes", None)
        if inner is None and hasattr(route, "original_router"):
            inner = route.original_router.routes
        found += flat(inner) if inner else [route]
    return found


def test_without_a_session_nothing_but_the_login_answers(console: Console):
    gets = [path for path in _paths(console, "GET") if not path.startswith(("/static/", "/login"))]
    posts = [path for path in _paths(console, "POST") if not path.endswith("/login")]
    assert len(gets) > 25
    assert len(posts) >= 4

    async def act(client: httpx.AsyncClient) -> None:
        for method, path in [("GET", path) for path in gets] + [("POST", path) for path in posts]:
            answer = await client.request(method, path, json={"verb": "halt"} if method == "POST" else None)
            if path.startswith("/api/"):
                assert answer.status_code == 401, path
                assert answer.headers["content-type"] == "application/problem+json"
            else:
                assert answer.status_code == 303, (path, answer.status_code)
                assert answer.headers["location"].startswith("/login")
            assert "equity" not in answer.text

    attack(console, act)
    assert not console.now.layout.halt_file.exists()


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:1", "localhost", f"{HOST}.evil.example", ""])
def test_another_host_is_not_answered(console: Console, host: str):
    async def act(client: httpx.AsyncClient) -> None:
        answer = await client.get("/login", headers={"host": host})
        assert answer.status_code == 400
        assert "Log in" not in answer.text

    attack(console, act)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": f"https://{HOST}"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_form_of_another_origin_does_nothing_although_the_cookie_comes_with_it(
    console: Console, headers: dict[str, str]
):
    async def act(client: httpx.AsyncClient) -> None:
        token = await log_in(client)
        for path in ("/command/halt", "/logout", "/api/v1/commands", "/login"):
            answer = await client.post(path, data={"csrf": token}, headers=headers)
            assert answer.status_code == 400
        assert (await client.get("/api/v1/status")).status_code == 200

    attack(console, act)
    assert not console.now.layout.halt_file.exists()


@pytest.mark.parametrize("token", ["", "x", "0" * 32])
def test_a_command_without_the_sessions_token_does_nothing(console: Console, token: str):
    async def act(client: httpx.AsyncClient) -> None:
        await log_in(client)
        for verb in Verb:
            form = await client.post(f"/command/{verb.value}", data={"csrf": token})
            assert form.status_code == 403
            told = {"verb": verb.value}
            answer = await client.post("/api/v1/commands", json=told, headers={"x-csrf-token": token})
            assert answer.status_code == 403

    attack(console, act)
    assert not console.now.layout.halt_file.exists()


def test_a_token_of_another_session_is_none(console: Console):
    async def act(client: httpx.AsyncClient) -> None:
        async with browser(console) as other:
            stolen = await log_in(other)
        await log_in(client)
        assert (await client.post("/command/halt", data={"csrf": stolen})).status_code == 403

    attack(console, act)


def test_a_viewer_commands_nothing_but_a_halt(console: Console):
    async def act(client: httpx.AsyncClient) -> None:
        token = await log_in(client, "viewer")
        for verb in Verb:
            if verb is Verb.HALT:
                continue
            told = {"verb": verb.value, "password": PASSWORD}
            answer = await client.post("/api/v1/commands", json=told)
            assert answer.status_code == 403, verb
        page = (await client.get("/orders")).text
        assert "Approve" not in page
        assert "Halt now" in page
        assert token

    attack(console, act)


@pytest.mark.parametrize("verb", ["skip", "configure", "open", "loosen", "", "HALT"])
def test_what_the_console_may_not_say_is_not_said(console: Console, verb: str):
    async def act(client: httpx.AsyncClient) -> None:
        await log_in(client)
        answer = await client.post("/api/v1/commands", json={"verb": verb})
        assert answer.status_code == 403

    attack(console, act)
    assert not console.now.layout.halt_file.exists()


def test_a_resume_takes_the_password_again(console: Console):
    async def act(client: httpx.AsyncClient) -> None:
        await log_in(client)
        answer = await client.post("/api/v1/commands", json={"verb": "resume", "password": "guess"})
        assert answer.status_code == 403

    attack(console, act)


def test_what_follows_a_wrong_password_can_be_pressed(console: Console):
    async def act(client: httpx.AsyncClient) -> None:
        token = await log_in(client)
        form = {"csrf": token, "password": "guess", "back": "/orders"}
        answer = await client.post("/command/resume", data=form)
        assert answer.status_code == 403
        leads = [a["value"] for tag, a in tags_of(answer.text) if tag == "input" and a.get("name") == "back"]
        assert leads
        assert set(leads) == {"/orders"}
        answer = await client.post("/command/resume", data=form | {"back": "/command/resume"})
        leads = [a["value"] for tag, a in tags_of(answer.text) if tag == "input" and a.get("name") == "back"]
        assert set(leads) == {"/"}

    attack(console, act)


def test_a_halt_of_a_session_that_is_over_says_that_nothing_was_halted(console: Console):
    async def act(client: httpx.AsyncClient) -> None:
        answer = await client.post("/command/halt", data={"csrf": "x"})
        page = await client.get(answer.headers["location"])
        assert "Not done: halt." in page.text
        page = await client.get("/login", params={"not_done": MARKUP})
        assert "Not done" not in page.text

    attack(console, act)
    assert not console.now.layout.halt_file.exists()


@pytest.mark.parametrize(
    "path", ["..%2f..%2fguard.py", "%2e%2e/guard.py", "....//guard.py", "/etc/passwd", "console.css%00"]
)
def test_no_path_leads_out_of_the_static_files(console: Console, path: str):
    async def act(client: httpx.AsyncClient) -> None:
        answer = await client.get(f"/static/{path}")
        assert answer.status_code in (404, 303)
        assert "import" not in answer.text

    attack(console, act)


@pytest.mark.parametrize(
    "back", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/\r\nx: y"]
)
def test_a_login_leads_nowhere_else(console: Console, back: str):
    async def act(client: httpx.AsyncClient) -> None:
        form = {"user": "operator", "password": PASSWORD, "back": back}
        answer = await client.post("/login", data=form)
        assert answer.headers["location"] == "/"

    attack(console, act)


def test_large_bodies_and_targets_are_refused_before_they_are_read(console: Console):
    async def act(client: httpx.AsyncClient) -> None:
        await log_in(client)
        answer = await client.post("/api/v1/commands", content=b"x" * (BODY_BYTES_MAX + 1))
        assert answer.status_code == 400

        async def endless() -> Any:
            for _ in range(BODY_BYTES_MAX // 1_024 + 2):
                yield b"x" * 1_024

        answer = await client.post("/api/v1/commands", content=endless())
        assert answer.status_code == 400
        assert (await client.get("/?" + "x" * TARGET_CHARACTERS_MAX)).status_code == 400
        many = "&".join(f"f{n}=1" for n in range(1_000))
        answer = await client.post(
            "/command/halt", content=many, headers={"content-type": "application/x-www-form-urlencoded"}
        )
        assert answer.status_code == 403

    attack(console, act)
    assert not console.now.layout.halt_file.exists()


def test_markup_from_outside_is_text_on_every_page(console: Console):
    async def act(client: httpx.AsyncClient) -> None:
        await log_in(client)
        market_page = f"/markets/{market(0).market}"
        for path in (
            "/",
            "/markets",
            "/decisions",
            "/orders",
            "/alerts",
            "/performance",
            "/settings",
            market_page,
        ):
            page = (await client.get(path)).text
            assert "<img src=x" not in page
            assert "<script>alert" not in page
        assert "&lt;img src=x onerror" in (await client.get(market_page)).text
        found = (await client.get("/decisions", params={"market": MARKUP})).text
        assert "<img src=x" not in found

    attack(console, act)


def test_every_answer_forbids_what_comes_from_elsewhere(console: Console):
    async def act(client: httpx.AsyncClient) -> None:
        answers = [
            await client.get("/login"),
            await client.get("/static/console.js"),
            await client.get("/nothing"),
        ]
        await log_in(client)
        answers += [
            await client.get("/"),
            await client.get("/api/v1/status"),
            await client.get("/api/v1/none"),
        ]
        for answer in answers:
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
        page = (await client.get("/")).text
        tags = tags_of(page)
        assert len(tags) > 100
        for tag, attributes in tags:
            assert tag != "script" or attributes["src"], tag
            assert not any(name.startswith("on") or name == "style" for name in attributes), attributes
            for name in ("src", "href", "action"):
                assert (attributes.get(name) or "/").startswith(("/", "#")), attributes
                assert not (attributes.get(name) or "").startswith("//"), attributes

    attack(console, act)


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(console: Console):
    async def act(client: httpx.AsyncClient) -> None:
        answer = await client.post(
            "/login", data={"user": "operator", "password": PASSWORD}, headers={"origin": ORIGIN}
        )
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        value = client.cookies["presage"]
        await client.post(
            "/logout",
            data={"csrf": re.search(r'name="csrf" value="([^"]+)"', (await client.get("/")).text)[1]},
        )
        client.cookies.set("presage", value)
        assert (await client.get("/api/v1/status")).status_code == 401

    attack(console, act)


def test_beyond_loopback_it_listens_with_tls_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from libs.config.environment import Environment
    from services.console.shell import Address, UnsafeAddress

    monkeypatch.setenv("PRESAGE_CONSOLE_ADDRESS", "0.0.0.0:0")
    with pytest.raises(UnsafeAddress, match="TLS"):
        Address(Environment.read(), None)
    monkeypatch.setenv("PRESAGE_CONSOLE_BEHIND_PROXY", "1")
    address = Address(Environment.read(), None)
    assert address.is_secure
    address.socket.close()
