"""VenueHttp against a real server that misbehaves: what may have been carried out, and what is asked again."""

import asyncio
import socket

import pytest

from libs.venues.errors import (
    BadAnswer,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unavailable,
    VenueError,
)
from libs.venues.transport import http as transport
from libs.venues.transport.answer import Unread
from libs.venues.transport.http import READ_ATTEMPTS_MAX, Timeouts, VenueHttp
from libs.venues.transport.rate_limit import TokenBucket
from tests.integration.scripted_http import Act, drip, hang, hang_up, reset, say, scripted_http

PAGE = b"<html><body>502 Bad Gateway</body></html>"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(transport, "BACKOFF_S_MIN", 0.001)


def client(url: str, **options: object) -> VenueHttp:
    options.setdefault("timeouts", Timeouts(1.0, 0.4))
    return VenueHttp("acme", url, **options)


async def order(http: VenueHttp) -> object:
    return await http.request("POST", "/orders", effect=True, body=b'{"a":1}')


# What became of an order: the answer, and what it must be taken for.
ORDER_ANSWERS: list[tuple[str, Act, type[VenueError]]] = [
    ("timeout", hang, OutcomeUnknown),
    ("reset", reset, OutcomeUnknown),
    ("closed", hang_up, OutcomeUnknown),
    ("slow body", drip, OutcomeUnknown),
    ("torn body", say(200, b'{"id":', length=100), OutcomeUnknown),
    ("html 200", say(200, PAGE), OutcomeUnknown),
    ("html 403", say(403, PAGE), OutcomeUnknown),
    ("html 404", say(404, PAGE), OutcomeUnknown),
    ("empty", say(200, b""), OutcomeUnknown),
    ("broken json", say(200, b'{"id":1'), OutcomeUnknown),
    ("a word", say(200, b'"ok"'), OutcomeUnknown),
    ("redirect", say(302, b"{}", "location: /elsewhere\r\n"), OutcomeUnknown),
    ("500", say(500, b'{"error":"oops"}'), OutcomeUnknown),
    ("502", say(502, PAGE), OutcomeUnknown),
    ("503 from a proxy", say(503, PAGE), OutcomeUnknown),
    ("503 undocumented", say(503, b'{"error":"busy"}'), OutcomeUnknown),
    ("408", say(408, b'{"error":"timeout"}'), OutcomeUnknown),
    ("400", say(400, b'{"error":{"code":"tick","message":"bad tick"}}'), Refused),
    ("404", say(404, b'{"error":"no such market"}'), Refused),
    ("429", say(429, b'{"error":"slow down"}', "retry-after: 7\r\n"), RateLimited),
    ("429 page", say(429, PAGE), RateLimited),
    ("418", say(418, b'{"code":-1003,"msg":"banned"}', "retry-after: 120\r\n"), RateLimited),
    ("425", say(425, b"restarting"), Unavailable),
]


@pytest.mark.asyncio
@pytest.mark.parametrize(("act", "kind"), [pytest.param(a, k, id=name) for name, a, k in ORDER_ANSWERS])
async def test_an_order_is_sent_once_and_its_outcome_is_not_guessed(act, kind):
    async with scripted_http() as server, client(server.url) as http:
        server.script(act)
        server.then = say(200, b'{"id":"twice"}')
        with pytest.raises(VenueError) as caught:
            await order(http)
        assert type(caught.value) is kind
        assert len(server.requests) == 1
        assert server.requests[0].body == b'{"a":1}'


@pytest.mark.asyncio
async def test_reads_are_asked_again_and_orders_after_them_go_through():
    again = [hang_up, say(502, PAGE), say(200, b"")]
    async with scripted_http() as server, client(server.url) as http:
        server.script(*again, say(200, b'{"ok":true}'))
        answer = await http.request("GET", "/markets", effect=False, query={"limit": 5, "q": "a b"})
        assert answer.body == b'{"ok":true}'
        assert [r.path for r in server.requests] == ["/markets?limit=5&q=a+b"] * 4
        assert (http.requests, http.retries) == (4, 3)
        server.script(say(201, b'{"id":"7"}'))
        assert (await http.request("POST", "/orders", effect=True, body=b"{}")).status == 201


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("act", "kind", "asked"),
    [
        pytest.param(say(500, b'{"error":"oops"}'), Unread, READ_ATTEMPTS_MAX, id="500"),
        pytest.param(reset, Unread, READ_ATTEMPTS_MAX, id="reset"),
        pytest.param(drip, Unread, READ_ATTEMPTS_MAX, id="slow body"),
        pytest.param(say(200, b'{"a":'), Unread, READ_ATTEMPTS_MAX, id="broken json"),
        pytest.param(say(404, PAGE), BadAnswer, 1, id="a page is no explicit not-found"),
        pytest.param(say(404, b'{"error":"not found"}'), Refused, 1, id="explicit not-found"),
        pytest.param(say(429, b"{}"), RateLimited, READ_ATTEMPTS_MAX, id="429"),
        pytest.param(say(429, b"{}", "retry-after: 60\r\n"), RateLimited, 1, id="a long ban is told"),
        pytest.param(say(425, b""), Unavailable, READ_ATTEMPTS_MAX, id="425"),
    ],
)
async def test_reads_end_after_a_bounded_number_of_attempts(act, kind, asked):
    # Only what drips is to run out of time: on a busy machine anything else may take a while.
    patience_s = 0.1 if act is drip else 10.0
    async with scripted_http() as server, client(server.url, timeouts=Timeouts(1.0, patience_s)) as http:
        server.then = act
        with pytest.raises(VenueError) as caught:
            await http.request("GET", "/orders/1", effect=False)
        assert type(caught.value) is kind
        # A connection that takes too long is an attempt that no server sees.
        assert len(server.requests) == asked or (act is drip and len(server.requests) < asked)


