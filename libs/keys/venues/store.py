"""Where the venues' keys are kept: encrypted files of our own, or files that the platform mounts.

====================  =============================  ==========================================
kind of key           in our store, encrypted        mounted (``PRESAGE_KEYS_DIR``), plain
====================  =============================  ==========================================
Ethereum              VENUE.json (Ethereum           VENUE.key (hexadecimal)
                      keystore, version 3)
RSA                   VENUE.pem (PKCS 8), its id     VENUE.pem, VENUE.id
                      in VENUE.id
API                   VENUE.json (sealed)            VENUE.key
====================  =============================  ==========================================

A mounted file wins over one of ours. In our store a file that others may read is refused; a platform sets
the rights of what it mounts itself.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from libs.bounded import clip
from libs.config.environment import Environment, variable
from libs.keys.venues.errors import BadKey, KeyStoreError, NoKey, TooOpen, WrongPassphrase
from libs.keys.venues.kind import KeyKind
from libs.keys.venues.kinds import (
    KEY_TYPES,
    ApiKey,
    EthereumKey,
    Key,
    RsaKey,
    read_rsa,
    write_rsa,
)
from libs.keys.venues.sealed import COST, seal, unseal

KEYS_DIRECTORY_VARIABLE = variable("keys_dir")
FILE_BYTES_MAX = 64 * 1024
"""No key comes near it; whatever is larger is another file."""
PASSPHRASE_CHARACTERS_MIN = 8
ENCRYPTED = b"ENCRYPTED"
"""In the first lines of every PEM that is, by either of its standards."""


class KeyStore:
    """The keys of one state directory.

    ``kinds``: venue → the kind of key it takes. ``cost`` is scrypt's, for our own encryption.
    """

    def __init__(
        self, directory: Path, kinds: Mapping[str, KeyKind], mounted: Path | None = None, cost: int = COST
    ) -> None:
        self.directory = directory
        self._kinds = kinds
        self.mounted = mounted or Environment.read().keys_dir
        self._cost = cost

    def venues(self) -> dict[str, str]:
        """Venues with a key → ``mounted`` or ``encrypted``."""
        found = {venue: "encrypted" for venue in self._kinds if self._own(venue).exists()}
        return found | {venue: "mounted" for venue in self._kinds if self._mounted(venue) is not None}

    def needs_passphrase(self, venue: str) -> bool:
        """Whether the venue's key is one of our encrypted files; ``False`` for a venue without keys.

        A PEM may be plain: the feed takes one.
        """
        if venue not in self._kinds or self._mounted(venue) is not None or not self._own(venue).exists():
            return False
        return self._kinds[venue] is not KeyKind.RSA or ENCRYPTED in _read(self._own(venue))

    def load(self, venue: str, passphrase: str | None = None) -> Key:
        """The venue's key.

        Raises:
            NoKey, BadKey, WrongPassphrase, TooOpen: as their names say.
        """
        if venue not in self._kinds:
            raise NoKey(f"expected a venue that takes a key, was {clip(venue, 40)!r}")
        mounted = self._mounted(venue)
        return self._read_mounted(venue, mounted) if mounted else self._read_own(venue, passphrase)

    def save(self, venue: str, key: Key, passphrase: str) -> Path:
        """Encrypt and write a key in place of the one before; the file it is in.

        Raises:
            BadKey: for a key of another venue, or a passphrase that protects nothing.
        """
        if self._type(venue) is not type(key):
            raise BadKey(f"{venue}: expected a key of its own kind, was {type(key).__name__}")
        if len(passphrase) < PASSPHRASE_CHARACTERS_MIN:
            raise BadKey(f"expected a passphrase of at least {PASSPHRASE_CHARACTERS_MIN} characters")
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        path = self._own(venue)
        if isinstance(key, EthereumKey):
            _write(path, self._ethereum_file(key, passphrase))
        elif isinstance(key, RsaKey):
            _write(self._id_file(venue), key.key_id.encode())
            _write(path, write_rsa(read_rsa(key.private_key_pem, None), passphrase.encode()))
        else:
            _write(path, seal(key.key.encode(), passphrase.encode(), venue, self._cost))
        return path

    def remove(self, venue: str) -> bool:
        """Delete our file of the venue's key; whether there was one. Mounted files stay."""
        path = self._own(venue)
        existed = path.exists()
        path.unlink(missing_ok=True)
        if self._kinds[venue] is KeyKind.RSA:
            self._id_file(venue).unlink(missing_ok=True)
        return existed

    def public_part(self, venue: str) -> str:
        """What everybody may know of a key: a signer's address, or the id of a venue's key; no passphrase is needed.

        Empty for a key that has no such part, or a file that cannot be read.
        """
        mounted = self._mounted(venue)
        try:
            if self._kinds[venue] is KeyKind.RSA:
                return _text(_read(mounted.with_suffix(".id") if mounted else self._id_file(venue))).strip()
            if self._kinds[venue] is not KeyKind.ETHEREUM:
                return ""
            if mounted is not None:
                return address_of(EthereumKey.parse(_text(_read(mounted))))
            return checksummed(str(json.loads(_read(self._own(venue)))["address"]))
        except (KeyStoreError, ValueError, KeyError, TypeError):
            return ""

    def file_of(self, venue: str) -> Path:
        """The file of a key that is ours.

        Raises:
            NoKey: there is none.
        """
        if venue not in self._kinds or not self._own(venue).exists():
            raise NoKey(f"expected a {venue} key in {self.directory}, was none")
        return self._own(venue)

    # ── files ──

    def _type(self, venue: str) -> type[Key] | None:
        kind = self._kinds.get(venue)
        return None if kind is None else KEY_TYPES[kind]

    def _own(self, venue: str) -> Path:
        return self.directory / (f"{venue}.pem" if self._kinds[venue] is KeyKind.RSA else f"{venue}.json")

    def _id_file(self, venue: str) -> Path:
        return self.directory / f"{venue}.id"

    def _mounted(self, venue: str) -> Path | None:
        if self.mounted is None or venue not in self._kinds:
            return None
        path = self.mounted / (f"{venue}.pem" if self._kinds[venue] is KeyKind.RSA else f"{venue}.key")
        return path if path.exists() else None

    def _read_mounted(self, venue: str, path: Path) -> Key:
        content = _read(path)
        kind = self._kinds[venue]
        if kind is KeyKind.RSA:
            return RsaKey.parse(_text(_read(path.with_suffix(".id"))), content)
        text = _text(content)
        return EthereumKey.parse(text) if kind is KeyKind.ETHEREUM else ApiKey.parse(text)

    def _read_own(self, venue: str, passphrase: str | None) -> Key:
        path = self._own(venue)
        content = _read(path)
        if path.stat().st_mode & 0o077:
            raise TooOpen(f"expected {path} to be readable by its owner alone; chmod 600 mends it")
        if not passphrase:
            raise WrongPassphrase(f"expected the passphrase of {path}, was none")
        kind = self._kinds[venue]
        if kind is KeyKind.ETHEREUM:
            return self._from_ethereum_file(content, passphrase)
        if kind is KeyKind.RSA:
            try:
                return RsaKey.parse(_text(_read(self._id_file(venue))), content, passphrase.encode())
            except ValueError as e:
                raise WrongPassphrase("expected the passphrase of the PEM file, was another") from e
        return ApiKey.parse(_text(unseal(content, passphrase.encode(), venue)))

    def _ethereum_file(self, key: EthereumKey, passphrase: str) -> bytes:
        from eth_account import Account

        file = Account.encrypt(key.private_key, passphrase, kdf="scrypt", iterations=self._cost)
        return json.dumps(file).encode()

    def _from_ethereum_file(self, content: bytes, passphrase: str) -> EthereumKey:
        from eth_account import Account

        try:
            file = json.loads(content)
        except ValueError as e:
            raise BadKey("expected an Ethereum keystore, was another file") from e
        try:
            return EthereumKey.parse(bytes(Account.decrypt(file, passphrase)).hex())
        except KeyStoreError:
            raise
        except ValueError as e:
            raise WrongPassphrase("expected the passphrase of the Ethereum keystore, was another") from e
        except (KeyError, TypeError, NotImplementedError) as e:
            raise BadKey("expected an Ethereum keystore of version 3, was another file") from e


def address_of(key: EthereumKey) -> str:
    """The address of a signer, with checksum; it is public."""
    from eth_account import Account

    address: str = Account.from_key(key.private_key).address
    return address


def checksummed(address: str) -> str:
    """An address of hexadecimal digits as wallets show it."""
    try:
        from eth_utils.address import to_checksum_address
    except ImportError:
        # Only who trades there has the package; without it the address is right, and looks plainer.
        return f"0x{address.lower().removeprefix('0x')}"
    return str(to_checksum_address(address))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError as e:
        raise NoKey(f"expected a key in {path}, was none") from e
    except OSError as e:
        raise BadKey(f"expected to read {path}, was {e.strerror}") from e
    if len(content) > FILE_BYTES_MAX:
        raise BadKey(f"expected at most {FILE_BYTES_MAX} bytes in {path}, was more")
    return content


def _text(content: bytes) -> str:
    try:
        return content.decode("ascii")
    except UnicodeDecodeError as e:
        raise BadKey("expected plain text, was something else") from e


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
