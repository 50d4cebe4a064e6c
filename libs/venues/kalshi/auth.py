"""Signed requests: RSA-PSS over time, method and path, for REST and for the websocket's handshake.

The signed text is ``{milliseconds}{METHOD}{path}``; the path begins at the host's root and has no query,
the body is not signed. SHA-256 for digest and mask, salt as long as the digest.
Source: docs/reference/venue-facts.md, Kalshi authentication.
"""

import base64
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from msgspec import Struct

KEY_HEADER = "KALSHI-ACCESS-KEY"
TIMESTAMP_HEADER = "KALSHI-ACCESS-TIMESTAMP"
SIGNATURE_HEADER = "KALSHI-ACCESS-SIGNATURE"
KEY_BITS_MIN = 2048
"""Shorter keys are refused by the venue, and are not safe."""


class CredentialError(ValueError):
    """The key cannot be used; its text never holds any of it."""


class KalshiCredentials(Struct, frozen=True):
    """An API key: its id and its RSA private key as unencrypted PEM (PKCS #1 or #8)."""

    key_id: str
    private_key_pem: bytes

    def __repr__(self) -> str:
        return "KalshiCredentials(hidden)"


class RequestSigner:
    """Makes the three headers. ``now_ms`` is the clock: the venue refuses one that is seconds off.

    Raises:
        CredentialError: when the key is not an unencrypted RSA key of at least 2048 bits.
    """

    def __init__(
        self, credentials: KalshiCredentials, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    ) -> None:
        self._key_id = credentials.key_id
        self._key = _load(credentials)
        self._now_ms = now_ms

    def __repr__(self) -> str:
        return "Signer(hidden)"

    def headers(self, method: str, url_or_path: str) -> dict[str, str]:
        """The headers of one request, to be sent at once: they carry the time."""
        timestamp = str(self._now_ms())
        signature = self._key.sign(
            signed_text(timestamp, method, url_or_path),
            padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=hashes.SHA256.digest_size),
            hashes.SHA256(),
        )
        return {
            KEY_HEADER: self._key_id,
            TIMESTAMP_HEADER: timestamp,
            SIGNATURE_HEADER: base64.b64encode(signature).decode(),
        }


def signed_text(timestamp: str, method: str, url_or_path: str) -> bytes:
    """What is signed; host and query of a whole URL are left out."""
    return f"{timestamp}{method.upper()}{urlsplit(url_or_path).path}".encode()


def _load(credentials: KalshiCredentials) -> RSAPrivateKey:
    if not credentials.key_id or not credentials.key_id.isprintable():
        raise CredentialError("expected the id of a Kalshi API key")
    try:
        key = serialization.load_pem_private_key(credentials.private_key_pem, password=None)
    # The library's own text may quote the key.
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise CredentialError("expected an unencrypted RSA private key as PEM") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < KEY_BITS_MIN:
        raise CredentialError(f"expected an RSA private key of at least {KEY_BITS_MIN} bits")
    return key
