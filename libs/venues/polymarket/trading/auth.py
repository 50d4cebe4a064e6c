"""Who we are to Polymarket: L1 signs for an API key, L2 signs each request with that key's secret.

Source: docs/reference/venue-facts.md, Polymarket authentication. No secret appears in a ``repr``, an error or a log line.
"""

import base64
import hashlib
import hmac

from msgspec import Struct

from libs.venues.polymarket.hosts import CHAIN_ID
from libs.venues.polymarket.trading.order import SignatureType
from libs.venues.polymarket.trading.signing import (
    Key,
    address_bytes,
    domain_separator,
    keccak,
    typed_digest,
    word,
)

_STATEMENT = "This message attests that I control the given wallet"
_CLOB_AUTH_TYPE_HASH = keccak(b"ClobAuth(address address,string timestamp,uint256 nonce,string message)")
_STATEMENT_HASH = keccak(_STATEMENT.encode())


class WalletApiKey(Struct, frozen=True, kw_only=True):
    """An API key of one wallet: id, secret and passphrase."""

    api_key: str
    secret: str
    passphrase: str

    def __repr__(self) -> str:
        return "ApiKey(…)"

    def __rich_repr__(self) -> list[str]:  # type: ignore[override]
        return ["…"]


class PolymarketCredentials(Struct, frozen=True, kw_only=True):
    """Everything needed to trade. ``funder`` is the wallet that holds the money, "" for the key's own.

    ``api_key``, ``secret`` and ``passphrase`` may be empty: the client derives them from the key.
    """

    private_key: bytes
    api_key: str = ""
    secret: str = ""
    passphrase: str = ""
    signature_type: int = SignatureType.EOA
    funder: str = ""

    def __repr__(self) -> str:
        return f"PolymarketCredentials(funder={self.funder!r}, signature_type={self.signature_type}, …)"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("funder", self.funder), ("signature_type", self.signature_type)]


class SigningAccount:
    """A signer and the wallet it signs for."""

    __slots__ = ("funder", "funder_text", "key", "order_signer", "order_signer_text", "signature_type")

    def __init__(self, private_key: bytes, signature_type: int = SignatureType.EOA, funder: str = "") -> None:
        self.key = Key(private_key)
        self.signature_type = SignatureType(signature_type)
        if not funder and self.signature_type is not SignatureType.EOA:
            name = self.signature_type.name
            raise ValueError(f"expected the funder's address for signature type {name}, was none")
        self.funder = address_bytes(funder) if funder else self.key.address
        self.funder_text = funder or self.key.address_text
        # A deposit wallet is its own signer: its contract knows who may sign for it.
        wallet_signs = self.signature_type is SignatureType.POLY_1271
        self.order_signer = self.funder if wallet_signs else self.key.address
        self.order_signer_text = self.funder_text if wallet_signs else self.key.address_text

    def __repr__(self) -> str:
        return f"Account({self.funder_text}, {self.signature_type.name})"


def account_of(credentials: PolymarketCredentials) -> SigningAccount:
    """The account that credentials are for."""
    return SigningAccount(credentials.private_key, credentials.signature_type, credentials.funder)


def l1_signature(key: Key, timestamp_s: int, nonce: int = 0, chain_id: int = CHAIN_ID) -> str:
    """Signature of the statement that the key is ours."""
    separator = domain_separator("ClobAuthDomain", "1", chain_id)
    return "0x" + key.sign(typed_digest(separator, _l1_hash(key.address, timestamp_s, nonce))).hex()


def _l1_hash(address: bytes, timestamp_s: int, nonce: int) -> bytes:
    parts = (
        _CLOB_AUTH_TYPE_HASH,
        b"\0" * 12,
        address,
        keccak(str(timestamp_s).encode()),
        word(nonce),
        _STATEMENT_HASH,
    )
    return keccak(b"".join(parts))


def l1_headers(key: Key, timestamp_s: int, nonce: int = 0, chain_id: int = CHAIN_ID) -> dict[str, str]:
    """Headers with which an API key is created or derived."""
    return {
        "POLY_ADDRESS": key.address_text,
        "POLY_SIGNATURE": l1_signature(key, timestamp_s, nonce, chain_id),
        "POLY_TIMESTAMP": str(timestamp_s),
        "POLY_NONCE": str(nonce),
    }


def l2_signature(secret: str, timestamp_s: int, method: str, path: str, body: bytes = b"") -> str:
    """HMAC of a request. ``path`` without its query, ``body`` the exact bytes that are sent.

    Raises:
        ValueError: for a secret that is not base64.
    """
    try:
        raw = base64.urlsafe_b64decode(secret + "=" * (-len(secret) % 4))
    except ValueError:
        raise ValueError("expected a secret in base64, was something else") from None
    message = f"{timestamp_s}{method}{path}".encode() + body
    return base64.urlsafe_b64encode(hmac.new(raw, message, hashlib.sha256).digest()).decode()


def l2_headers(
    address: str, key: WalletApiKey, timestamp_s: int, method: str, path: str, body: bytes = b""
) -> dict[str, str]:
    """Headers of a request that is ours alone."""
    return {
        "POLY_ADDRESS": address,
        "POLY_SIGNATURE": l2_signature(key.secret, timestamp_s, method, path, body),
        "POLY_TIMESTAMP": str(timestamp_s),
        "POLY_API_KEY": key.api_key,
        "POLY_PASSPHRASE": key.passphrase,
    }
