"""The connections that orders go by, against servers that answer as they like."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from libs.venues.transport.line import AnswerTooLong, Lines
from tests.integration.scripted_http import Act, ScriptedHttp, hang_up, reset, say, scripted_http


def raw(*pieces: bytes, close: bool = False) -> Act:
    """Answer with exactly these bytes, each sent by itself."""

    async def act(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if close:
            writer.close()

    return act


def lines_to(server: ScriptedHttp, **changed: float) -> Lines:
    settings = {"connect_s": 2.0, "keepalive_s": 30.0, "body_bytes_max": 10_000} | changed
    return Lines(server.url, **settings)


async def send(lines: Lines, sending: Callable[[], None] = lambda: None, **headers: str):
    async with asyncio.timeout(60.0):
        return await lines.send("POST", f"{lines._url}/order?a=b%20c", headers, b'{"a":1}', sending)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("act", "status", "body"),
    [
        (say(200, b'{"ok":true}'), 200, b'{"ok":true}'),
        (say(400, b'{"error":"no"}', "x-a: 1\r\nx-a: 2\r\n"), 400, b'{"error":"no"}'),
        (raw(b"HTTP/1.1 204 No Content\r\n\r\n"), 204, b""),
        (
            raw(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-le", b"ngth: 2\r\n\r\n{", b"}"),
            200,
            b"{}",
        ),
        (
            raw(
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{",
                b'"a\r\n4;x=y\r\n":1}\r',
                b"\n0\r\n\r\n",
            ),
            200,
            b'{"a":1}',
        ),
        (raw(b"HTTP/1.1 200 OK\r\n\r\n{", b"}", close=True), 200, b"{}"),
        (raw(*(bytes([b]) for b in b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")), 200, b"{}"),
    ],
)
async def test_every_way_to_end_an_answer_is_understood(act, status, body):
    async with scripted_http() as server:
        server.script(act)
        lines = lines_to(server)
        answer = await send(lines, **{"x-sig": "abc"})
        assert (answer.status, answer.body) == (status, body)
        [request] = server.requests
        assert (request.method, request.path, request.body) == ("POST", "/order?a=b%20c", b'{"a":1}')
        assert request.headers["x-sig"] == "abc"
        assert request.headers["host"] == server.url.removeprefix("http://")
        lines.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "act",
    [
        hang_up,
        reset,
        say(200, b"{}", length=50),
        raw(b"HTTP/2 200\r\n\r\n"),
        raw(b"<html>hello</html>\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n{}"),
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}more"),
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}"),
        raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}", close=True),
        raw(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}"),
        raw(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n{}"),
    ],
)
async def test_what_is_no_answer_breaks_the_connection(act):
    async with scripted_http() as server:
        server.script(act, say(200, b'{"next":1}'))
        lines = lines_to(server)
        sent: list[bool] = []
        with pytest.raises(OSError):
            await send(lines, lambda: sent.append(True))
        assert sent == [True]
        # The next request is not answered with what was left of the last one.
        assert (await send(lines)).body == b'{"next":1}'
        assert len(server.requests) == 2
        lines.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "act",
    [
        say(200, b"x" * 10_001),
        raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffff\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nx-long: ", *[b"a" * 60_000] * 2, b"\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\n\r\n", *[b"a" * 6_000] * 2),
    ],
)
async def test_an_answer_has_a_longest_length(act):
    async with scripted_http() as server:
        server.script(act)
        lines = lines_to(server)
        with pytest.raises((AnswerTooLong, OSError)):
            await send(lines)
        lines.close()


@pytest.mark.asyncio
async def test_one_connection_serves_one_request_after_another_while_it_is_young_and_open():
    async with scripted_http() as server:
        lines = lines_to(server)
        server.script(say(), say(), say(200, b"{}", "connection: close\r\n"), say(), hang_up, say())
        ports = []
        for _ in range(4):
            await send(lines)
            ports.append(len(lines._idle))
        # After "connection: close" nothing is kept, then the next one's is.
        assert ports == [1, 1, 0, 1]
        [first] = lines._idle
        lines._keepalive_s = 0.0
        with pytest.raises(OSError):
            await send(lines)
        assert not first.reusable
        assert not lines._idle
        await send(lines)
        lines.close()


@pytest.mark.asyncio
async def test_nothing_is_sent_where_nobody_listens_or_a_header_would_be_two():
    async with scripted_http() as server:
        lines = lines_to(server)
        sent: list[bool] = []
        with pytest.raises(OSError):
            await send(lines, lambda: sent.append(True), evil="a\r\nx: y")
        assert not server.requests
    with pytest.raises(OSError):
        await send(lines, lambda: sent.append(True))
    assert not sent


def test_services_run_on_another_loop():
    async def order() -> bytes:
        async with scripted_http() as server:
            server.script(say(), say(200, b'{"second":1}'))
            lines = lines_to(server)
            await send(lines)
            answer = await send(lines)
            lines.close()
            return answer.body

    assert uvloop.run(order()) == b'{"second":1}'
