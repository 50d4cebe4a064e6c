"""A spot exchange of the sandbox, plain clients of it, and time that passes when asked."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import ClassVar, Self

import aiohttp
import httpx

from proto.units import SECOND
from sandbox.server import Sandbox

START = 1_779_000_000 * SECOND + 30 * SECOND


class SpotSession:
    """Subclass it with the venue's name, and its ways to connect and to collect frames."""

    venue: ClassVar[str]

    async def __aenter__(self):
        self.sandbox = await Sandbox(7, [self.venue], start_ns=START, live=False).__aenter__()
        self.urls = self.sandbox.urls[self.venue]
        self.session = aiohttp.ClientSession()
        self.http = httpx.AsyncClient(base_url=self.urls["rest"])
        return self

    async def __aexit__(self, *_):
        await self.http.aclose()
        await self.session.close()
        await self.sandbox.stop()

    async def pass_by(self, seconds):
        await self.sandbox.world.advance(self.sandbox.world.at + round(seconds * SECOND))

    @classmethod
    def run(cls, test: Callable[[Self], Awaitable[None]]) -> None:
        """Run one test in a session of its own."""

        async def work():
            async with cls() as session:
                await test(session)

        asyncio.run(work())
