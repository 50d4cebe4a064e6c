"""Its protocol in the sandbox."""

import msgspec
from aiohttp import web

from sandbox.faults.rules import ANYWHERE
from sandbox.sockets import ClientSocket
from sandbox.venue import VenueServer
from sandbox.world.events import PriceMoved, WorldEvent
from sandbox.world.venue_prices import PriceSource
from tests.support.sixth_venue.venue import SIXTH

ACTED_OUT = ANYWHERE


class SixthServer(VenueServer):
    venue = SIXTH

    async def start(self) -> None:
        self.clients: set[ClientSocket] = set()
        self.world.subscribe(self._on)

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/time", self._time), web.get("/ws", self._websocket)]

    def urls(self, base: str) -> dict[str, str]:
        return {"rest": base, "websocket": base.replace("http", "ws", 1) + "/ws"}

    async def _time(self, request: web.Request) -> web.Response:
        return web.json_response({"ns": self.world.now()})

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        client = ClientSocket(self.faults, SIXTH, "market_socket")
        await client.open(request)
        self.clients.add(client)
        try:
            async for _ in client.socket:
                pass
        finally:
            self.clients.discard(client)
            await client.close()
        return client.socket

    def _on(self, event: WorldEvent) -> None:
        if isinstance(event, PriceMoved):
            price = self.world.price.at(PriceSource.COINBASE)
            frame = msgspec.json.encode({"bid": f"{price:.2f}", "ask": f"{price + 1:.2f}"}).decode()
            for client in self.clients:
                client.send(frame)
