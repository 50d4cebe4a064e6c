"""What was signed, and by whom: EIP-712 digests and the addresses recovered from signatures.

Written from the standards (EIP-712, ERC-7739) apart from our client's signing, so that one checks the other.
"""

from coincurve import PublicKey
from Crypto.Hash import keccak as keccak_hash

from libs.bounded import clip
from sandbox.polymarket.contracts import CHAIN_ID, EXCHANGE_NAME
from sandbox.polymarket.wire import WireOrder

SIGNATURE_BYTES = 65
ORDER_TYPE = (
    "Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,"
    "uint256 takerAmount,uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,bytes32 builder)"
)
DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
TYPED_DATA_SIGN = (
    "TypedDataSign(Order contents,string name,string version,uint256 chainId,"
    "address verifyingContract,bytes32 salt)"
)
CLOB_AUTH_TYPE = "ClobAuth(address address,string timestamp,uint256 nonce,string message)"
CLOB_AUTH_MESSAGE = "This message attests that I control the given wallet"
LOW_S_MAX = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""Half the order of the curve: a larger ``s`` is the same signature in another spelling, refused on chain."""


class SignatureError(ValueError):
    """A signature that is malformed, or not over what it should be."""


def keccak(data: bytes) -> bytes:
    """Return the hash of Ethereum (not SHA3-256), 32 bytes."""
    return keccak_hash.new(digest_bits=256, data=data).digest()


def word(value: int) -> bytes:
    """Return an unsigned integer as 32 bytes; raises for one that does not fit."""
    if not 0 <= value < 2**256:
        raise SignatureError(f"expected an unsigned 256-bit integer, was {value}")
    return value.to_bytes(32, "big")


def bytes_of(text: str, length: int) -> bytes:
    """Read ``0x`` and exactly ``length`` bytes of hex."""
    try:
        data = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise SignatureError(f"expected {length} bytes of hex, was {clip(text, 20)!r}") from None
    if not text.startswith("0x") or len(data) != length:
        raise SignatureError(f"expected 0x and {length} bytes of hex, was {clip(text, 20)!r}")
    return data


def address_word(address: str) -> bytes:
    """Return an address as 32 bytes."""
    return bytes(12) + bytes_of(address, 20)


def _domain(version: str, contract: str) -> bytes:
    return keccak(
        keccak(DOMAIN_TYPE.encode())
        + keccak(EXCHANGE_NAME.encode())
        + keccak(version.encode())
        + word(CHAIN_ID)
        + address_word(contract)
    )


_domains: dict[tuple[str, str], bytes] = {}


def exchange_domain(version: str, contract: str) -> bytes:
    """Return the domain separator of an exchange, computed once: the pairs are few and never change."""
    key = (version, contract)
    if key not in _domains:
        _domains[key] = _domain(version, contract)
    return _domains[key]


_ORDER_TYPE_HASH = keccak(ORDER_TYPE.encode())
_TYPED_DATA_SIGN_HASH = keccak((TYPED_DATA_SIGN + ORDER_TYPE).encode())
_WALLET_NAME_HASH = keccak(b"DepositWallet")
_WALLET_VERSION_HASH = keccak(b"1")
_AUTH_DOMAIN = keccak(
    keccak(b"EIP712Domain(string name,string version,uint256 chainId)")
    + keccak(b"ClobAuthDomain")
    + keccak(b"1")
    + word(CHAIN_ID)
)


def order_contents(order: WireOrder) -> bytes:
    """Return the struct hash of an order, without any domain."""
    return keccak(
        _ORDER_TYPE_HASH
        + word(int(order.salt))
        + address_word(order.maker)
        + address_word(order.signer)
        + word(int(order.token_id))
        + word(int(order.maker_amount))
        + word(int(order.taker_amount))
        + word(0 if order.side == "BUY" else 1)
        + word(order.signature_type)
        + word(int(order.timestamp))
        + bytes_of(order.metadata, 32)
        + bytes_of(order.builder, 32)
    )


def typed_digest(domain: bytes, contents: bytes) -> bytes:
    """Return what is signed: EIP-712 over a domain separator and a struct hash."""
    return keccak(b"\x19\x01" + domain + contents)


def wallet_digest(domain: bytes, contents: bytes, wallet: str) -> bytes:
    """Return what the owner of a deposit wallet signs (ERC-7739: the wallet is bound into the message)."""
    bound = keccak(
        _TYPED_DATA_SIGN_HASH
        + contents
        + _WALLET_NAME_HASH
        + _WALLET_VERSION_HASH
        + word(CHAIN_ID)
        + address_word(wallet)
        + bytes(32)
    )
    return typed_digest(domain, bound)


def auth_digest(address: str, timestamp: str, nonce: int) -> bytes:
    """Return the digest of the message by which an address asks for API keys (L1)."""
    contents = keccak(
        keccak(CLOB_AUTH_TYPE.encode())
        + address_word(address)
        + keccak(timestamp.encode())
        + word(nonce)
        + keccak(CLOB_AUTH_MESSAGE.encode())
    )
    return typed_digest(_AUTH_DOMAIN, contents)


def address_of(key: PublicKey) -> str:
    """Return the address of a public key, lower case."""
    return "0x" + keccak(key.format(compressed=False)[1:])[12:].hex()


def recover(digest: bytes, signature: bytes) -> str:
    """Return the address that made a 65-byte signature over ``digest``, lower case."""
    if len(signature) != SIGNATURE_BYTES or signature[64] not in (27, 28):
        raise SignatureError(f"expected 65 bytes ending in 27 or 28, was {len(signature)} bytes")
    if int.from_bytes(signature[32:64], "big") > LOW_S_MAX:
        raise SignatureError("expected the lower of both values of s")
    recoverable = signature[:64] + bytes([signature[64] - 27])
    try:
        return address_of(PublicKey.from_signature_and_message(recoverable, digest, hasher=None))
    except Exception as error:  # coincurve raises bare Exceptions for points not on the curve
        raise SignatureError("expected a point of the curve") from error


def unwrap(signature: bytes, domain: bytes, contents: bytes) -> bytes:
    """Return the inner 65 bytes of an ERC-7739 signature, once its attachments are what they must be.

    Layout: signature ‖ domain separator ‖ contents hash ‖ type string ‖ length of the type string (2 bytes).
    """
    tail = domain + contents + ORDER_TYPE.encode() + len(ORDER_TYPE).to_bytes(2, "big")
    if signature[SIGNATURE_BYTES:] != tail:
        raise SignatureError("expected domain, contents hash and type string of this very order")
    return signature[:SIGNATURE_BYTES]


def checksum(address: str) -> str:
    """Return the mixed-case spelling of an address (EIP-55)."""
    plain = address.lower().removeprefix("0x")
    digits = keccak(plain.encode()).hex()
    return "0x" + "".join(
        letter.upper() if int(digit, 16) > 7 else letter for letter, digit in zip(plain, digits, strict=False)
    )
