"""How an account's orders are placed: the part of ``config/venues/kalshi.yaml`` that trading reads."""

from msgspec import Struct

from libs.venues.kalshi.hosts import REST_URL, WEBSOCKET_URL
from libs.venues.kalshi.params import SelfTrade


class KalshiOptions(Struct, frozen=True, kw_only=True):
    """Options of one gateway.

    ``tier`` sets the request budgets. ``series`` are those whose markets are read at the start and kept
    read. ``group_fill_max_contracts``: with it every order joins one order group, which the venue empties by
    itself once so many contracts fill within 15 seconds. ``cancel_on_pause`` has resting orders canceled
    when the exchange pauses.

    Raises:
        ValueError: for a ``subaccount`` but the main one, 0: its orders could be placed, while money,
            positions, fills and orders would be asked of the whole account.
    """

    rest_url: str = REST_URL
    websocket_url: str = WEBSOCKET_URL
    tier: str = "basic"
    series: tuple[str, ...] = ()
    subaccount: int = 0
    group_fill_max_contracts: int | None = None
    cancel_on_pause: bool = False
    self_trade_prevention: SelfTrade = "taker_at_cross"
    markets_every_s: float = 20.0

    def __post_init__(self) -> None:
        if self.subaccount:
            raise ValueError(
                f"expected subaccount 0 of kalshi, the only one that trades, was {self.subaccount}"
            )
