"""The sandbox: one world, a server for each venue on loopback, and the admin endpoints beside them."""

import asyncio
import contextlib
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from libs.venues.catalogue import VENUES
from proto.units import parse
from sandbox.accounts import Accounts
from sandbox.admin import Admin
from sandbox.arrivals import Arrivals
from sandbox.faults.rules import FaultKind, FaultScript, acted_out
from sandbox.faults.script import Faults
from sandbox.http import FaultyHandlers
from sandbox.models.server import ModelServer
from sandbox.models.truth import truth_of
from sandbox.registry import served, server_class
from sandbox.state_file import VERSION, SandboxDocument, StateFile, read
from sandbox.venue import VenueServer
from sandbox.world.events import PriceMoved, WorldEvent
from sandbox.world.venue_markets import market_venues
from sandbox.world.world import UPDATES_PER_S, World

HOST = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - only when a name is given under which others reach it
SHUTDOWN_S = 1.0
"""What open requests get to end by themselves when the sandbox stops."""


class Sandbox:
    """Everything, in one event loop.

    ``venues``: those to serve, every installed one when ``None``. ``host``: the name in its addresses; with another than
    loopback's it listens on every interface, as in a container it must. ``port_base``: admin there, the venues
    on the ports that follow in the registry's order; 0: any free ports. ``ports_reserved``: they are
    held for us (``libs/runtime/ports.py``). With ``live=False``
    time passes by ``await sandbox.world.advance(to_ns)`` alone.
    """

    def __init__(  # noqa: PLR0913 - what a command line and tests choose, all with defaults
        self,
        seed: int = 7,
        venues: Iterable[str] | None = None,
        faults: FaultScript | None = None,
        *,
        time_scale: float = 1.0,
        host: str = HOST,
        port_base: int = 0,
        ports_reserved: bool = False,
        updates_per_s: float = UPDATES_PER_S,
        start_ns: int | None = None,
        live: bool = True,
        state_file: Path | None = None,
        windows_from_start: bool = False,
        lively: bool = False,
        models: bool = False,
    ) -> None:
        """``state_file``: where the sandbox is saved, and from where it resumes if it was saved before.

        ``windows_from_start``, ``lively``: as in ``World``; the first for tests that must not depend on the time
        of day, the second for somebody who has just started it and looks. ``models``: language models that know
        this world are served too (``models.behaviour`` says how well).
        """
        self.seed = seed
        chosen = list(venues) if venues is not None else served()
        classes = {venue: server_class(venue) for venue in chosen}
        self.live = live
        saved = read(state_file, seed, time_scale, chosen) if state_file is not None else None
        self.world = World(
            seed,
            start_ns if start_ns is not None else time.time_ns(),
            time.time_ns if live else None,
            venues=[venue for venue in market_venues() if venue in classes],
            time_scale=time_scale,
            updates_per_s=updates_per_s,
            saved=saved.world if saved is not None else None,
            windows_from_start=windows_from_start,
            lively=lively,
        )
        self.state_file = StateFile(state_file, self._document) if state_file is not None else None
        if self.state_file is not None:
            self.world.subscribe(self.state_file.handle_event)
        self.faults = Faults(seed)
        self.arrivals = Arrivals()
        self.accounts = Accounts(self.world)
        self.servers: dict[str, VenueServer] = {
            venue: make(self.world, self.accounts, self.faults, arrivals=self.arrivals, seed=seed)
            for venue, make in classes.items()
        }
        self.urls: dict[str, dict[str, str]] = {}
        self._host = host
        self.models = ModelServer(truth_of(self.world)) if models else None
        self._port_base = port_base
        self._ports_reserved = ports_reserved
        self._started: list[VenueServer] = []
        self._handlers: list[FaultyHandlers] = []
        self._runners: list[web.AppRunner] = []
        self._task: asyncio.Task[None] | None = None
        self.world.subscribe(self._handle_event)
        if faults is not None:
            self.faults.load(faults)
        if saved is not None:
            self._resume(saved)

    def _resume(self, saved: SandboxDocument) -> None:
        self.accounts.resume(saved.accounts)
        for venue, server in self.servers.items():
            if saved.venues.get(venue) is not None:
                server.resume(saved.venues[venue])

    def _document(self) -> SandboxDocument:
        return SandboxDocument(
            version=VERSION,
            seed=self.seed,
            time_scale=self.world.settings.time_scale,
            names=list(self.servers),
            world=self.world.save(),
            accounts=self.accounts.save(),
            venues={venue: server.save() for venue, server in self.servers.items()},
        )

    @property
    def credentials(self) -> dict[str, dict[str, Any]]:
        """Ready-made test accounts, by venue. Secrets of this sandbox only, and never to be logged."""
        return {venue: server.credentials() for venue, server in self.servers.items()}

    async def start(self) -> None:
        """Listen, and let time pass.

        Raises:
            OSError: when a port is taken.
        """
        try:
            await self.world.catch_up(time.time_ns() if self.live else self.world.at)
            if self.state_file is not None:
                self.state_file.write()
            admin = Admin(self.world, self.accounts, self.servers, self.faults, self.arrivals, self.urls)
            base = await self._listen(admin.application(), 0)
            self.urls["admin"] = {"rest": base}
            for venue, server in self.servers.items():
                handlers = FaultyHandlers(server, self._before_answer)
                self._handlers.append(handlers)
                self._started.append(server)
                await server.start()
                offset = 1 + list(VENUES).index(venue)
                base = await self._listen(handlers.application(), offset)
                self.urls[venue] = server.urls(base)
            if self.models is not None:
                base = await self._listen(self.models.application(), 1 + len(VENUES))
                self.urls["models"] = self.models.urls(base)
        except BaseException:
            await self.stop()
            raise
        if self.live:
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        """Run until cancelled, or until the world or its state file fails."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.world.run())
            if self.state_file is not None:
                tasks.create_task(self.state_file.run())

    def _before_answer(self) -> None:
        if self.state_file is not None:
            self.state_file.write_changed()

    async def stop(self) -> None:
        """Close every connection and end; more than once does no harm."""
        if self.state_file is not None and self._runners:
            self.state_file.write()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        for server in self._started:
            await server.stop()
        for handlers in self._handlers:
            await handlers.close()
        for runner in self._runners:
            await runner.cleanup()
        self._started.clear()
        self._handlers.clear()
        self._runners.clear()

    async def wait(self) -> None:
        """Run until cancelled, or until the world fails."""
        if self._task is not None:
            await self._task

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _listen(self, app: web.Application, offset: int) -> str:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
        self._runners.append(runner)
        await runner.setup()
        port = self._port_base + offset if self._port_base else 0
        interface = HOST if self._host == HOST else EVERYWHERE
        site = web.TCPSite(runner, interface, port, reuse_port=self._ports_reserved or None)
        await site.start()
        return f"http://{self._host}:{runner.addresses[0][1]}"

    def _handle_event(self, event: WorldEvent) -> None:
        """Pick faults of the world itself with every step of the price."""
        if not isinstance(event, PriceMoved):
            return
        for venue in self.servers:
            if FaultKind.TICK_SIZE_CHANGE not in acted_out(venue):
                continue
            action = self.faults.pick(venue, "world", {})
            if action.kind is FaultKind.TICK_SIZE_CHANGE and action.rule is not None:
                self._change_ticks(venue, action.rule.market, parse(action.rule.tick))

    def _change_ticks(self, venue: str, market_id: str, tick: int) -> None:
        """Change one market's tick, or that of every market which takes orders."""
        for market in self.world.markets(venue):
            if market.accepts_orders and market_id in ("", market.id):
                self.world.change_tick(market, tick)
