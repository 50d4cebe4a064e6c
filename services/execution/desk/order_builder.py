"""Building orders for a venue, whose markets are read first where the venue needs that."""

import asyncio
import logging

from libs.bounded import keep_newest
from libs.venues.errors import Refused, VenueError
from libs.venues.gateway import LoadsMarkets, NewOrder, Prepared, VenueGateway
from proto.risk import Approval

READ_PATIENCE_S = 3.0
"""For reading a market; an approval is hardly good for longer."""
MARKETS_MAX = 2_000
"""Markets remembered as read; days of rolling windows."""

log = logging.getLogger("presage.desk")


class OrderBuilder:
    """Builds and signs orders; nothing is sent."""

    def __init__(self, gateway: VenueGateway) -> None:
        self._gateway = gateway
        self._markets: dict[str, None] = {}

    def prepare(self, approval: Approval, approved_at: int) -> Prepared:
        """Build and sign. Raises ``Refused`` for what the venue cannot express."""
        return self._gateway.prepare(_new_order(approval, approved_at))

    async def prepare_with_market(self, approval: Approval, approved_at: int) -> Prepared:
        """Build and sign; read the market first when it is not known, or has changed since."""
        market = approval.market
        if not isinstance(self._gateway, LoadsMarkets):
            return self.prepare(approval, approved_at)
        if market in self._markets:
            try:
                return self.prepare(approval, approved_at)
            except Refused:
                del self._markets[market]
        await self._read_market(market)
        return self.prepare(approval, approved_at)

    async def preload_market(self, market: str) -> None:
        """Read a market when it is listed, so that its first order need not wait."""
        try:
            await self._read_market(market)
        except (VenueError, TimeoutError) as e:
            facts = {"venue": self._gateway.venue, "market": market, "detail": str(e)}
            log.info("market not read yet", extra=facts)

    async def _read_market(self, market: str) -> None:
        """Have the gateway read a market, unless it has. Raises what the gateway raises."""
        if market in self._markets or not isinstance(self._gateway, LoadsMarkets):
            return
        async with asyncio.timeout(READ_PATIENCE_S):
            await self._gateway.load_market(market)
        self._markets[market] = None
        keep_newest(self._markets, MARKETS_MAX)


def _new_order(approval: Approval, approved_at: int) -> NewOrder:
    """Make the gateway's order of an approval that the broker stored at ``approved_at``."""
    return NewOrder(
        order=approval.order,
        market=approval.market,
        instrument=approval.instrument,
        side=approval.side,
        price=approval.price,
        quantity=approval.quantity,
        time_in_force=approval.time_in_force,
        expires_at=approval.expires_at,
        approved_at=approved_at,
        post_only=approval.post_only,
        reduce_only=approval.reduce_only,
    )
