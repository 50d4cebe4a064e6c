"""Telegram's wire, at a server on loopback; and apprise, in its own process."""

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from libs.runtime.layout import StateLayout
from services.monitor.notify import apprise_process, senders
from services.monitor.notify.channel import TEXT_CHARACTERS_MAX, Outcome
from services.monitor.notify.params import ChannelParams
from services.monitor.notify.senders import SecretMissing, read_secret, secrets_folder, sender_of
from services.monitor.notify.telegram import Telegram, TelegramError
from tests.support.telegram import TOKEN, TelegramServer

CHANNEL = ChannelParams(name="phone", kind="telegram", file="phone", chat=-100_5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "phone").write_text(f"{TOKEN}\n")
    return tmp_path


@pytest.mark.asyncio
async def test_a_text_arrives_as_it_is(folder):
    async with TelegramServer() as server:
        text = "over: <b>silent_feed</b> _x_ & more " + "ü" * (TEXT_CHARACTERS_MAX - 40)
        assert (await sender_of(CHANNEL, folder, server.url)(text)).delivered
    assert server.sent == [(-100_5, text)]


@pytest.mark.asyncio
async def test_too_many_is_heard_with_how_long(folder):
    async with TelegramServer() as server:
        server.will_answer(
            "sendMessage",
            429,
            description="Too Many Requests: retry after 31",
            parameters={"retry_after": 31},
        )
        outcome = await sender_of(CHANNEL, folder, server.url)("text")
    assert (outcome.delivered, outcome.retry_after_s, outcome.refused) == (False, 31.0, False)


@pytest.mark.asyncio
async def test_a_bad_text_is_refused_and_a_wrong_token_tried_again(folder):
    async with TelegramServer() as server:
        send = sender_of(CHANNEL, folder, server.url)
        assert (await send("")).refused
        (folder / "phone").write_text("1:wrong")
        outcome = await send("text")
    assert (outcome.refused, outcome.reason) == (False, "404: Not Found")


@pytest.mark.parametrize(
    "body", ["<html>", "[]", "null", "1", '{"ok": false, "parameters": {"retry_after": "soon"}}']
)
@pytest.mark.asyncio
async def test_an_answer_that_is_none_is_a_failure(body):
    bot = Telegram("http://127.0.0.1:1", TOKEN)
    bot._client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(429, text=body)))
    async with bot:
        with pytest.raises(TelegramError, match=r"^429: no reason given$") as raised:
            await bot.call("sendMessage")
    assert raised.value.retry_after_s == 0.0


@pytest.mark.asyncio
async def test_no_word_about_a_failure_has_the_token(folder, caplog):
    caplog.set_level("DEBUG")
    outcome = await sender_of(CHANNEL, folder, "http://127.0.0.1:1")("text")
    assert not outcome.delivered
    assert TOKEN not in outcome.reason + repr(outcome)
    (folder / "phone").write_text("1:a b\x01c")
    outcome = await sender_of(CHANNEL, folder, "http://127.0.0.1:1")("text")
    assert not outcome.delivered
    assert "a b" not in outcome.reason


@pytest.mark.asyncio
async def test_a_service_that_hangs_is_given_up(folder, monkeypatch):
    async def hang(*_: object) -> Outcome:
        await asyncio.Event().wait()
        return Outcome(True)

    monkeypatch.setattr(senders, "SEND_S", 0.01)
    monkeypatch.setattr(Telegram, "write", hang)
    outcome = await sender_of(CHANNEL, folder, "http://127.0.0.1:1")("text")
    assert (outcome.delivered, outcome.reason) == (False, "no answer in 0 s")


def test_secrets_are_files_that_are_named_and_never_shown(folder):
    assert read_secret(folder, CHANNEL) == TOKEN
    with pytest.raises(
        SecretMissing, match=r"expected the secret of phone in .*/gone, was FileNotFoundError"
    ):
        read_secret(folder, CHANNEL.model_copy(update={"file": "gone"}))
    (folder / "phone").write_text(" \n")
    with pytest.raises(SecretMissing, match="was empty"):
        read_secret(folder, CHANNEL)


def test_the_folder_is_the_states_own_or_a_mounted_one(tmp_path, monkeypatch):
    layout = StateLayout(tmp_path)
    assert secrets_folder(layout) == tmp_path.resolve() / "keys" / "notify"
    monkeypatch.setenv("PRESAGE_KEYS_DIR", str(tmp_path / "mounted"))
    assert secrets_folder(layout) == tmp_path / "mounted" / "notify"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.asyncio
async def test_apprise_sends_what_it_is_given():
    pytest.importorskip("apprise")
    got: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        got.append(await reader.readexactly(length))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    # Its own patience, 4 s, may be too short for a busy machine.
    url = f"json://user:secret@127.0.0.1:{port}/x?rto=100&cto=100"
    async with server:
        answer = await asyncio.to_thread(apprise_process.send, {"url": url, "text": "the text"})
    assert answer == {"delivered": True, "reason": ""}
    assert b"the text" in got[0]


STAND_IN = """
class NotifyFormat:
    TEXT = "text"
class Apprise(list):
    def add(self, url):
        self.append(url)
        return True
    def notify(self, body, **fields):
        return self[0] == "json://secret" and body == "the text"
"""


@pytest.mark.asyncio
async def test_apprise_has_a_process_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "apprise.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "hook").write_text("json://secret\n")
    send = sender_of(ChannelParams(name="hook", kind="apprise", file="hook"), tmp_path, "")
    assert await send("the text") == Outcome(True)


class Played:
    """What is used of apprise, with results that are neither True nor False, as its own are."""

    class NotifyFormat:
        TEXT = "text"

    class Result:
        status = SimpleNamespace(name="FAILURE")

        def __bool__(self) -> bool:
            return False

    def __init__(self) -> None:
        self.urls: list[str] = []

    def __len__(self) -> int:
        return len(self.urls)

    def add(self, url: str) -> bool:
        self.urls += [url] * url.startswith("json")
        return url.startswith("json")

    def notify(self, **fields: object) -> "Played.Result":
        return Played.Result()


def test_what_apprise_does_not_deliver_is_told_without_an_address(monkeypatch):
    module = SimpleNamespace(Apprise=Played, NotifyFormat=Played.NotifyFormat)
    monkeypatch.setitem(sys.modules, "apprise", module)
    failed = apprise_process.send({"url": "json://user:secret@host", "text": "x"})
    assert failed == {"delivered": False, "reason": "apprise: failure"}
    for urls in ("json://host nonsense://secret", ""):
        refused = apprise_process.send({"url": urls, "text": "x"})
        assert not refused["delivered"]
        assert "secret" not in refused["reason"]
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert "extra notify" in apprise_process.send({"url": "", "text": "x"})["reason"]
