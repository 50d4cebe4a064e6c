"""A secret sealed with a passphrase: scrypt makes the key, AES-256-GCM encrypts and authenticates.

The file is JSON: ``{"version":1,"n":…,"salt":…,"nonce":…,"sealed":…}``, bytes in hexadecimal. ``n`` is
scrypt's cost; r = 8 and p = 1 as RFC 7914 has them.
"""

import secrets

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from msgspec import Struct

from libs.keys.venues.errors import BadKey, WrongPassphrase

VERSION = 1
COST = 2**17
"""128 MiB and about half a second: an interactive login's pause, years for a dictionary."""
COST_MAX = 2**20
"""A file may not make us use more than 1 GiB."""
SALT_BYTES, NONCE_BYTES, KEY_BYTES = 16, 12, 32


class _File(Struct, forbid_unknown_fields=True):
    version: int
    n: int
    salt: str
    nonce: str
    sealed: str


def seal(secret: bytes, passphrase: bytes, label: str, cost: int = COST) -> bytes:
    """The file's content. ``label`` says what it is for; it only opens for the same."""
    salt, nonce = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(NONCE_BYTES)
    sealed = AESGCM(_derive(passphrase, salt, cost)).encrypt(nonce, secret, label.encode())
    return msgspec.json.encode(_File(VERSION, cost, salt.hex(), nonce.hex(), sealed.hex()))


def unseal(content: bytes, passphrase: bytes, label: str) -> bytes:
    """The secret. Raises ``BadKey`` for another file, ``WrongPassphrase`` when it does not open."""
    try:
        file = msgspec.json.decode(content, type=_File)
        salt, nonce, sealed = (bytes.fromhex(part) for part in (file.salt, file.nonce, file.sealed))
    except (msgspec.DecodeError, ValueError) as e:
        raise BadKey("expected a sealed key, was another file") from e
    power_of_two = file.n > 1 and file.n & (file.n - 1) == 0
    if file.version != VERSION or not power_of_two or file.n > COST_MAX or len(nonce) != NONCE_BYTES:
        raise BadKey(f"expected a sealed key of version {VERSION}, was another")
    try:
        return AESGCM(_derive(passphrase, salt, file.n)).decrypt(nonce, sealed, label.encode())
    except InvalidTag as e:
        raise WrongPassphrase("expected the passphrase the key was sealed with, was another") from e


def _derive(passphrase: bytes, salt: bytes, cost: int) -> bytes:
    return Scrypt(salt=salt, length=KEY_BYTES, n=cost, r=8, p=1).derive(passphrase)
