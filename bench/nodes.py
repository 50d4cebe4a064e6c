"""Three brokers on this machine as one cluster: to measure and to test what happens when one of them goes."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from libs.tape import launch
from libs.tape.broker import PORT_TAKEN, ask, binary, broker_config, ensure_streams, free_port, write_config
from libs.tape.client import TapeClient
from libs.tape.cluster import cluster_block
from libs.tape.connection import Link, open_link
from libs.tape.credentials import ADMIN, claims_prefix, lease_subject
from libs.tape.errors import BrokerUnavailable
from proto.subjects import ALL_SERVICES

NODES = ("n1", "n2", "n3")
HOST = "127.0.0.1"
NOWHERE = "127.0.0.1:1"
READY_S = 60.0
POLL_S = 0.05
START_ATTEMPTS = 5
STOP_S = 10.0
Via = Callable[[str, str, str], str]
"""From a node to another one by its address (``host:port``): the address by which it goes there."""


def straight(_from: str, _to: str, address: str) -> str:
    """Nodes reach one another without a detour."""
    return address


class BrokerNodes:
    """The nodes below a folder. ``passwords``: of their users. ``via`` leads the routes of a node elsewhere."""

    def __init__(self, root: Path, passwords: Mapping[str, str], via: Via = straight) -> None:
        self.root = root
        self.passwords = dict(passwords)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._via = via
        self._secret = secrets.token_hex(8)
        self._ports: dict[str, int] = {}
        self.route_ports: dict[str, int] = {}
        self.choose_ports()

    def choose_ports(self) -> None:
        """Take ports that are free just now."""
        self._ports = {node: free_port() for node in NODES}
        self.route_ports = {node: free_port() for node in NODES}

    def url_of(self, node: str) -> str:
        """The address of one node for clients."""
        return f"nats://{HOST}:{self._ports[node]}"

    @property
    def url(self) -> str:
        """The addresses of all nodes, as ``PRESAGE_NATS_URL`` has them."""
        return ",".join(self.url_of(node) for node in NODES)

    async def start(self) -> None:
        """Start all nodes, and wait until the streams are there.

        Raises:
            BrokerUnavailable: they do not come up.
        """
        for _ in range(START_ATTEMPTS):
            for node in NODES:
                self.start_node(node)
            try:
                await self.ready()
            except BrokerUnavailable:
                if not any(PORT_TAKEN in self._log(node) for node in NODES):
                    raise
                self.stop()
                self.choose_ports()
            else:
                return
        raise BrokerUnavailable(f"expected three nodes in {START_ATTEMPTS} attempts, was none")

    def _log(self, node: str) -> str:
        return (self.root / node / "nats.log").read_text(errors="replace")[-2_000:]

    def start_node(self, node: str) -> None:
        """Start one node; another one of its name must have ended."""
        folder = self.root / node
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        routes = [self._via(node, to, f"{HOST}:{self.route_ports[to]}") for to in NODES if to != node]
        listen = f"{HOST}:{self.route_ports[node]}"
        block = cluster_block("presage", listen, routes, self._secret)
        # All routes are given: a node that is cut off must not be told a way around.
        block.insert(-1, f'  advertise: "{NOWHERE}"')
        text = broker_config(
            f"{HOST}:{self._ports[node]}", folder / "jetstream", self.passwords, block, name=node
        )
        config = write_config(folder, text)
        launcher = [os.path.abspath(sys.executable), "-I", "-S", launch.__file__, str(os.getpid())]
        with (folder / "nats.log").open("ab") as log:
            self.processes[node] = subprocess.Popen(
                [*launcher, binary(), "-c", str(config)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    async def ready(self) -> None:
        """Make the streams, waiting for the nodes to find one another.

        Raises:
            BrokerUnavailable: a node ended, or they did not within ``READY_S``.
        """
        claims = claims_prefix(self.passwords["execution"])
        leases = [lease_subject(service, self.passwords[service]) for service in ALL_SERVICES]
        deadline_s = monotonic() + READY_S
        while True:
            try:
                await ensure_streams(self.url, self.passwords[ADMIN], claims, leases=leases)
            except BrokerUnavailable:
                ended = [node for node, process in self.processes.items() if process.poll() is not None]
                if ended or monotonic() > deadline_s:
                    raise
                await asyncio.sleep(POLL_S)
            else:
                return

    async def link(self, user: str = ADMIN) -> Link:
        """A connection to any node."""
        return await open_link(self.url, user, self.passwords[user])

    async def leader(self, client: TapeClient, stream: str) -> str:
        """The node that leads a stream; empty while none does."""
        answer = await info(client, stream)
        return str(answer.get("cluster", {}).get("leader", ""))

    async def current(self, client: TapeClient, stream: str) -> bool:
        """Whether a stream has a leader and every replica holds what it holds."""
        cluster = (await info(client, stream)).get("cluster", {})
        replicas = cluster.get("replicas", [])
        alive = [replica for replica in replicas if replica.get("current") and not replica.get("lag")]
        return bool(cluster.get("leader")) and len(alive) == len(NODES) - 1

    async def step_down(self, client: TapeClient, stream: str) -> None:
        """Let another node lead a stream, by plan."""
        await ask(client, f"STREAM.LEADER.STEPDOWN.{stream}")

    def signal(self, node: str, number: signal.Signals) -> None:
        """Send a signal to a node; a killed one is waited for."""
        process = self.processes[node]
        process.send_signal(number)
        if number == signal.SIGKILL:
            process.wait()

    def stop(self) -> None:
        """End all nodes."""
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()


async def info(client: TapeClient, stream: str) -> dict[str, Any]:
    """What the broker says of a stream; empty while it does not."""
    try:
        return await ask(client, f"STREAM.INFO.{stream}")
    except BrokerUnavailable:
        return {}
