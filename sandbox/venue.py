"""What every venue of the sandbox is: routes, the words for a refusal, and ready-made accounts."""

import random
from typing import Any

from aiohttp import web

from sandbox.accounts import Accounts
from sandbox.arrivals import Arrival, Arrivals
from sandbox.faults.rules import FaultKind
from sandbox.faults.script import NO_FAULT, FaultAction, Faults
from sandbox.world.world import World

FAULT: web.RequestKey[FaultAction] = web.RequestKey("fault", FaultAction)
ARRIVAL: web.RequestKey[Arrival] = web.RequestKey("arrival", Arrival)
RECEIVED_NS: web.RequestKey[int] = web.RequestKey("received_ns", int)
HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
STATUSES = {FaultKind.RATE_LIMIT: 429, FaultKind.RESTART_WINDOW: 503, FaultKind.POST_ONLY: 503}


class VenueServer:
    """Base of a venue's server. A subclass sets ``venue`` and gives at least ``routes`` and ``urls``.

    ``seed`` makes its keys: the same seed makes the same credentials.
    """

    venue = ""
    client_max_bytes = 1024 * 1024
    """Longest request body. Fifteen signed Polymarket orders are below 20 kB."""

    def __init__(
        self, world: World, accounts: Accounts, faults: Faults, *, arrivals: Arrivals, seed: int
    ) -> None:
        self.world = world
        self.accounts = accounts
        self.faults = faults
        self.arrivals = arrivals
        self.seed = seed
        self.draw = random.Random(f"presage-sandbox/{seed}/server/{self.venue}")

    def routes(self) -> list[web.RouteDef]:
        """Return REST and websocket routes, all on one port; several hosts of a venue become path prefixes."""
        raise NotImplementedError

    def urls(self, base: str) -> dict[str, str]:
        """What clients must be given, by the venue's own words; ``base`` is ``http://127.0.0.1:port``."""
        raise NotImplementedError

    def operation(self, request: web.Request) -> str | None:
        """The request's operation for faults and arrivals; ``None`` for sockets, which ask by themselves."""
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return None
        return "read" if request.method == "GET" else "order"

    def change_event_fees(
        self,
        event: str,  # noqa: ARG002
        fee_type: str | None,  # noqa: ARG002
        multiplier: float | None,  # noqa: ARG002
        in_s: float = 0.0,  # noqa: ARG002
    ) -> bool:
        """Give an event fees of its own; false where there is no such event, or events have none."""
        return False

    def refusal(self, action: FaultAction) -> web.Response:
        """The venue's own body for a ``status``, ``rate_limit``, ``restart_window`` or ``post_only`` fault."""
        status = STATUSES.get(action.kind, action.rule.status if action.rule else 500) if action.kind else 500
        return web.json_response({"error": "the sandbox was told to refuse"}, status=status)

    def credentials(self) -> dict[str, Any]:
        """Return ready-made test accounts with money, fit for JSON: what a user needs to sign in."""
        return {}

    def state(self) -> dict[str, Any]:
        """Return what ``GET /_sandbox/state`` shows beyond accounts and markets."""
        return {}

    def save(self) -> Any:
        """Return what of this venue outlives a restart, beyond world and accounts: fit for JSON."""
        return None

    def resume(self, saved: Any) -> None:
        """Restore what ``save`` returned; world and accounts are restored already.

        Raises:
            msgspec.ValidationError: for what is not of that shape.
        """

    async def start(self) -> None:
        """Begin background work; the world is there, sockets listen afterwards."""

    async def stop(self) -> None:
        """End background work and close sockets."""


def fault_of(request: web.Request) -> FaultAction:
    """The fault this request was given; kinds that only the venue can act out are the handler's work."""
    action: FaultAction = request.get(FAULT, NO_FAULT)
    return action


def arrival_of(request: web.Request) -> Arrival:
    """Return the arrival of this request: a handler appends the ids of its orders to ``keys``."""
    return request[ARRIVAL]


def received_ns(request: web.Request) -> int:
    """When the request arrived by the wall clock: check signed timestamps against this, not against now.

    A request that a fault holds back is handled much later and was signed in time all the same.
    """
    return request[RECEIVED_NS]
