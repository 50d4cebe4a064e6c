"""An approved order as the request that places it: rounded, signed, and the same bytes each time.

Salt and timestamp come from the order itself, so a restart that prepares it again gets the same hash,
and the hash is the venue's id: it can be claimed before the request leaves, and asked about ever after.
"""

import hashlib

import msgspec
from msgspec import Struct

from libs.venues.errors import Refused
from libs.venues.gateway import NewOrder, Prepared
from libs.venues.polymarket import POLYMARKET
from libs.venues.polymarket.hosts import CHAIN_ID
from libs.venues.polymarket.limits import TAKER_NOTIONAL_MIN
from libs.venues.polymarket.trading.amounts import AmountError, OrderAmounts, limit_amounts, market_amounts
from libs.venues.polymarket.trading.auth import SigningAccount
from libs.venues.polymarket.trading.order import BUY, SELL, Order, exchange_for, sign
from proto.feed import Side
from proto.risk import TimeInForce
from proto.units import MILLISECOND, ONE, SECOND, show

SALT_BYTES = 6
"""A salt must be exact in every JSON reader, below 2**53: six bytes."""
SECURITY_S = 60
"""The venue ends a GTD order so long before the expiration that the request names."""
GTD_LIFE_S_MIN = 120
"""With the security minute above, the 180 s that the official client demands of an expiration."""

ORDER_TYPES = {
    TimeInForce.GTC: "GTC",
    TimeInForce.GTD: "GTD",
    TimeInForce.IOC: "FAK",
    TimeInForce.FOK: "FOK",
}
"""Our lifetimes in the venue's words."""
_AT_ONCE = (TimeInForce.IOC, TimeInForce.FOK)
_NO_BYTES = "0x" + "00" * 32


class Token(Struct, frozen=True, kw_only=True):
    """What placing an order for one outcome takes. ``tick`` and ``size_min`` in millionths."""

    instrument: str
    market: str
    condition: str
    token: str
    tick: int
    size_min: int
    neg_risk: bool


class _WireOrder(Struct):
    builder: str
    expiration: str
    maker: str
    makerAmount: str  # noqa: N815 - the venue's names
    metadata: str
    salt: int
    side: str
    signature: str
    signatureType: int  # noqa: N815
    signer: str
    takerAmount: str  # noqa: N815
    timestamp: str
    tokenId: str  # noqa: N815


class _WireRequest(Struct, omit_defaults=True):
    order: _WireOrder
    orderType: str  # noqa: N815
    owner: str
    deferExec: bool | None = None  # noqa: N815
    postOnly: bool = False  # noqa: N815


_encode = msgspec.json.Encoder().encode


def prepare_order(
    new: NewOrder, token: Token, account: SigningAccount, owner: str, chain_id: int = CHAIN_ID
) -> Prepared:
    """Build and sign. ``owner`` is the API key's id.

    Raises:
        Refused: ``code`` says what the venue cannot express: unknown_tick, price_off_grid,
            quantity_too_small, notional_too_small, lifetime, post_only.
    """
    at_once = new.time_in_force in _AT_ONCE
    if new.post_only and at_once:
        raise _refused("post_only", "expected GTC or GTD for a post-only order, was one that trades at once")
    amounts = _amounts(new, token, at_once)
    token_id = int(token.token)
    salt = int.from_bytes(hashlib.sha256(new.order.encode()).digest()[:SALT_BYTES], "big")
    buy = new.side is Side.BUY
    order = Order(
        salt=salt,
        maker=account.funder,
        signer=account.order_signer,
        token_id=token_id,
        maker_amount=amounts.maker,
        taker_amount=amounts.taker,
        side=BUY if buy else SELL,
        signature_type=account.signature_type,
        timestamp=new.approved_at // MILLISECOND,
    )
    digest, signature = sign(
        order, exchange_for(token_id, neg_risk=token.neg_risk, chain_id=chain_id), account.key
    )
    wire = _WireOrder(
        builder=_NO_BYTES,
        expiration=str(_expiration(new)),
        maker=account.funder_text,
        makerAmount=str(amounts.maker),
        metadata=_NO_BYTES,
        salt=salt,
        side="BUY" if buy else "SELL",
        signature="0x" + signature.hex(),
        signatureType=int(account.signature_type),
        signer=account.order_signer_text,
        takerAmount=str(amounts.taker),
        timestamp=str(order.timestamp),
        tokenId=token.token,
    )
    request = _WireRequest(wire, ORDER_TYPES[new.time_in_force], owner, False, new.post_only)
    return Prepared(order=new.order, client_order_id="0x" + digest.hex(), body=_encode(request))


def _amounts(new: NewOrder, token: Token, at_once: bool) -> OrderAmounts:
    buy = new.side is Side.BUY
    try:
        if at_once:
            # A buy that trades at once names the money it may spend, never more than was approved.
            amount = new.price * new.quantity // ONE if buy else new.quantity
            amounts = market_amounts(buy=buy, price=new.price, amount=amount, tick=token.tick)
        else:
            amounts = limit_amounts(buy=buy, price=new.price, quantity=new.quantity, tick=token.tick)
    except AmountError as e:
        raise _refused(e.code, str(e)) from e
    shares = amounts.taker if buy else amounts.maker
    if shares < token.size_min and not at_once:
        least = f"expected at least {show(token.size_min)} shares, was {show(shares)}"
        raise _refused("quantity_too_small", least)
    if at_once and buy and amounts.maker < TAKER_NOTIONAL_MIN:
        least = f"expected at least {show(TAKER_NOTIONAL_MIN)} dollars, was {show(amounts.maker)}"
        raise _refused("notional_too_small", least)
    return amounts


def _expiration(new: NewOrder) -> int:
    """Seconds, as the request names it; 0 for an order without end."""
    if new.time_in_force is not TimeInForce.GTD:
        return 0
    life_s = (new.expires_at - new.approved_at) // SECOND
    if life_s < GTD_LIFE_S_MIN:
        raise _refused(
            "lifetime", f"expected a GTD order to live {GTD_LIFE_S_MIN} s or longer, was {life_s} s"
        )
    return new.expires_at // SECOND + SECURITY_S


def _refused(code: str, text: str) -> Refused:
    return Refused(POLYMARKET, text, 0, code)
