"""Signatures that Kalshi accepts, and the sandbox's verification of them."""

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from libs.venues.kalshi.auth import CredentialError, KalshiCredentials, RequestSigner, signed_text
from sandbox.kalshi.auth import CLOCK_SKEW_MS_MAX, Unauthorised, verify

NOW_MS = 1_703_123_456_789
PATH = "/trade-api/v2/portfolio/balance"
KEY = rsa.generate_private_key(65537, 2048)


def pem(key: Any) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.fixture
def signer() -> RequestSigner:
    return RequestSigner(KalshiCredentials("key-1", pem(KEY)), lambda: NOW_MS)


def key_of(key_id: str) -> rsa.RSAPublicKey | None:
    return KEY.public_key() if key_id == "key-1" else None


def test_text_is_time_method_and_path_without_query() -> None:
    assert (
        signed_text("1703123456789", "get", f"https://host{PATH}?a=b") == f"1703123456789GET{PATH}".encode()
    )
    assert signed_text("1", "GET", f"{PATH}?limit=5") == f"1GET{PATH}".encode()


def test_signature_verifies_with_salt_as_long_as_the_digest(signer: RequestSigner) -> None:
    headers = signer.headers("POST", f"{PATH}?cursor=x")
    assert headers["KALSHI-ACCESS-TIMESTAMP"] == str(NOW_MS)
    KEY.public_key().verify(
        base64.b64decode(headers["KALSHI-ACCESS-SIGNATURE"]),
        f"{NOW_MS}POST{PATH}".encode(),
        padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32),
        hashes.SHA256(),
    )
    assert verify(headers, "POST", PATH, key_of, NOW_MS) == "key-1"


@pytest.mark.parametrize(
    ("change", "method", "path", "now_ms", "word"),
    [
        ({}, "GET", PATH, NOW_MS, "SIGNATURE"),
        ({}, "POST", PATH + "/x", NOW_MS, "SIGNATURE"),
        ({}, "POST", PATH, NOW_MS + CLOCK_SKEW_MS_MAX + 1, "EXPIRED"),
        ({}, "POST", PATH, NOW_MS - CLOCK_SKEW_MS_MAX - 1, "EXPIRED"),
        ({"KALSHI-ACCESS-KEY": "other"}, "POST", PATH, NOW_MS, "NOT_FOUND"),
        ({"KALSHI-ACCESS-TIMESTAMP": str(NOW_MS + 1)}, "POST", PATH, NOW_MS, "SIGNATURE"),
        ({"KALSHI-ACCESS-TIMESTAMP": "soon"}, "POST", PATH, NOW_MS, "INVALID_TIMESTAMP"),
        ({"KALSHI-ACCESS-SIGNATURE": "!"}, "POST", PATH, NOW_MS, "SIGNATURE"),
        ({"KALSHI-ACCESS-SIGNATURE": ""}, "POST", PATH, NOW_MS, "MISSING"),
    ],
)
def test_anything_else_is_refused(signer, change, method, path, now_ms, word) -> None:
    headers = {**signer.headers("POST", PATH), **change}
    with pytest.raises(Unauthorised, match=word):
        verify(headers, method, path, key_of, now_ms)


def test_signature_with_another_salt_is_refused() -> None:
    short = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=20)
    signature = KEY.sign(f"{NOW_MS}GET{PATH}".encode(), short, hashes.SHA256())
    headers = {
        "KALSHI-ACCESS-KEY": "key-1",
        "KALSHI-ACCESS-TIMESTAMP": str(NOW_MS),
        "KALSHI-ACCESS-SIGNATURE": base64.b64encode(signature).decode(),
    }
    with pytest.raises(Unauthorised, match="SIGNATURE"):
        verify(headers, "GET", PATH, key_of, NOW_MS)


def test_key_never_shows(signer: RequestSigner) -> None:
    secret = pem(KEY)
    shown = f"{KalshiCredentials('key-1', secret)!r} {KalshiCredentials('key-1', secret)} {signer!r}"
    assert "key-1" not in shown
    assert "PRIVATE" not in shown


@pytest.mark.parametrize(
    ("key_id", "key"),
    [
        ("", pem(KEY)),
        ("key-1", b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"),
        ("key-1", pem(ec.generate_private_key(ec.SECP256R1()))),
        ("key-1", b""),
        (
            "key-1",
            KEY.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"x"),
            ),
        ),
    ],
)
def test_unusable_keys_are_refused_without_showing_them(key_id: str, key: bytes) -> None:
    with pytest.raises(CredentialError) as raised:
        RequestSigner(KalshiCredentials(key_id, key))
    assert "c2VjcmV0" not in str(raised.value)
    assert raised.value.__cause__ is None
