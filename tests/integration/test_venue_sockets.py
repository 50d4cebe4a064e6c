"""VenueSocket against real websocket servers: silence, losses, planned changes, refusals."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import pytest
import pytest_asyncio
from websockets.asyncio.server import ServerConnection, serve

from libs.venues.errors import NotSent
from libs.venues.transport.rate_limit import TokenBucket
from libs.venues.transport.websocket import Connected, Disconnected, Received, SocketEvent, VenueSocket
from tests.support.steady_clock import steady_clock

Handler = Callable[[ServerConnection], Awaitable[None]]
QUICK = (0.01, 0.02)


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    async with serve(handler, "127.0.0.1", 0, ping_interval=None) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def collect(socket: VenueSocket, enough: Callable[[list[SocketEvent]], bool]) -> list[SocketEvent]:
    events: list[SocketEvent] = []
    async with asyncio.timeout(60), aclosing(socket.frames()) as frames:
        async for event in frames:
            events.append(event)
            if enough(events):
                break
    return events


@pytest_asyncio.fixture
async def steady(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Nobody is silent because the machine is busy: it keeps both ends of a connection waiting alike."""
    async with steady_clock() as clock:
        monkeypatch.setattr("libs.venues.transport.websocket.time", clock)
        yield


def data(events: list[SocketEvent]) -> list[bytes]:
    return [event.data for event in events if isinstance(event, Received)]


def of(kind: type, events: list[SocketEvent]) -> list:
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.asyncio
async def test_subscriptions_and_headers_go_out_anew_on_each_connection():
    seen: list[tuple[str, list[object]]] = []

    async def handler(connection: ServerConnection) -> None:
        frames = [await connection.recv(), await connection.recv()]
        seen.append((connection.request.headers["x-time"], frames))
        await connection.send("hello")
        await connection.send(b"bytes")
        await connection.close(4_000, "bye")

    times = iter("abc")
    async with serving(handler) as url:
        socket = VenueSocket(
            "acme",
            url,
            silence_s=5,
            headers=lambda: {"x-time": next(times)},
            subscribe=lambda: [b'{"sub":1}', '{"sub":2}'],
            pause_s=QUICK,
        )
        events = await collect(socket, lambda e: len(of(Disconnected, e)) == 2)
    # Both are text frames, as every venue's JSON is.
    assert seen == [("a", ['{"sub":1}', '{"sub":2}']), ("b", ['{"sub":1}', '{"sub":2}'])]
    kinds = [type(event) for event in events]
    assert kinds == [Connected, Received, Received, Disconnected] * 2
    assert data(events) == [b"hello", b"bytes"] * 2
    assert of(Disconnected, events)[0].reason == "closed with 4000 bye"
    assert socket.connections == 2


@pytest.mark.asyncio
@pytest.mark.usefixtures("steady")
async def test_an_open_socket_that_brings_only_pongs_is_given_up():
    connections = 0

    async def handler(connection: ServerConnection) -> None:
        nonlocal connections
        connections += 1
        await connection.send("first")
        async for message in connection:
            assert message == "PING"
            await connection.send("PONG")

    async with serving(handler) as url:
        socket = VenueSocket("acme", url, silence_s=0.4, keepalive=("PING", 0.05), pause_s=QUICK)
        events = await collect(socket, lambda e: len(of(Connected, e)) == 2)
    assert connections == 2
    assert of(Disconnected, events)[0].reason == "open but silent for 0.4 s"
    assert data(events).count(b"PONG") >= 3


@pytest.mark.asyncio
@pytest.mark.usefixtures("steady")
async def test_only_frames_that_prove_the_flow_keep_it_open():
    async def handler(connection: ServerConnection) -> None:
        while True:
            await connection.send("status")
            await asyncio.sleep(0.02)

    async with serving(handler) as url:
        socket = VenueSocket("acme", url, silence_s=0.3, proves=lambda d: d == b"book", pause_s=QUICK)
        events = await collect(socket, lambda e: bool(of(Disconnected, e)))
    assert events[-1].reason == "open but silent for 0.3 s"
    assert len(data(events)) > 3


@pytest.mark.asyncio
@pytest.mark.usefixtures("steady")
async def test_data_keeps_it_open_beyond_the_silence():
    async def handler(connection: ServerConnection) -> None:
        for number in range(12):
            await connection.send(str(number))
            await asyncio.sleep(0.05)
        await connection.close()

    async with serving(handler) as url:
        socket = VenueSocket("acme", url, silence_s=0.3, pause_s=QUICK)
        events = await collect(socket, lambda e: bool(of(Disconnected, e)))
    assert len(data(events)) == 12
    assert events[-1].reason == "closed with 1000"


@pytest.mark.asyncio
@pytest.mark.usefixtures("steady")
async def test_a_planned_change_does_not_wait():
    async def handler(connection: ServerConnection) -> None:
        await connection.send("x")
        await connection.wait_closed()

    async with serving(handler) as url:
        # A pause of a minute would run into the test's own time limit.
        socket = VenueSocket("acme", url, silence_s=9, max_age_s=0.1, pause_s=(60, 60))
        events = await collect(socket, lambda e: len(of(Connected, e)) == 3)
    assert [e.reason for e in of(Disconnected, events)] == ["planned after 0.1 s"] * 2


