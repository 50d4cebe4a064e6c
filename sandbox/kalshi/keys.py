"""The sandbox's RSA key: made from the seed, so that the same seed accepts the same key for ever."""

import random
from functools import lru_cache
from typing import NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.world.ids import digest

PRIME_BITS = 1024
EXPONENT = 65_537
ROUNDS = 6
"""Of Miller-Rabin; for random candidates of this size two are ample."""
_SMALL = [n for n in range(3, 2_000, 2) if all(n % d for d in range(3, int(n**0.5) + 1, 2))]


class TestKey(NamedTuple):
    """A key of the sandbox, worth nothing elsewhere."""

    key_id: str
    private_key_pem: str
    public_key: rsa.RSAPublicKey


@lru_cache(maxsize=8)
def key_of(seed: int, name: str) -> TestKey:
    """Return the key of an account; about half a second the first time."""
    draw = random.Random(f"presage-sandbox/{seed}/kalshi/{name}")
    p, q = _prime(draw), _prime(draw)
    d = pow(EXPONENT, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p=p,
        q=q,
        d=d,
        dmp1=d % (p - 1),
        dmq1=d % (q - 1),
        iqmp=pow(q, -1, p),
        public_numbers=rsa.RSAPublicNumbers(EXPONENT, p * q),
    )
    key = numbers.private_key()
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    text = digest(seed, "kalshi", name).hex()
    key_id = f"{text[:8]}-{text[8:12]}-4{text[13:16]}-8{text[17:20]}-{text[20:32]}"
    return TestKey(key_id, pem.decode(), key.public_key())


def _prime(draw: random.Random) -> int:
    while True:
        # The two highest bits, so that the product of two has full length.
        candidate = draw.getrandbits(PRIME_BITS) | 3 << PRIME_BITS - 2 | 1
        if all(candidate % small for small in _SMALL) and _is_prime(candidate, draw):
            return candidate


def _is_prime(candidate: int, draw: random.Random) -> bool:
    if candidate % EXPONENT == 1:
        return False
    odd, twos = candidate - 1, 0
    while odd % 2 == 0:
        odd //= 2
        twos += 1
    for _ in range(ROUNDS):
        x = pow(draw.randrange(2, candidate - 1), odd, candidate)
        if x in (1, candidate - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % candidate
            if x == candidate - 1:
                break
        else:
            return False
    return True
