"""The keys that venues give or accept; none of them shows itself in a log or a traceback."""

import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec import Struct

from libs.keys.venues.errors import BadKey
from libs.keys.venues.kind import KeyKind

ETHEREUM_KEY_BYTES = 32
ETHEREUM_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Order of secp256k1: a private key is below it and above zero."""
API_KEY_CHARACTERS_MAX = 512
RSA_BITS_MIN = 2048
"""What Kalshi hands out; anything shorter was not made by it."""

_API_KEY = re.compile(r"[\x21-\x7e]+\Z")


class _Hidden(Struct, frozen=True):
    def __repr__(self) -> str:
        return f"{type(self).__name__}(hidden)"


class EthereumKey(_Hidden, frozen=True):
    """The private key of a Polymarket account's signer: 32 bytes."""

    private_key: bytes

    @classmethod
    def parse(cls, text: str) -> "EthereumKey":
        """From hexadecimal with or without ``0x``. Raises ``BadKey``."""
        digits = text.strip().removeprefix("0x")
        try:
            private_key = bytes.fromhex(digits)
        except ValueError:
            private_key = b""
        if len(private_key) != ETHEREUM_KEY_BYTES:
            raise BadKey(f"expected {ETHEREUM_KEY_BYTES} bytes in hexadecimal, was something else")
        if not 0 < int.from_bytes(private_key) < ETHEREUM_ORDER:
            raise BadKey("expected a number of the curve secp256k1, was outside of it")
        return cls(private_key)


class RsaKey(_Hidden, frozen=True):
    """A Kalshi API key: the id the venue knows it by, and the private key as unencrypted PKCS 8 PEM."""

    key_id: str
    private_key_pem: bytes

    @classmethod
    def parse(cls, key_id: str, pem: bytes, passphrase: bytes | None = None) -> "RsaKey":
        """From the id and the PEM file the venue gave. Raises ``BadKey``."""
        key = read_rsa(pem, passphrase)
        key_id = key_id.strip()
        if not _API_KEY.match(key_id) or len(key_id) > API_KEY_CHARACTERS_MAX:
            raise BadKey("expected the key's id as the venue shows it, was something else")
        return cls(key_id, write_rsa(key))


class ApiKey(_Hidden, frozen=True):
    """A single secret word, as Manifold gives."""

    key: str

    @classmethod
    def parse(cls, text: str) -> "ApiKey":
        """From the text the venue shows. Raises ``BadKey``."""
        key = text.strip()
        if not _API_KEY.match(key) or len(key) > API_KEY_CHARACTERS_MAX:
            raise BadKey("expected one word of visible characters, was something else")
        return cls(key)


Key = EthereumKey | RsaKey | ApiKey

KEY_TYPES: dict[KeyKind, type[Key]] = {
    KeyKind.ETHEREUM: EthereumKey,
    KeyKind.RSA: RsaKey,
    KeyKind.API: ApiKey,
}
"""Kind → the class of its keys."""


def read_rsa(pem: bytes, passphrase: bytes | None) -> RSAPrivateKey:
    """A private RSA key. Raises ``BadKey``; ``ValueError`` for a wrong passphrase of an encrypted one."""
    try:
        key = load_pem_private_key(pem, passphrase)
    except (TypeError, UnsupportedAlgorithm) as e:
        raise BadKey("expected a private key in PEM, encrypted only if a passphrase is given") from e
    except ValueError as e:
        if passphrase is not None and b"ENCRYPTED" in pem:
            raise
        raise BadKey("expected a private key in PEM, was something else") from e
    if not isinstance(key, RSAPrivateKey) or key.key_size < RSA_BITS_MIN:
        raise BadKey(f"expected an RSA key of at least {RSA_BITS_MIN} bits, was another key")
    return key


def write_rsa(key: RSAPrivateKey, passphrase: bytes | None = None) -> bytes:
    """PKCS 8 PEM, encrypted when there is a passphrase."""
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    encryption = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