@pytest.mark.asyncio
@pytest.mark.usefixtures("steady")
async def test_with_overlap_nothing_is_missed_in_a_planned_change():
    number = 0
    listeners: set[ServerConnection] = set()
    most = 0

    async def handler(connection: ServerConnection) -> None:
        nonlocal most
        listeners.add(connection)
        most = max(most, len(listeners))
        await connection.wait_closed()
        listeners.discard(connection)

    async def publish() -> None:
        nonlocal number
        while True:
            number += 1
            await asyncio.gather(*(c.send(str(number)) for c in list(listeners)), return_exceptions=True)
            await asyncio.sleep(0.002)

    async with serving(handler) as url:
        publishing = asyncio.create_task(publish())
        socket = VenueSocket("acme", url, silence_s=9, max_age_s=0.15, overlap=True)
        events = await collect(socket, lambda e: len(of(Connected, e)) == 4)
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
    assert not of(Disconnected, events)
    assert [e.overlapped for e in of(Connected, events)] == [False, True, True, True]
    numbers = [int(d) for d in data(events)]
    # Some come twice, from both connections: the normaliser tells them by their ids.
    assert sorted(set(numbers)) == list(range(numbers[0], max(numbers) + 1))
    assert most == 2


@pytest.mark.asyncio
async def test_a_successor_that_brings_nothing_does_not_take_over(monkeypatch):
    monkeypatch.setattr("libs.venues.transport.websocket.TAKE_OVER_S_MAX", 0.1)
    connections = 0

    async def handler(connection: ServerConnection) -> None:
        nonlocal connections
        connections += 1
        if connections != 2:
            await connection.send("x")
        await connection.wait_closed()

    async with serving(handler) as url:
        socket = VenueSocket("acme", url, silence_s=9, max_age_s=0.1, overlap=True)
        events = await collect(socket, lambda e: len(of(Connected, e)) == 2)
    assert [type(e) for e in events] == [Connected, Received, Disconnected, Connected]
    assert not events[-1].overlapped
    assert connections == 3


@pytest.mark.asyncio
async def test_pauses_grow_while_a_venue_refuses(monkeypatch):
    pauses: list[float] = []
    rest_s = VenueSocket._rest_s

    def record(socket: VenueSocket, failures: int) -> float:
        pauses.append(rest_s(socket, failures))
        return 0.0

    async def refuse(connection: ServerConnection) -> None:
        raise AssertionError("never reached")

    async with serve(refuse, "127.0.0.1", 0, process_request=lambda c, r: c.respond(401, "no key")) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        monkeypatch.setattr(VenueSocket, "_rest_s", record)
        socket = VenueSocket("acme", url, silence_s=1, pause_s=(1, 16))
        events = await collect(socket, lambda e: len(e) == 8)
    assert {e.reason for e in events} == {"expected a websocket, was status 401"}
    upper = [1, 2, 4, 8, 16, 16, 16]
    assert len(pauses) == len(upper)
    assert all(most / 2 <= pause <= most for pause, most in zip(pauses, upper, strict=True))


@pytest.mark.asyncio
async def test_a_too_long_frame_ends_the_connection_and_the_next_goes_on():
    connections = 0

    async def handler(connection: ServerConnection) -> None:
        nonlocal connections
        connections += 1
        await connection.send("x" * (2_000 if connections == 1 else 10))
        await connection.wait_closed()

    async with serving(handler) as url:
        socket = VenueSocket("acme", url, silence_s=5, frame_bytes_max=1_000, pause_s=QUICK)
        events = await collect(socket, lambda e: bool(data(e)))
    assert [type(e) for e in events] == [Connected, Disconnected, Connected, Received]
    assert "1009" in events[1].reason


@pytest.mark.asyncio
async def test_commands_go_to_the_open_socket_at_the_allowed_pace():
    got: list[object] = []
    taken: list[float] = []

    async def handler(connection: ServerConnection) -> None:
        await connection.send("ready")
        async for message in connection:
            got.append(message)
            taken.append(asyncio.get_running_loop().time())
            await connection.send("ok")

    async with serving(handler) as url:
        socket = VenueSocket("acme", url, silence_s=5, outgoing=TokenBucket(10, 1), pause_s=QUICK)
        with pytest.raises(NotSent):
            await socket.send(b"early")
        async with asyncio.timeout(60), aclosing(socket.frames()) as frames:
            async for event in frames:
                if isinstance(event, Received) and event.data == b"ready":
                    assert socket.connected
                    for number in range(3):
                        await socket.send(b"%d" % number)
                if len(got) == 3:
                    break
        assert not socket.connected
    assert got == ["0", "1", "2"]
    assert taken[2] - taken[0] >= 0.15


@pytest.mark.asyncio
async def test_pings_of_the_venue_are_answered():
    answered = asyncio.Event()

    async def handler(connection: ServerConnection) -> None:
        await (await connection.ping(b"1234"))
        answered.set()
        await connection.send("x")
        await connection.wait_closed()

    async with serving(handler) as url:
        await collect(VenueSocket("acme", url, silence_s=5), lambda e: bool(data(e)))
    assert answered.is_set()


def test_an_address_that_is_none_is_refused():
    with pytest.raises(ValueError, match="starts with ws"):
        VenueSocket("acme", "https://example.invalid", silence_s=1)
