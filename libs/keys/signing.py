"""Ed25519 signatures over messages exactly as they are published.

What is signed: ``domain NUL tape id NUL subject NUL message id NUL payload``. There is no canonical
form: the bytes that travel are the bytes that are signed.
"""

import base64
import binascii
import os
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from libs.bounded import keep_newest

APPROVAL_DOMAIN = "presage.approval.1"
OPERATOR_DOMAIN = "presage.operator.1"
ROLES = {APPROVAL_DOMAIN: "risk", OPERATOR_DOMAIN: "operator"}
CONSOLE_ROLE = "console"
MONITOR_ROLE = "monitor"
SPEAKERS = {APPROVAL_DOMAIN: ("risk",), OPERATOR_DOMAIN: ("operator", CONSOLE_ROLE, MONITOR_ROLE)}
"""Roles whose keys sign in a domain. What of it they may say is in the file of public keys."""
KEY_ID_DIGITS = 12
"""Of the public key, after the role: enough to tell keys apart, short enough to read."""
NOW = 1 << 63
"""Behind every sequence: what has none yet."""
GENUINE_MAX = 256
"""Signatures remembered as verified. An approval is looked at by each machine of a process, and again inside its
claim, within milliseconds; each verification costs a tenth of one."""


def signed_bytes(domain: str, tape: str, subject: str, message_id: str, payload: bytes) -> bytes:
    """The bytes a signature covers."""
    return f"{domain}\x00{tape}\x00{subject}\x00{message_id}\x00".encode() + payload


def role_of(key_id: str) -> str:
    """Whose key it is."""
    return key_id.rpartition("-")[0]


class UnusableKey(ValueError):
    """A key file does not hold a key; the text names the file and what mends it."""


class Signer:
    """Holds one private key; the key never leaves this object."""

    def __init__(self, domain: str, private_key: Ed25519PrivateKey, role: str = "") -> None:
        self._domain = domain
        self._private_key = private_key
        raw = private_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public_key = raw.hex()
        self.key_id = f"{role or ROLES[domain]}-{self.public_key[:KEY_ID_DIGITS]}"

    def __repr__(self) -> str:
        return f"Signer({self.key_id})"

    @classmethod
    def generate(cls, domain: str, role: str = "") -> "Signer":
        return cls(domain, Ed25519PrivateKey.generate(), role)

    @classmethod
    def load(cls, domain: str, path: Path, role: str = "") -> "Signer":
        """Read a key file made by ``create``; ``role`` as it was made with.

        Raises:
            UnusableKey: it is lost, cut or changed.
        """
        try:
            private_key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(path.read_text().strip()))
            return cls(domain, private_key, role)
        except FileNotFoundError:
            was = "none"
        except ValueError:
            # Without the error's own text, which may quote the key.
            was = "cut or changed"
        text = f"expected a private key in {path}, was {was}: put a copy back, or make a new one with"
        raise UnusableKey(f"{text} `presage keys rotate {role or ROLES[domain]}`, which retires this one")

    @classmethod
    def create(cls, domain: str, path: Path, role: str = "") -> "Signer":
        """Make a key and keep it in a file that only its owner can read."""
        signer = cls.generate(domain, role)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(signer._private_key.private_bytes_raw().hex())
        return signer

    def sign(self, tape: str, subject: str, message_id: str, payload: bytes) -> str:
        """The signature as base64 text for the ``sig`` header."""
        data = signed_bytes(self._domain, tape, subject, message_id, payload)
        return base64.b64encode(self._private_key.sign(data)).decode()


class PublicKey(msgspec.Struct, frozen=True):
    """A public key as hex, and the verbs it may say: ``None`` for all that its role may."""

    key: str
    says: tuple[str, ...] | None = None


def read_public_keys(path: Path) -> dict[str, PublicKey]:
    """Read ``{"key id": {"key": "public key as hex", "says": ["halt", …]}}``.

    Without ``says``, and where there is only the key's text (files of earlier builds), a key may say all that its role may.

    Raises:
        UnusableKey: it is cut or changed.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, str | PublicKey])
        keys = {name: PublicKey(key) if isinstance(key, str) else key for name, key in found.items()}
        for key_id, known in keys.items():
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(known.key))
            if not key_id.endswith("-" + known.key[:KEY_ID_DIGITS]):
                raise ValueError
    except ValueError:
        text = f"expected the public keys in {path}, was cut or changed: put a copy back, or remove the file"
        raise UnusableKey(
            f"{text}; what lost private keys have signed is then not verified any more"
        ) from None
    return keys


def public_keys_text(keys: Mapping[str, PublicKey]) -> bytes:
    """The content of a file of public keys. A key that may say all that its role may is written as earlier builds do."""
    plain = {
        key_id: known.key if known.says is None else {"key": known.key, "says": list(known.says)}
        for key_id, known in keys.items()
    }
    return msgspec.json.format(msgspec.json.encode(plain), indent=1)


def retired_file(public_keys: Path) -> Path:
    """The file of retired keys that belongs to a file of public keys."""
    return public_keys.with_name("retired.json")


def read_retired(path: Path) -> dict[str, int]:
    """Read ``{"key id": last sequence of the tape that it is good for}``; no file, no retired keys.

    Raises:
        UnusableKey: it is cut or changed.
    """
    if not path.exists():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, int])
    except ValueError:
        text = f"expected the retired keys in {path}, was cut or changed: put a copy back"
        raise UnusableKey(f"{text}; without it nothing tells what must not be believed") from None


class Verifier:
    """The public keys that count, by key id; a key is good for its own domain only.

    ``retired``: keys that are good up to a sequence of the tape. ``says``: the verbs of those that may not say all that
    their role may.
    """

    def __init__(
        self,
        public_keys: Mapping[str, str],
        retired: Mapping[str, int] | None = None,
        says: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        self._retired = dict(retired or {})
        self._says = {key_id: frozenset(verbs) for key_id, verbs in (says or {}).items()}
        self._keys = {
            key_id: Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
            for key_id, text in public_keys.items()
        }
        self._genuine: dict[tuple[str, str, bytes], None] = {}

    @classmethod
    def load(cls, path: Path) -> "Verifier":
        """Read a file of public keys, and the retired ones beside it."""
        known = read_public_keys(path)
        says = {key_id: key.says for key_id, key in known.items() if key.says is not None}
        keys = {key_id: key.key for key_id, key in known.items()}
        return cls(keys, read_retired(retired_file(path)), says)

    def may_say(self, key_id: str, verb: str) -> bool:
        """Whether a key may say a verb. Without a list the operator's key may say everything, any other key nothing."""
        said = self._says.get(key_id)
        return role_of(key_id) == ROLES[OPERATOR_DOMAIN] if said is None else verb in said

    def verify(
        self,
        domain: str,
        tape: str,
        subject: str,
        message_id: str,
        payload: bytes,
        signature: str,
        key_id: str,
        seq: int = NOW,
    ) -> bool:
        """Whether the signature is a known key's over exactly these bytes. ``seq``: where they stand on the tape."""
        key = self._keys.get(key_id)
        if key is None or role_of(key_id) not in SPEAKERS[domain]:
            return False
        if seq > self._retired.get(key_id, NOW):
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
        keep_newest(self._genuine, GENUINE_MAX)
        return True
