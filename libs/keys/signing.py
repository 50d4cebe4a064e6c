"""Ed25519 signatures over messages exactly as they are published.

What is signed: ``domain NUL tape id NUL subject NUL message id NUL payload``. There is no canonical
form: the bytes that travel are the bytes that are signed.
"""

import base64
import binascii
import json
import os
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

APPROVAL_DOMAIN = "presage.approval.1"
OPERATOR_DOMAIN = "presage.operator.1"
_ROLES = {APPROVAL_DOMAIN: "risk", OPERATOR_DOMAIN: "operator"}
GENUINE_MAX = 256
"""Signatures remembered as verified. An approval is looked at by each machine of a process, and again inside its
claim, within milliseconds; each verification costs a tenth of one."""


def signed_bytes(domain: str, tape: str, subject: str, message_id: str, payload: bytes) -> bytes:
    """The bytes a signature covers."""
    return f"{domain}\x00{tape}\x00{subject}\x00{message_id}\x00".encode() + payload


class Signer:
    """Holds one private key; the key never leaves this object."""

    def __init__(self, domain: str, private_key: Ed25519PrivateKey) -> None:
        self._domain = domain
        self._private_key = private_key
        raw = private_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public_key = raw.hex()
        self.key_id = f"{_ROLES[domain]}-{self.public_key[:12]}"

    def __repr__(self) -> str:
        return f"Signer({self.key_id})"

    @classmethod
    def generate(cls, domain: str) -> "Signer":
        return cls(domain, Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, domain: str, path: Path) -> "Signer":
        """Read a key file made by ``create``."""
        raw = bytes.fromhex(path.read_text().strip())
        return cls(domain, Ed25519PrivateKey.from_private_bytes(raw))

    @classmethod
    def create(cls, domain: str, path: Path) -> "Signer":
        """Make a key and keep it in a file that only its owner can read."""
        signer = cls.generate(domain)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(signer._private_key.private_bytes_raw().hex())
        return signer

    def sign(self, tape: str, subject: str, message_id: str, payload: bytes) -> str:
        """The signature as base64 text for the ``sig`` header."""
        data = signed_bytes(self._domain, tape, subject, message_id, payload)
        return base64.b64encode(self._private_key.sign(data)).decode()


class Verifier:
    """The public keys that count, by key id; a key is good for its own domain only."""

    def __init__(self, public_keys: Mapping[str, str]) -> None:
        self._keys = {
            key_id: Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
            for key_id, text in public_keys.items()
        }
        self._genuine: dict[tuple[str, str, bytes], None] = {}

    @classmethod
    def load(cls, path: Path) -> "Verifier":
        """Read ``{"key id": "public key as hex"}``."""
        return cls(json.loads(path.read_text()))

    def verify(
        self,
        domain: str,
        tape: str,
        subject: str,
        message_id: str,
        payload: bytes,
        signature: str,
        key_id: str,
    ) -> bool:
        """Whether the signature is a known key's over exactly these bytes."""
        key = self._keys.get(key_id)
        if key is None or not key_id.startswith(_ROLES[domain] + "-"):
            return False
        try:
            data = signed_bytes(domain, tape, subject, message_id, payload)
            known = (key_id, signature, data)
            if known in self._genuine:
                return True
            key.verify(base64.b64decode(signature, validate=True), data)
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        self._genuine[known] = None
        if len(self._genuine) > GENUINE_MAX:
            del self._genuine[next(iter(self._genuine))]
        return True
