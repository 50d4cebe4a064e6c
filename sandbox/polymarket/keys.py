"""API keys, and the check that a request is from the holder of one.

L1 is an EIP-712 signature of an address; L2 an HMAC with a secret given out for it.
Source: docs/reference/venue-facts.md, Polymarket authentication.
"""

import base64
import hashlib
import hmac
import uuid
from collections.abc import Mapping

from msgspec import Struct

from sandbox.polymarket.options import PolymarketOptions
from sandbox.polymarket.signatures import SignatureError, auth_digest, bytes_of, recover

UNAUTHORIZED = "Unauthorized/Invalid api key"
BAD_L1 = "Invalid L1 Request headers"
NONCE_MAX = 2**63


class PolymarketRefusal(Exception):
    """An answer other than 200: ``status`` and the text of its ``error``; ``extra`` are further fields."""

    def __init__(self, status: int, text: str, extra: Mapping[str, object] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.extra = dict(extra or {})


class ClobKey(Struct, frozen=True):
    """A key and whose it is; ``address`` in lower case. Its repr shows no secret."""

    key: str
    secret: str
    passphrase: str
    address: str

    def __repr__(self) -> str:
        return f"ApiKey(key={self.key!r}, address={self.address!r})"


class ClobKeys:
    """Gives out keys and checks requests against them. The same seed gives the same keys."""

    def __init__(self, seed: int, options: PolymarketOptions) -> None:
        self._seed = seed
        self._options = options
        self._by_key: dict[str, ClobKey] = {}
        self._by_owner: dict[tuple[str, int], ClobKey] = {}

    def _drawn(self, address: str, nonce: int) -> ClobKey:
        material = hashlib.sha512(f"polymarket:{self._seed}:{address}:{nonce}".encode()).digest()
        return ClobKey(
            key=str(uuid.UUID(bytes=material[:16], version=4)),
            secret=base64.urlsafe_b64encode(material[16:48]).decode(),
            passphrase=hashlib.sha256(material[48:]).hexdigest(),
            address=address,
        )

    def create(self, address: str, nonce: int = 0) -> ClobKey:
        """Return a new key; 400 when this address and nonce have one."""
        owner = (address.lower(), nonce)
        if owner in self._by_owner:
            raise PolymarketRefusal(400, "Could not create api key")
        made = self._drawn(*owner)
        self._by_owner[owner] = made
        self._by_key[made.key] = made
        return made

    def derive(self, address: str, nonce: int = 0) -> ClobKey:
        """Return the key that exists; 400 when there is none."""
        found = self._by_owner.get((address.lower(), nonce))
        if found is None:
            raise PolymarketRefusal(400, "Could not derive api key!")
        return found

    def delete(self, key: ClobKey) -> None:
        self._by_key.pop(key.key, None)
        self._by_owner = {owner: held for owner, held in self._by_owner.items() if held.key != key.key}

    def of_address(self, address: str) -> list[str]:
        return [held.key for held in self._by_owner.values() if held.address == address]

    def get(self, key: str) -> ClobKey | None:
        return self._by_key.get(key)

    def check_l1(self, headers: Mapping[str, str], at_s: float) -> tuple[str, int]:
        """Return address (lower case) and nonce that the L1 headers of a request received ``at_s`` prove."""
        address = headers.get("POLY_ADDRESS", "")
        timestamp = headers.get("POLY_TIMESTAMP", "")
        nonce = headers.get("POLY_NONCE", "0")
        if not nonce.isdecimal() or int(nonce) > NONCE_MAX or not self._is_timely(timestamp, at_s):
            raise PolymarketRefusal(401, BAD_L1)
        try:
            signature = bytes_of(headers.get("POLY_SIGNATURE", ""), 65)
            signer = recover(auth_digest(address, timestamp, int(nonce)), signature)
        except SignatureError:
            raise PolymarketRefusal(401, BAD_L1) from None
        if signer != address.lower():
            raise PolymarketRefusal(401, BAD_L1)
        return signer, int(nonce)

    def check_l2(
        self, headers: Mapping[str, str], method: str, path: str, body: bytes, at_s: float
    ) -> ClobKey:
        """Return the key that the five L2 headers prove; ``path`` without query, ``body`` as it came."""
        held = self._by_key.get(headers.get("POLY_API_KEY", ""))
        timestamp = headers.get("POLY_TIMESTAMP", "")
        if held is None or not self._is_timely(timestamp, at_s):
            raise PolymarketRefusal(401, UNAUTHORIZED)
        message = timestamp.encode() + method.encode() + path.encode() + body
        digest = hmac.new(base64.urlsafe_b64decode(held.secret), message, hashlib.sha256).digest()
        expected = base64.urlsafe_b64encode(digest)
        given = headers.get("POLY_SIGNATURE", "").encode()
        proven = hmac.compare_digest(expected, given)
        known = hmac.compare_digest(held.passphrase.encode(), headers.get("POLY_PASSPHRASE", "").encode())
        if not proven or not known or headers.get("POLY_ADDRESS", "").lower() != held.address:
            raise PolymarketRefusal(401, UNAUTHORIZED)
        return held

    def check_socket(self, key: str, secret: str, passphrase: str) -> ClobKey | None:
        """Return the key that the user channel's ``auth`` proves, which sends the secret itself."""
        held = self._by_key.get(key)
        if held is None:
            return None
        same = hmac.compare_digest(held.secret.encode(), secret.encode())
        known = hmac.compare_digest(held.passphrase.encode(), passphrase.encode())
        return held if same and known else None

    def _is_timely(self, timestamp: str, at_s: float) -> bool:
        if not timestamp.isdecimal() or len(timestamp) > 12:
            return False
        return abs(int(timestamp) - at_s) <= self._options.clock_window_s
