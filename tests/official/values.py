"""What the clients compute: amounts, signatures, hashes, addresses. Amounts come and go in millionths."""

from collections.abc import Sequence
from decimal import Decimal  # noqa: TID251 - the clients speak it
from typing import Any

from eth_account import Account
from eth_account.messages import encode_typed_data
from polymarket._internal import wallet
from polymarket._internal.actions.orders.limit import _compute_limit_order_amounts
from polymarket._internal.actions.orders.market import _compute_market_order_amounts
from polymarket._internal.actions.orders.typed_data import build_order_signature, build_order_typed_data
from polymarket._internal.actions.orders.types import UnsignedOrder
from polymarket._internal.protocol import is_v2_position_id
from polymarket.environments import PRODUCTION
from py_clob_client_v2.order_builder.builder import ROUNDING_CONFIG, OrderBuilder
from py_clob_client_v2.order_builder.helpers import round_down
from py_clob_client_v2.order_utils import ExchangeOrderBuilderV2, SignatureTypeV2
from py_clob_client_v2.order_utils.model.order_data_v2 import OrderDataV2
from py_clob_client_v2.order_utils.model.side import Side
from py_clob_client_v2.signer import Signer
from py_clob_client_v2.signing import sign_clob_auth_message
from py_clob_client_v2.signing.hmac import build_hmac_signature
from py_clob_client_v2.utilities import generate_orderbook_summary_hash, parse_raw_orderbook_summary

CHAIN_ID = 137
ONE = 1_000_000

# ── polymarket-client ───────────────────────────────────────────────────────────────────────────────


def _decimal(millionths: int) -> Decimal:
    return Decimal(millionths) / ONE


def limit_amounts(*, side: str, price: int, size: int, tick: int) -> Sequence[int]:
    """Maker's and taker's amount of a limit order."""
    return _compute_limit_order_amounts(
        price=_decimal(price), size=_decimal(size), side=side, tick_size=_decimal(tick)
    )


def market_amounts(*, side: str, price: int, amount: int, tick: int) -> Sequence[int]:
    """Maker's and taker's amount of a market order."""
    return _compute_market_order_amounts(
        amount=_decimal(amount), price=_decimal(price), side=side, tick_size=_decimal(tick)
    )


def unified_signature(order: dict[str, Any], private_key: str, version: str, exchange: str) -> str:
    """Sign an order, given in the words of the typed data."""
    official = UnsignedOrder(
        builder=order["builder"],
        chain_id=CHAIN_ID,
        exchange_address=exchange,
        expiration=0,
        maker=order["maker"],
        maker_amount=order["makerAmount"],
        metadata=order["metadata"],
        order_type="GTC",
        salt=order["salt"],
        side="SELL" if order["side"] else "BUY",
        signature_type=order["signatureType"],
        signer=order["signer"],
        taker_amount=order["takerAmount"],
        timestamp=order["timestamp"],
        token_id=str(order["tokenId"]),
        protocol_version=version,
    )
    message = encode_typed_data(full_message=build_order_typed_data(official))
    raw = Account.sign_message(message, private_key=private_key).signature
    return build_order_signature(official, "0x" + raw.hex())


def is_position(token: int) -> bool:
    """Whether an id is that of a position on the third exchange."""
    return is_v2_position_id(str(token))


def wallets(owner: str) -> list[list[str]]:
    """Addresses of the wallets of an owner, by type of signature."""
    config = PRODUCTION._config.wallet_derivation
    return [
        [owner],
        [wallet.derive_proxy_wallet_address(owner, config)],
        [wallet.derive_safe_wallet_address(owner, config)],
        [
            wallet.derive_beacon_deposit_wallet_address(owner, config),
            wallet.derive_uups_deposit_wallet_address(owner, config),
        ],
    ]


# ── py-clob-client-v2 ───────────────────────────────────────────────────────────────────────────────


def rounded_price(price: int, tick: str) -> float:
    """Round a price down, in floats, to what a tick allows."""
    return round_down(price / ONE, ROUNDING_CONFIG[tick].price)


def float_amounts(*, market: bool, side: str, price: int, amount: int, tick: str) -> list[int]:
    """Maker's and taker's amount, by way of floats."""
    builder = OrderBuilder(None)
    call = builder.get_market_order_amounts if market else builder.get_order_amounts
    _, maker, taker = call(side, amount / ONE, price / ONE, ROUNDING_CONFIG[tick])
    return [maker, taker]


def order_signature(order: dict[str, Any], private_key: str, version: str, exchange: str) -> list[str]:
    """Hash and signature of an order, given in the words of the typed data."""
    builder = ExchangeOrderBuilderV2(
        exchange,
        CHAIN_ID,
        Signer(private_key, CHAIN_ID),
        generate_salt=lambda: order["salt"],
        domain_version=version,
    )
    data = OrderDataV2(
        maker=order["maker"],
        tokenId=str(order["tokenId"]),
        makerAmount=str(order["makerAmount"]),
        takerAmount=str(order["takerAmount"]),
        side=Side(order["side"]),
        signer=order["signer"],
        signatureType=SignatureTypeV2(order["signatureType"]),
        timestamp=str(order["timestamp"]),
        metadata=order["metadata"],
        builder=order["builder"],
    )
    typed = builder.build_order_typed_data(builder.build_order(data))
    return [builder.build_order_hash(typed), builder.build_order_signature(typed)]


def key_request_signature(private_key: str, timestamp: int, nonce: int) -> str:
    """Sign the request for an API key."""
    return sign_clob_auth_message(Signer(private_key, CHAIN_ID), timestamp, nonce)


def request_signature(secret: str, timestamp: int, method: str, path: str, body: str) -> str:
    """Sign a request with an API key."""
    return build_hmac_signature(secret, str(timestamp), method, path, body or None)


def book_hash(body: dict[str, Any]) -> str:
    """Hash an order book as the venue answers it."""
    return generate_orderbook_summary_hash(parse_raw_orderbook_summary(body))
