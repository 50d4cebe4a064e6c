"""The execution process by itself, trading for real at the sandbox; the test is risk, monitor and operator."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from nats.aio.msg import Msg

from libs.contract.codec import Unreadable, decode, encode
from libs.keys.signing import APPROVAL_DOMAIN, Signer
from libs.operator.desk import OperatorDesk, opening
from libs.runtime.layout import RunFile
from libs.tape.connection import Link, open_link
from libs.tape.credentials import ADMIN, OPERATOR, REPORT
from libs.tape.publisher import Publisher
from libs.tape.reader import TapeReader
from libs.tape.record import ID_HEADER, KEY_ID_HEADER, SIGNATURE_HEADER
from proto.execution import OrderStatus, OrderUpdate
from proto.feed import MarketStatus, Side
from proto.ids import MessageId, order_id
from proto.message import Message
from proto.monitor import Clock
from proto.operator import ClockOwner, Config, Mode, Session
from proto.risk import Approval, TimeInForce
from proto.units import ONE, SECOND
from sandbox.server import Sandbox
from sandbox.world.markets import MarketKind
from tests.support.paths import ROOT
from tests.support.patient import PatientPublisher
from tools.system.installation import Installation

PATIENCE_S = 150.0
POLL_S = 0.02
CENT = ONE // 100


class LiveExecution:
    """A broker, a sandbox, and the execution process between them."""

    def __init__(
        self, installation: Installation, tape: str, link: Link, operator: Link, sandbox: Sandbox, venue: str
    ) -> None:
        self.installation = installation
        self.sandbox = sandbox
        self.venue = venue
        self.messages: list[Message] = []
        self.report: dict[str, Any] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self._operator = operator
        self._settings: dict[str, Any] = {}
        self.desk = OperatorDesk(operator, installation.operator_signer(), tape)
        self._tape = tape
        self._link = link
        self._publisher = PatientPublisher(link)
        self._clock_publisher = Publisher(link)
        self._signer = Signer.load(APPROVAL_DOMAIN, installation.layout.risk_key)
        self._numbers = 0
        self._tasks: list[asyncio.Task[None]] = []
        market = next(
            m
            for m in sandbox.world.markets(venue)
            if m.status is MarketStatus.OPEN and m.kind is MarketKind.UPDOWN
        )
        self.market = f"{venue}:{market.id}"
        self.instrument = f"{self.market}:{market.outcomes[0].lower()}"
        self.closes_at = market.close_ns

    async def start(self) -> None:
        layout = self.installation.layout
        keys = layout.root / "mounted"
        keys.mkdir()
        self._settings = {self.venue: self._venue_settings(keys)}
        layout.write_run(
            RunFile(broker_url=self.installation.broker_url, tape=self._tape, venues=self._settings)
        )
        await self.desk.start()
        await self._publisher.start()
        await self._clock_publisher.start()
        for message in self._opening():
            await self.desk.send(message)
        await self._link.client.subscribe(f"{REPORT}.execution", cb=self._on_report)
        self._tasks += [asyncio.create_task(self._clock()), asyncio.create_task(self._follow())]

    async def begin_epoch(self) -> None:
        """What a start over a lost tail does: another tape id, and a session that begins halted."""
        layout = self.installation.layout
        self._tape = f"{self._tape}e1"
        layout.write_run(
            RunFile(broker_url=self.installation.broker_url, tape=self._tape, venues=self._settings)
        )
        self.desk = OperatorDesk(self._operator, self.installation.operator_signer(), self._tape)
        await self.desk.start()
        for message in self._opening(halted=True):
            await self.desk.send(message)

    def _opening(self, *, halted: bool = False) -> list[Session | Config]:
        sections: dict[str, dict[str, Any]] = {
            "execution": {"ack_timeout_s": 2, "query_interval_s": 2, "live_venues": [self.venue]},
            "paper": {},
        }
        return opening(
            self._tape,
            mode=Mode.REALTIME,
            clock_owner=ClockOwner.MONITOR,
            started_at_ns=time.time_ns(),
            sections=sections,
            halted=halted,
        )

    def _venue_settings(self, keys: Path) -> dict[str, Any]:
        """The venue's section of the run file; its key as a platform would mount it."""
        credentials = self.sandbox.credentials[self.venue]
        urls = self.sandbox.urls[self.venue]
        if self.venue == "kalshi":
            pem = credentials["private_key_pem"]
            (keys / "kalshi.pem").write_bytes(pem if isinstance(pem, bytes) else pem.encode())
            (keys / "kalshi.id").write_text(credentials["key_id"])
            return {"rest_url": urls["rest"], "websocket_url": urls["websocket"], "series": []}
        key = credentials["private_key"]
        (keys / "polymarket.key").write_text(key.hex() if isinstance(key, bytes) else key)
        return {
            "clob_url": urls["clob"],
            "gamma_url": urls["gamma"],
            "data_url": urls["data"],
            "user_websocket_url": urls["user_websocket"],
            "signature_type": int(credentials["signature_type"]),
            "funder": credentials["funder"],
        }

    async def _on_report(self, message: Msg) -> None:
        self.report = json.loads(message.data)

    async def _clock(self) -> None:
        """The monitor's part: what time it is, four times a second."""
        number = 0
        while True:
            number += 1
            with contextlib.suppress(Exception):
                clock = Clock(at=time.time_ns())
                headers = {ID_HEADER: str(MessageId(self._tape, "monitor-shell", number, 0))}
                await self._clock_publisher.publish(clock.subject(), encode(clock), headers)
            await asyncio.sleep(0.25)

    async def _follow(self) -> None:
        reader = TapeReader(self._link, 0)
        while True:
            for record in await reader.next_batch(0.5):
                with contextlib.suppress(Unreadable):
                    self.messages.append(decode(record.subject, record.payload))

    async def say(self, message: Message, message_id: str, headers: dict[str, str] | None = None) -> int:
        stored = await self._publisher.publish(
            message.subject(), encode(message), {ID_HEADER: message_id, **(headers or {})}
        )
        return stored.seq

    async def approve(
        self, *, price: int, contracts: int = 10, tif: TimeInForce = TimeInForce.GTC, **changes: Any
    ) -> str:
        """Risk approves an order, signed; its id."""
        self._numbers += 1
        order = order_id(self._tape, self._numbers, 0)
        message_id = str(MessageId(self._tape, "risk", self._numbers, 0))
        approval = Approval(
            order=order,
            strategy="momentum",
            market=self.market,
            instrument=self.instrument,
            side=changes.pop("side", Side.BUY),
            price=price,
            quantity=contracts * ONE,
            time_in_force=tif,
            expires_at=time.time_ns() + 20 * SECOND,
            proposal="p",
            **changes,
        )
        payload = encode(approval)
        signature = self._signer.sign(self._tape, approval.subject(), message_id, payload)
        headers = {SIGNATURE_HEADER: signature, KEY_ID_HEADER: self._signer.key_id}
        await self.say(approval, message_id, headers)
        return order

    def run(self, crash_point: str = "") -> subprocess.Popen[bytes]:
        """Start the execution process."""
        layout = self.installation.layout
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "PRESAGE_CRASH_POINT": crash_point,
            "PRESAGE_KEYS_DIR": str(layout.root / "mounted"),
        }
        self.report = {}
        with (layout.logs / "execution.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.execution", "--state", str(layout.root)],
                env=environment,
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        return self.process

    async def trading(self, crash_point: str = "") -> subprocess.Popen[bytes]:
        """Start the process and wait until the venue's gate is open."""
        process = self.run(crash_point)
        await self.until(lambda: self.gate == "open" and self.report.get("gate") == "open")
        return process

    @property
    def gate(self) -> str:
        """What the process says of the venue."""
        return str(self.report.get("venues", {}).get(self.venue, {}).get("gate", "silent"))

    async def ended(self) -> int:
        """Wait for the process; its exit code."""
        process = self.process
        assert process is not None
        await self.until(lambda: process.poll() is not None)
        return process.wait()

    async def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return await self.ended()

    async def until(self, condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
        deadline = monotonic() + patience_s
        while not condition():
            if monotonic() > deadline:
                log = (self.installation.layout.logs / "execution.log").read_text()[-3_000:]
                raise AssertionError(f"expected another state in time, was {self.report}\n{log}")
            await asyncio.sleep(POLL_S)

    def of(self, kind: type[Message]) -> list[Any]:
        return [message for message in self.messages if isinstance(message, kind)]

    def status(self, order: str) -> OrderStatus | None:
        """The newest state of an order on the tape."""
        found = [update for update in self.of(OrderUpdate) if update.order == order]
        return found[-1].status if found else None

    async def comes_to(self, order: str, *statuses: OrderStatus) -> None:
        await self.until(lambda: self.status(order) in statuses)

    def sent(self) -> list[str]:
        """Every order request that reached the venue, by its client's id."""
        return [key for arrival in self.sandbox.arrivals.of(self.venue, "order") for key in arrival.keys]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@asynccontextmanager
async def live_execution(root: Path, venue: str = "kalshi") -> AsyncIterator[LiveExecution]:
    """Everything but the process, which the test starts; gone at the end."""
    installation = Installation(root)
    await installation.start_broker()
    layout = installation.layout
    links = [
        await open_link(installation.broker_url, user, layout.password(user)) for user in (ADMIN, OPERATOR)
    ]
    try:
        tape, _ = await installation.open_tape(links[0])
        async with Sandbox(seed=7, venues=[venue], updates_per_s=5.0, windows_from_start=True) as sandbox:
            found = LiveExecution(installation, tape, links[0], links[1], sandbox, venue)
            try:
                await found.start()
                yield found
            finally:
                await found.close()
    finally:
        for link in links:
            await link.close()
        await installation.stop()
