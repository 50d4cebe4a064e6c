"""Ethereum signing with nothing but what Polymarket needs: keccak, addresses, recoverable signatures.

The official clients go through a general typed-data encoder (about 3 ms an order); here every constant
part is hashed once, and one signature costs a few keccaks and one call into libsecp256k1.
"""

from coincurve import PrivateKey
from Crypto.Hash import keccak as _keccak

from libs.bounded import clip

ADDRESS_BYTES = 20
WORD = 32


def keccak(data: bytes) -> bytes:
    """Keccak-256, as Ethereum uses it (not SHA3-256)."""
    return _keccak.new(digest_bits=256, data=data).digest()


def word(number: int) -> bytes:
    """An unsigned number as one 32-byte word.

    Raises:
        OverflowError: for a negative number or one above 256 bits.
    """
    return number.to_bytes(WORD, "big")


def address_bytes(text: str) -> bytes:
    """The 20 bytes of ``0x…``, whatever the case of its letters.

    Raises:
        ValueError: for anything else.
    """
    digits = text[2:] if text[:2] in ("0x", "0X") else ""
    try:
        raw = bytes.fromhex(digits)
    except ValueError:
        raw = b""
    if len(raw) != ADDRESS_BYTES or len(digits) != 2 * ADDRESS_BYTES:
        raise ValueError(f"expected an address of 0x and 40 hexadecimal digits, was {clip(text, 50)!r}")
    return raw


def checksum_address(raw: bytes) -> str:
    """An address with the letter case that EIP-55 gives it, as venues and wallets write it."""
    digits = raw.hex()
    pattern = keccak(digits.encode()).hex()
    return "0x" + "".join(
        c.upper() if int(nibble, 16) >= 8 else c for c, nibble in zip(digits, pattern, strict=False)
    )


def domain_separator(name: str, version: str, chain_id: int, contract: bytes | None = None) -> bytes:
    """EIP-712 domain separator, with or without a verifying contract."""
    kinds = "string name,string version,uint256 chainId" + (",address verifyingContract" if contract else "")
    parts = [
        keccak(f"EIP712Domain({kinds})".encode()),
        keccak(name.encode()),
        keccak(version.encode()),
        word(chain_id),
    ]
    if contract:
        parts.append(contract.rjust(WORD, b"\0"))
    return keccak(b"".join(parts))


def typed_digest(separator: bytes, struct_hash: bytes) -> bytes:
    """What EIP-712 signs: the struct's hash under its domain."""
    return keccak(b"\x19\x01" + separator + struct_hash)


class Key:
    """A private key that signs digests. Its ``repr`` shows the address only."""

    __slots__ = ("_key", "address", "address_text")

    def __init__(self, private_key: bytes) -> None:
        if len(private_key) != WORD:
            raise ValueError(f"expected a private key of {WORD} bytes, was {len(private_key)}")
        self._key = PrivateKey(private_key)
        public = self._key.public_key.format(compressed=False)[1:]
        self.address = keccak(public)[-ADDRESS_BYTES:]
        self.address_text = checksum_address(self.address)

    def __repr__(self) -> str:
        return f"Key({self.address_text})"

    def sign(self, digest: bytes) -> bytes:
        """65 bytes: r, s, and 27 or 28. Deterministic (RFC 6979), low s."""
        signature = self._key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes((signature[64] + 27,))


def recover(digest: bytes, signature: bytes) -> bytes:
    """The address whose key made the signature.

    Raises:
        ValueError: for anything that is not a recoverable signature of 65 bytes.
    """
    from coincurve import PublicKey  # only verifiers need it

    if len(signature) != 65 or signature[64] not in (0, 1, 27, 28):
        raise ValueError(
            f"expected a signature of 65 bytes that ends in 27 or 28, was {len(signature)} bytes"
        )
    recovery = signature[64] - 27 if signature[64] >= 27 else signature[64]
    try:
        key = PublicKey.from_signature_and_message(signature[:64] + bytes((recovery,)), digest, hasher=None)
    except Exception as e:  # the library raises bare Exception for a point that is not on the curve
        raise ValueError("expected a signature that recovers to a key, was none") from e
    return keccak(key.format(compressed=False)[1:])[-ADDRESS_BYTES:]
