"""``python -m services.feed.news``: read feeds and write their new items as JSON lines; started by the feed.

A process of its own: parsing takes time that prices do not wait for, and what a feed may do to its parser stays here.
The section ``news`` comes as one line on stdin. It ends with the process that started it.
"""

import asyncio
import json
import os
import sys
import time
from typing import Any

import httpx

from libs.bounded import clip
from services.feed.news.params import NewsFeed, NewsParams
from services.feed.news.parse import Item, parse_feed

BODY_BYTES_MAX = 2 << 20
TIMEOUT_S = 20.0
SEEN_MAX = 5_000
"""Items of all feeds that are remembered as told."""
PARENT_CHECK_S = 1.0
AGENT = "presage (news for forecasts)"


class Reader:
    """Reads feeds again and again; tells each item once."""

    def __init__(self, params: NewsParams) -> None:
        self._params = params
        self._seen: dict[str, None] = {}
        self._tags: dict[str, str] = {}

    async def run(self) -> None:
        """Read for ever."""
        async with httpx.AsyncClient(
            timeout=TIMEOUT_S, follow_redirects=True, headers={"User-Agent": AGENT}
        ) as client:
            while True:
                for feed in self._params.feeds:
                    await self._read(client, feed)
                await asyncio.sleep(self._params.poll_s)

    async def _read(self, client: httpx.AsyncClient, feed: NewsFeed) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                body = await self._fetch(client, feed)
            items = parse_feed(body) if body else []
        except Exception as e:  # noqa: BLE001 - whatever a feed and its parser do, the others are read
            write({"source": feed.name, "error": clip(f"{type(e).__name__}: {e}", 300)})
            return
        oldest_s = time.time() - self._params.age_max_hours * 3_600
        for item in reversed(items[: self._params.items_max_count]):
            if not item.published_s or item.published_s >= oldest_s:
                self._tell(feed, item)

    async def _fetch(self, client: httpx.AsyncClient, feed: NewsFeed) -> bytes:
        """The feed's bytes; none when it has not changed. Raises for what is no answer or too large."""
        headers = {"If-None-Match": self._tags[feed.name]} if feed.name in self._tags else {}
        async with client.stream("GET", feed.url, headers=headers) as response:
            if response.status_code == httpx.codes.NOT_MODIFIED:
                return b""
            response.raise_for_status()
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > BODY_BYTES_MAX:
                    raise ValueError(f"expected at most {BODY_BYTES_MAX} bytes, was more")
            if tag := response.headers.get("etag"):
                self._tags[feed.name] = tag
            return bytes(body)

    def _tell(self, feed: NewsFeed, item: Item) -> None:
        if item.item in self._seen:
            return
        self._seen[item.item] = None
        while len(self._seen) > SEEN_MAX:
            del self._seen[next(iter(self._seen))]
        write({"source": feed.name, **item._asdict()})


def write(row: dict[str, Any]) -> None:
    """Write a line for the feed."""
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


async def _follow(parent: int) -> None:
    while os.getppid() == parent:
        await asyncio.sleep(PARENT_CHECK_S)


async def main() -> None:
    params = NewsParams.model_validate_json(sys.stdin.readline())
    reading = asyncio.create_task(Reader(params).run())
    following = asyncio.create_task(_follow(os.getppid()))
    await asyncio.wait((reading, following), return_when=asyncio.FIRST_COMPLETED)
    reading.cancel()


if __name__ == "__main__":
    asyncio.run(main())
