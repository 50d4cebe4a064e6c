"""Whether an order may go into the book: what it is for, who signed it, and what it asks for.

Source: docs/reference/venue-facts.md, Polymarket orders; Polymarket amounts.
"""

import msgspec
from msgspec import Struct

from proto.feed import MarketStatus
from proto.units import ONE, notional, show
from sandbox.polymarket.amounts import MARKETABLE_MINIMUM, Terms, terms_of
from sandbox.polymarket.contracts import EXCHANGES, exchange_of
from sandbox.polymarket.gamma import MINIMUM_SIZE
from sandbox.polymarket.keys import ClobKey, PolymarketRefusal
from sandbox.polymarket.signatures import (
    SignatureError,
    exchange_domain,
    order_contents,
    recover,
    typed_digest,
    unwrap,
    wallet_digest,
)
from sandbox.polymarket.wire import WireOrder, WireRequest
from sandbox.world.markets import SandboxMarket

BAD_PAYLOAD = "Invalid order payload"
WRONG_OWNER = "the order owner has to be the owner of the API KEY"
WRONG_SIGNER = "the order signer address has to be the address of the API KEY"
BAD_SIGNATURE = "invalid signature"
OLD_VERSION = "order_version_mismatch"
BAD_EXPIRATION = "invalid expiration"
NOT_READY = "the market is not yet ready to process new orders"
CROSSES = "invalid post-only order: order crosses book"
UNFUNDED = "not enough balance / allowance"
FOK_KILLED = "order couldn't be fully filled. FOK orders are fully filled or killed."
FAK_KILLED = (
    "no orders found to match with FAK order. FAK orders are partially filled or killed if no match is found."
)
WALLET_TYPE = 3
"""Signature type of a deposit wallet, which signs by its owner (POLY_1271)."""


class VerifiedOrder(Struct, frozen=True):
    """An order whose signature holds: its id (the EIP-712 digest) and the wallet it pays from."""

    order_id: str
    wallet: str


def read_request(data: bytes) -> WireRequest:
    """Return the body of POST /order."""
    try:
        return msgspec.json.decode(data, type=WireRequest)
    except msgspec.ValidationError as error:
        raise _unreadable(data, error) from None
    except msgspec.DecodeError:
        raise PolymarketRefusal(400, BAD_PAYLOAD) from None


def _unreadable(data: bytes, error: msgspec.ValidationError) -> PolymarketRefusal:
    """Refuse an unreadable body; orders of the first version, with a fee rate, get an error of their own."""
    if "timestamp" in str(error) and b'"feeRateBps"' in data:
        return PolymarketRefusal(400, OLD_VERSION)
    return PolymarketRefusal(400, BAD_PAYLOAD)


def verify_order(
    key: ClobKey, request: WireRequest, wallets: dict[int, tuple[str, ...]], neg_risk: bool
) -> VerifiedOrder:
    """Check that the order is the key's and signed for the exchange that settles it.

    ``wallets`` are those of the key's address by signature type.
    """
    order = request.order
    if request.owner != key.key:
        raise PolymarketRefusal(400, WRONG_OWNER)
    signer = order.signer.lower()
    by_wallet = order.signature_type == WALLET_TYPE
    if signer not in (wallets[WALLET_TYPE] if by_wallet else (key.address,)):
        raise PolymarketRefusal(400, WRONG_SIGNER)
    maker = order.maker.lower()
    if maker not in wallets[order.signature_type] or (by_wallet and maker != signer):
        raise PolymarketRefusal(400, BAD_SIGNATURE)
    try:
        exchange = exchange_of(int(order.token_id), neg_risk)
        domain = exchange_domain(EXCHANGES[exchange], exchange)
        contents = order_contents(order)
        if _signer(order, domain, contents) != key.address:
            raise PolymarketRefusal(400, BAD_SIGNATURE)
    except (SignatureError, ValueError):
        raise PolymarketRefusal(400, BAD_SIGNATURE) from None
    return VerifiedOrder("0x" + typed_digest(domain, contents).hex(), maker)


def digest_of(order: WireOrder, neg_risk: bool) -> str:
    """Return the id of an order; raises ``ValueError`` for one that cannot be hashed."""
    exchange = exchange_of(int(order.token_id), neg_risk)
    digest = typed_digest(exchange_domain(EXCHANGES[exchange], exchange), order_contents(order))
    return "0x" + digest.hex()


def _signer(order: WireOrder, domain: bytes, contents: bytes) -> str:
    signature = bytes.fromhex(order.signature[2:])
    if order.signature_type != WALLET_TYPE:
        return recover(typed_digest(domain, contents), signature)
    inner = unwrap(signature, domain, contents)
    return recover(wallet_digest(domain, contents, order.signer), inner)


def check_market(market: SandboxMarket, token: str) -> None:
    """Whether the market takes orders now."""
    if market.accepts_orders:
        return
    if market.status is MarketStatus.PAUSED:
        raise PolymarketRefusal(400, NOT_READY)
    raise PolymarketRefusal(400, f"the orderbook {token} does not exist")


def check_expiration(request: WireRequest, now_s: float, margin_s: int) -> None:
    """Check the expiration: a time beyond the venue's margin for GTD, none for the others."""
    expiration = int(request.order.expiration)
    if request.order_type == "GTD":
        if expiration <= now_s + margin_s:
            raise PolymarketRefusal(400, BAD_EXPIRATION)
    elif expiration:
        raise PolymarketRefusal(400, BAD_EXPIRATION)


def read_terms(request: WireRequest, order_id: str, market: SandboxMarket) -> Terms:
    """Return price and size, on the market's grid."""
    if request.post_only and request.order_type in ("FOK", "FAK"):
        raise PolymarketRefusal(400, BAD_PAYLOAD)
    return terms_of(request, order_id, market.tick, MINIMUM_SIZE)


def is_marketable(market: SandboxMarket, outcome: int, buy: bool, price: int) -> bool:
    """Whether an order would meet another one now."""
    bid, ask = market.book.best(outcome)
    if buy:
        return ask is not None and price >= ask
    return bid is not None and price <= bid


def check_marketable_size(buy: bool, terms: Terms) -> None:
    """Check that a buy which trades at once is worth a dollar at least."""
    worth = terms.cost or notional(terms.price, terms.size)
    if buy and worth < MARKETABLE_MINIMUM:
        text = f"invalid amount for a marketable BUY order (${show(worth)}), min size: ${show(ONE)}"
        raise PolymarketRefusal(400, text)


def affordable(market: SandboxMarket, outcome: int, money: int, limit: int) -> tuple[int, bool]:
    """Return shares that ``money`` buys up to ``limit``, and whether all of it is spent.

    A buy at market names money: at better prices than its limit it gets more shares than it asked for
    (py-clob-client-v2 issue 89: 5 at 0.99 became 5.051019 at 0.98).
    """
    _, asks = market.book.levels(outcome)
    shares = 0
    for level in asks:
        if level.price > limit or money <= 0:
            break
        wanted = money * ONE // level.price
        taken = min(wanted, level.quantity)
        shares += taken
        money = 0 if taken == wanted else money - notional(level.price, taken)
    return shares, money <= 0
