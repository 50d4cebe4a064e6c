"""Connecting to the broker, with the client's traps closed.

nats-py by default buffers publishes while disconnected, gives up after 60 reconnects, and says nothing
of a denied publish but to ``error_cb``. Here nothing is buffered, it never gives up, and violations are
counted.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from time import monotonic

import nats.errors

from libs.bounded import clip
from libs.tape.client import TapeClient
from libs.tape.errors import BrokerUnavailable

RECONNECT_WAIT_S = 0.1
"""Between attempts: the embedded broker is back within a second, waiting longer only adds to it."""
CONNECT_TIMEOUT_S = 2.0
CONNECT_PATIENCE_S = 30.0
"""How long a starting service waits for a broker that is starting too."""
PING_EVERY_S = 5
CLUSTER_PING_EVERY_S = 1
"""Where there is another node to go to, one that stands still is left after two to three seconds, not ten."""
PINGS_OUTSTANDING_MAX = 2
CLUSTER_CONNECT_TIMEOUT_S = 1.0
"""A node that stands still takes the connection and says nothing; the next one in the list answers."""
SERVERS_MAX = 16
"""Addresses in one list; three or five nodes make a cluster."""
SEPARATOR = ","

log = logging.getLogger("presage.tape")


def servers_of(url: str) -> list[str]:
    """The addresses in ``PRESAGE_NATS_URL``: one, or the nodes of a cluster separated by commas.

    Raises:
        BrokerUnavailable: there is none, or too many.
    """
    servers = [part.strip() for part in url.split(SEPARATOR) if part.strip()]
    if not 0 < len(servers) <= SERVERS_MAX:
        raise BrokerUnavailable(
            f"expected 1 to {SERVERS_MAX} addresses of brokers, was {len(servers)} in {clip(url, 200)!r}"
        )
    return servers


@dataclass
class Link:
    """One service's connection: the client, what it may call itself, and what went wrong on it."""

    service: str
    client: TapeClient = field(default_factory=TapeClient)
    violations: int = 0
    slow_consumers: int = 0
    losses: int = 0
    """How often the connection was lost. What was sent before and not acknowledged may be missing: sending on
    after a reconnect would store later messages without it, and readers never go back."""
    lost_at_s: float | None = None

    @property
    def connected(self) -> bool:
        return bool(self.client.is_connected)

    @property
    def is_cluster(self) -> bool:
        """Whether the broker says that it is a node of a cluster. Known once connected."""
        return bool(self.client.server_info.get("cluster"))

    async def move(self) -> None:
        """Leave the node this is connected to for another one: it answers pings, and can do nothing else."""
        log.warning("leaving a node that does not serve", extra={"service": self.service})
        await self.client.leave_node()

    def away_s(self) -> float:
        """Seconds since the connection was lost; 0 while there is one."""
        if self.connected or self.lost_at_s is None:
            return 0.0
        return monotonic() - self.lost_at_s

    async def _on_error(self, error: Exception) -> None:
        text = str(error)
        if "permissions violation" in text.lower():
            self.violations += 1
            log.error("permission violation", extra={"service": self.service, "detail": clip(text, 200)})
        elif isinstance(error, nats.errors.SlowConsumerError):
            self.slow_consumers += 1

    async def _on_disconnected(self) -> None:
        self.losses += 1
        if self.lost_at_s is None:
            self.lost_at_s = monotonic()

    async def _on_reconnected(self) -> None:
        self.lost_at_s = None

    async def open(self, url: str, user: str, password: str, patience_s: float = CONNECT_PATIENCE_S) -> None:
        """Connect, waiting for a broker that is still starting.

        Raises:
            BrokerUnavailable: when there is none within ``patience_s``.
        """
        failure: Exception | None = None
        try:
            # Told never to give up, the client does not give up its very first attempt either.
            async with asyncio.timeout(patience_s):
                while True:
                    try:
                        await self._connect(url, user, password)
                    except (OSError, nats.errors.Error) as e:
                        failure = e
                        await asyncio.sleep(RECONNECT_WAIT_S)
                    else:
                        return
        except TimeoutError as e:
            await self.client.close()
            was = repr(failure) if failure is not None else "no answer"
            raise BrokerUnavailable(
                f"expected a broker for {self.service} within {patience_s} s, was {was}"
            ) from e

    async def _connect(self, url: str, user: str, password: str) -> None:
        servers = servers_of(url)
        several = len(servers) > 1
        timeout_s = CLUSTER_CONNECT_TIMEOUT_S if several else CONNECT_TIMEOUT_S
        await self.client.connect(
            servers,
            user=user,
            password=password,
            name=self.service,
            inbox_prefix=f"_INBOX_{user}",
            connect_timeout=timeout_s,  # type: ignore[arg-type] # any number works
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_WAIT_S,  # type: ignore[arg-type] # any number works
            pending_size=0,
            ping_interval=CLUSTER_PING_EVERY_S if several else PING_EVERY_S,
            max_outstanding_pings=PINGS_OUTSTANDING_MAX,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_reconnected,
        )

    async def close(self) -> None:
        """Close without waiting for anything in flight."""
        await self.client.close()


async def open_link(
    url: str,
    user: str,
    password: str,
    service: str | None = None,
    *,
    patience_s: float = CONNECT_PATIENCE_S,
) -> Link:
    """Connect as ``user``; see ``Link.open``."""
    link = Link(service or user)
    await link.open(url, user, password, patience_s)
    return link
