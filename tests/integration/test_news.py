"""The process that reads news: real feeds over HTTP, each item once, and a feed that fails costs the others nothing."""

import asyncio
import re

import pytest
from aiohttp import web

from services.feed.news.process import NewsProcess
from tests.support.waiting import until
from tests.unit.services.feed.test_news import ATOM, RSS

UNDATED = re.sub(rb"<pubDate>.*?</pubDate>", b"", RSS)
pytestmark = pytest.mark.asyncio


async def test_each_item_comes_once_and_a_broken_feed_is_counted(monkeypatch):
    asked: list[str] = []

    async def serve(request: web.Request) -> web.Response:
        asked.append(request.headers.get("If-None-Match", ""))
        name = request.match_info["name"]
        if name == "huge":
            return web.Response(body=b"x" * (3 << 20))
        if name == "broken":
            return web.Response(status=500)
        if request.headers.get("If-None-Match") == '"1"':
            return web.Response(status=304)
        # Without a date an item is as old as its arrival.
        return web.Response(body=UNDATED if name == "rss" else ATOM, headers={"ETag": '"1"'})

    app = web.Application()
    app.router.add_get("/{name}", serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    feeds = [{"name": name, "url": f"{base}/{name}"} for name in ("broken", "huge", "rss", "atom")]
    news = NewsProcess({"feeds": feeds, "poll_s": 5, "age_max_hours": 1})
    reading = asyncio.create_task(news.run())
    try:
        await until(lambda: news.errors >= 2 and asked.count('"1"') >= 2)
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await runner.cleanup()
    assert "broken" in news.last_error or "huge" in news.last_error
    # Atom's item is months old; the other came once, though it was read twice.
    (item,) = news.take()
    assert (item.source, item.title, item.published_at) == ("rss", "Rates & rain", 0)
    assert not news.take()


async def test_without_feeds_no_process_is_started():
    news = NewsProcess({})
    await asyncio.wait_for(news.run(), 120)
    assert news.health() == {"news": {"items": 0, "errors": 0, "last_error": ""}}
