"""Verifies Kalshi's request signatures for real: RSA-PSS over time, method and path."""

import base64
import binascii
from collections.abc import Callable, Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

CLOCK_SKEW_MS_MAX = 5_000
"""How far a client's clock may be off. The venue does not document it; real clients are refused at a few seconds."""


class Unauthorised(Exception):
    """The request is not signed by a key we know; the text is the venue's own word for it."""


def verify(
    headers: Mapping[str, str],
    method: str,
    path: str,
    key_of: Callable[[str], RSAPublicKey | None],
    now_ms: int,
) -> str:
    """Check the three headers and return the key id. ``path`` begins at the root and has no query.

    Raises:
        Unauthorised: when one is missing, late, of an unknown key, or does not sign this request.
    """
    key_id = headers.get("KALSHI-ACCESS-KEY", "")
    timestamp = headers.get("KALSHI-ACCESS-TIMESTAMP", "")
    encoded = headers.get("KALSHI-ACCESS-SIGNATURE", "")
    if not (key_id and timestamp and encoded):
        raise Unauthorised("MISSING_HEADERS")
    key = key_of(key_id)
    if key is None:
        raise Unauthorised("API_KEY_NOT_FOUND")
    if not (timestamp.isascii() and timestamp.isdecimal()) or len(timestamp) > 15:
        raise Unauthorised("INVALID_TIMESTAMP")
    if abs(int(timestamp) - now_ms) > CLOCK_SKEW_MS_MAX:
        raise Unauthorised("TIMESTAMP_EXPIRED")
    try:
        key.verify(
            base64.b64decode(encoded, validate=True),
            f"{timestamp}{method}{path}".encode(),
            padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=hashes.SHA256.digest_size),
            hashes.SHA256(),
        )
    except (InvalidSignature, binascii.Error, ValueError):
        raise Unauthorised("INCORRECT_API_KEY_SIGNATURE") from None
    return key_id
