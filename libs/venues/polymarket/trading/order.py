"""Polymarket orders: the struct that is signed, its hash (which is the order's id), and its signature.

CLOB V2 and V3 differ in the domain alone: version and exchange contract. Four kinds of account sign:
an EOA for itself, an EOA for its proxy (1) or Safe (2), and a deposit wallet (3), whose contract checks
an ERC-7739 signature: the order nested in a struct of the wallet's own domain, with what a verifier needs
to unpack it appended. Source: docs/reference/venue-facts.md, Polymarket order signing. Vectors are in tests/unit/libs/venues/polymarket/test_signing.py.
"""

from enum import IntEnum
from functools import lru_cache

from msgspec import Struct

from libs.venues.polymarket.hosts import CHAIN_ID, EXCHANGE_V2, EXCHANGE_V3, NEG_RISK_EXCHANGE_V2
from libs.venues.polymarket.trading.signing import (
    Key,
    address_bytes,
    domain_separator,
    keccak,
    typed_digest,
    word,
)

ZERO_WORD = bytes(32)
BUY = 0
SELL = 1

ORDER_TYPE = (
    "Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,uint256 takerAmount,"
    "uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,bytes32 builder)"
)
_ORDER_TYPE_HASH = keccak(ORDER_TYPE.encode())
_WALLET_TYPE_HASH = keccak(
    (
        "TypedDataSign(Order contents,string name,string version,uint256 chainId,address verifyingContract,"
        "bytes32 salt)" + ORDER_TYPE
    ).encode()
)
_WALLET_NAME_AND_VERSION = keccak(b"DepositWallet") + keccak(b"1")
_TYPE_AND_LENGTH = ORDER_TYPE.encode() + len(ORDER_TYPE).to_bytes(2, "big")
_POSITION_MASK = ((1 << 64) - 1) << 40


class SignatureType(IntEnum):
    """Who signs for the wallet that holds the money."""

    EOA = 0
    POLY_PROXY = 1
    GNOSIS_SAFE = 2
    POLY_1271 = 3


class ExchangeContract(Struct, frozen=True):
    """One exchange contract: what an order's signature is bound to."""

    version: str
    address: str
    chain_id: int
    separator: bytes


@lru_cache(maxsize=64)
def exchange(version: str, address: str, chain_id: int = CHAIN_ID) -> ExchangeContract:
    """An exchange with its domain separator, computed once."""
    separator = domain_separator("Polymarket CTF Exchange", version, chain_id, address_bytes(address))
    return ExchangeContract(version, address, chain_id, separator)


def is_position(token_id: int) -> bool:
    """Whether an id is of a "Poly V2" position; those trade on Exchange V3."""
    return token_id & _POSITION_MASK == 0


def exchange_for(token_id: int, *, neg_risk: bool, chain_id: int = CHAIN_ID) -> ExchangeContract:
    """Where a token trades. ``neg_risk`` must be known: a guess signs for the wrong contract.

    Raises:
        TypeError: when ``neg_risk`` is not a boolean; ``None`` must not pass for "no".
    """
    if neg_risk is not True and neg_risk is not False:
        raise TypeError(f"expected neg_risk to be True or False, was {neg_risk!r}")
    if is_position(token_id):
        return exchange("3", EXCHANGE_V3, chain_id)
    return exchange("2", NEG_RISK_EXCHANGE_V2 if neg_risk else EXCHANGE_V2, chain_id)


class Order(Struct, frozen=True, kw_only=True):
    """What is signed. Amounts in millionths; ``timestamp`` in ms makes equal orders differ.

    A buyer's ``maker_amount`` is money and ``taker_amount`` shares, a seller's the other way round.
    """

    salt: int
    maker: bytes
    signer: bytes
    token_id: int
    maker_amount: int
    taker_amount: int
    side: int
    signature_type: int
    timestamp: int
    metadata: bytes = ZERO_WORD
    builder: bytes = ZERO_WORD


def contents_hash(order: Order) -> bytes:
    """The struct hash of an order."""
    return keccak(
        b"".join(
            (
                _ORDER_TYPE_HASH,
                word(order.salt),
                b"\0" * 12,
                order.maker,
                b"\0" * 12,
                order.signer,
                word(order.token_id),
                word(order.maker_amount),
                word(order.taker_amount),
                word(order.side),
                word(order.signature_type),
                word(order.timestamp),
                order.metadata,
                order.builder,
            )
        )
    )


def order_hash(order: Order, at: ExchangeContract) -> bytes:
    """The EIP-712 digest: the venue's id of the order, known before it is sent."""
    return typed_digest(at.separator, contents_hash(order))


def sign(order: Order, at: ExchangeContract, key: Key) -> tuple[bytes, bytes]:
    """The order's hash and the signature bytes that go with it."""
    contents = contents_hash(order)
    digest = typed_digest(at.separator, contents)
    if order.signature_type != SignatureType.POLY_1271:
        return digest, key.sign(digest)
    nested = typed_digest(at.separator, wallet_struct_hash(contents, order.signer, at.chain_id))
    return digest, key.sign(nested) + at.separator + contents + _TYPE_AND_LENGTH


def wallet_struct_hash(contents: bytes, wallet: bytes, chain_id: int) -> bytes:
    """Hash of the struct a deposit wallet's owner signs: the order's hash inside the wallet's domain."""
    return keccak(
        b"".join(
            (
                _WALLET_TYPE_HASH,
                contents,
                _WALLET_NAME_AND_VERSION,
                word(chain_id),
                b"\0" * 12,
                wallet,
                ZERO_WORD,
            )
        )
    )