@pytest.mark.asyncio
async def test_no_connection_means_not_sent():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        bucket = TokenBucket(0.001, 5)
        async with client(f"http://127.0.0.1:{port}", buckets={"default": bucket}) as http:
            with pytest.raises(NotSent):
                await order(http)
            # A request that never left has used nothing up.
            assert bucket.wait_s(5) == 0.0
            with pytest.raises(NotSent):
                await http.request("GET", "/time", effect=False)
    async with client("http://no-such-host.invalid") as http:
        with pytest.raises(NotSent):
            await order(http)


@pytest.mark.asyncio
async def test_a_too_long_answer_is_not_read_to_its_end():
    async with scripted_http() as server, client(server.url, body_bytes_max=1_000) as http:
        server.then = say(200, b'{"a":"' + b"x" * 2_000 + b'"}')
        with pytest.raises(BadAnswer):
            await http.request("GET", "/markets", effect=False)
        assert len(server.requests) == 1
        with pytest.raises(OutcomeUnknown):
            await order(http)


@pytest.mark.asyncio
async def test_reasons_carry_the_venues_words_and_neither_query_nor_headers():
    def read_error(status: int, body: bytes) -> tuple[str, str]:
        return "E7", f"told {status} {len(body)}"

    async with scripted_http() as server, client(server.url, unavailable=frozenset({503})) as http:
        server.script(say(400, b'{"x":"y"}'), say(503, b'{"code":"PAUSED","msg":"cancel\\u0007only"}'))
        with pytest.raises(Refused, match=r"acme: POST /o: 400 told 400 9$") as refused:
            await http.request(
                "POST",
                "/o",
                effect=True,
                query={"q": "s3cret"},
                headers={"authorization": "s3cret"},
                read_error=read_error,
            )
        assert (refused.value.status, refused.value.code) == (400, "E7")
        with pytest.raises(Unavailable, match="POST /o: 503 cancel only") as paused:
            await http.request("POST", "/o", effect=True)
        assert paused.value.code == "PAUSED"
        # The same status as a page is some proxy's.
        server.script(say(503, PAGE))
        with pytest.raises(OutcomeUnknown):
            await order(http)
        server.script(hang)
        with pytest.raises(OutcomeUnknown) as unknown:
            await http.request("POST", "/o", effect=True, query={"q": "s3cret"}, headers={"k": "s3cret"})
        assert "s3cret" not in f"{refused.value!r} {unknown.value!r} {unknown.value}"


@pytest.mark.asyncio
async def test_headers_are_made_anew_for_each_attempt():
    made = iter(range(10))
    async with scripted_http() as server, client(server.url) as http:
        server.script(say(500, b""), say(500, b""), say(200))
        await http.request("GET", "/me", effect=False, headers=lambda: {"x-time": str(next(made))})
        assert [r.headers["x-time"] for r in server.requests] == ["0", "1", "2"]


@pytest.mark.asyncio
async def test_a_kept_answer_is_given_while_it_is_young_and_only_for_the_same_question():
    async with scripted_http() as server, client(server.url) as http:
        server.script(*[say(200, b'{"n":%d}' % n) for n in range(5)])
        ask = [("/a", 60.0, b"0"), ("/a", 60.0, b"0"), ("/b", 60.0, b"1"), ("/a", 0.0, b"2")]
        for path, cache_s, expected in ask:
            answer = await http.request("GET", path, effect=False, cache_s=cache_s)
            assert answer.body == b'{"n":%s}' % expected
        assert (http.cached, len(server.requests)) == (1, 3)


@pytest.mark.asyncio
async def test_limits_hold_reads_wait_and_orders_do_not_wait_long(monkeypatch):
    monkeypatch.setattr(transport, "EFFECT_WAIT_S_MAX", 0.05)
    bucket = TokenBucket(10, 1)
    async with scripted_http() as server, client(server.url, buckets={"default": bucket}) as http:
        server.then = say(200)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for _ in range(3):
            await http.request("GET", "/a", effect=False)
        assert loop.time() - begun >= 0.19
        # However slow this machine is: the next token is far away.
        bucket.pause_for(10.0)
        with pytest.raises(RateLimited, match="our own limit"):
            await order(http)
        assert len(server.requests) == 3


@pytest.mark.asyncio
async def test_retry_after_pauses_everybody_who_shares_the_limit():
    bucket = TokenBucket(1_000, 10)
    async with scripted_http() as server, client(server.url, buckets={"default": bucket}) as http:
        server.script(say(429, b"{}", "retry-after: 0.2\r\n"), say(200))
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await http.request("GET", "/a", effect=False)
        assert loop.time() - begun >= 0.2
        assert len(server.requests) == 2
        server.script(say(429, b"{}", "retry-after: 30\r\n"))
        with pytest.raises(RateLimited):
            await order(http)
        assert bucket.wait_s() > 29
