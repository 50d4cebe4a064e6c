"""The feed's own keys: read-only ones for market data, never those that trade.

Kalshi signs even the handshake of its market-data websocket. The key for that is made for the feed alone and
kept apart: ``presage keys add kalshi --market-data``, which stores it in ``STATE/keys/feed/``, or mounted by the
platform as ``PRESAGE_KEYS_DIR/feed/kalshi.pem`` and ``kalshi.id``. Trading keys exist only in execution.
"""

from pathlib import Path

from libs.config.environment import Environment
from libs.keys.venues.errors import BadKey
from libs.keys.venues.kinds import RsaKey
from libs.keys.venues.passphrase import inherited
from libs.keys.venues.store import KeyStore
from libs.venues.kalshi.auth import KalshiCredentials, Signer


def kalshi_signer(feed_keys: Path) -> Signer:
    """The signer of the feed's Kalshi key. A plain PEM in ``feed_keys`` needs no passphrase.

    Raises:
        KeyStoreError: there is none, or it cannot be opened; free of secrets, with what to do.
    """
    mounted = (Environment.read().keys_dir or feed_keys) / "feed"
    if (mounted / "kalshi.pem").exists():
        key = KeyStore(feed_keys, mounted).load("kalshi", RsaKey)
    else:
        try:
            key = KeyStore(feed_keys, feed_keys).load("kalshi", RsaKey)
        except BadKey:
            # Encrypted, as `presage keys` stores it.
            key = KeyStore(feed_keys, mounted).load("kalshi", RsaKey, inherited())
    return Signer(KalshiCredentials(key.key_id, key.private_key_pem))
