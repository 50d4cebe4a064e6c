"""Bodies that clients send to the CLOB, and the words of its answers.

Source: docs/reference/venue-facts.md, Polymarket orders.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

ORDERS_MAX = 15
"""Orders in one POST /orders."""
CANCELS_MAX = 1000
"""Ids in one DELETE /orders (the documented limit; clients allow themselves more)."""

Decimal = Annotated[str, Meta(pattern=r"^[0-9]{1,78}$")]
"""An unsigned integer in decimal digits, as amounts and ids are written."""
Address = Annotated[str, Meta(pattern=r"^0x[0-9a-fA-F]{40}$")]
Bytes32 = Annotated[str, Meta(pattern=r"^0x[0-9a-fA-F]{64}$")]


class WireOrder(Struct, frozen=True, rename="camel", kw_only=True):
    """A signed order. Amounts are millionths; ``expiration`` is not part of what is signed."""

    salt: Annotated[int, Meta(ge=0)] | Decimal
    maker: Address
    signer: Address
    token_id: Decimal
    maker_amount: Decimal
    taker_amount: Decimal
    side: Literal["BUY", "SELL"]
    signature_type: Literal[0, 1, 2, 3]
    timestamp: Decimal
    metadata: Bytes32
    builder: Bytes32
    signature: Annotated[str, Meta(pattern=r"^0x[0-9a-fA-F]+$", max_length=2000)]
    expiration: Decimal = "0"


class WireRequest(Struct, frozen=True, rename="camel", kw_only=True):
    """The body of POST /order, and an element of that of POST /orders."""

    order: WireOrder
    owner: str
    order_type: Literal["GTC", "GTD", "FOK", "FAK"]
    defer_exec: bool = False
    post_only: bool = False


class CancelOne(Struct, frozen=True):
    """The body of DELETE /order."""

    orderID: str  # noqa: N815 - the venue's spelling, which no renaming rule of msgspec gives


class CancelMarket(Struct, frozen=True):
    """The body of DELETE /cancel-market-orders; an empty word chooses everything."""

    market: str = ""
    asset_id: str = ""


class HeartbeatBody(Struct, frozen=True):
    """The body of POST /v1/heartbeats; "" the first time."""

    heartbeat_id: str = ""


class TokenQuery(Struct, frozen=True):
    """An element of the bodies of the plural market-data paths."""

    token_id: str
    side: str = ""
