"""The request of an order: it leaves once, and ends in the venue's report or in what its failure proves."""

import asyncio
import logging
from collections.abc import Callable

from libs.bounded import clip
from libs.venues.errors import NotSent, RateLimited, Refused, Unavailable, VenueError
from libs.venues.gateway import OrderReport, Prepared, RepeatsRefused, VenueGateway
from proto.venue import Ack, AckStatus
from services.execution.desk.venue_gate import VenueGate

SUBMIT_PATIENCE_S = 20.0
"""Longer than any gateway's own timeouts; an answer that takes so long is treated as none."""

log = logging.getLogger("presage.desk")


async def submit_order(
    gateway: VenueGateway, prepared: Prepared, gate: VenueGate, may_send: Callable[[], bool]
) -> OrderReport | Ack:
    """Submit an order. Return the venue's report; else an ``Ack``: it was refused, or its outcome is unknown.

    ``may_send``: asked before an order leaves late, or once more after a refusal.
    """
    order = prepared.order
    try:
        async with asyncio.timeout(SUBMIT_PATIENCE_S):
            if isinstance(gateway, RepeatsRefused):
                return await gateway.submit_while(prepared, may_send)
            return await gateway.submit(prepared)
    except (RateLimited, Unavailable) as e:
        gate.pause(e.retry_after_s)
        return rejected(order, str(e))
    except Refused as e:
        return rejected(order, f"{e.code or e.status}: {e}")
    except NotSent as e:
        return rejected(order, f"not sent: {e}")
    except (VenueError, TimeoutError) as e:
        return _unknown(order, str(e) or "no answer in time")
    except Exception:
        log.exception("submit failed", extra={"venue": gateway.venue, "order": order})
        return _unknown(order, "the gateway failed")


def rejected(order: str, reason: str) -> Ack:
    """Make the fact that an order is not at the venue and will not be; it needs proof."""
    return Ack(order=order, status=AckStatus.REJECTED, reason=clip(reason, 500))


def _unknown(order: str, reason: str) -> Ack:
    return Ack(order=order, status=AckStatus.UNKNOWN, reason=clip(reason, 500))
