"""The feed's own keys: read-only ones for market data, never those that trade.

A venue that signs even market data (``Venue.signs_market_data``) gets a key that is made for the feed alone and kept
apart: ``presage keys add VENUE --market-data``, which stores it in ``STATE/keys/feed/``, or mounted by the platform in
``PRESAGE_KEYS_DIR/feed/``. Trading keys exist only in execution.
"""

from pathlib import Path

from libs.config.environment import Environment
from libs.keys.venues.errors import BadKey
from libs.keys.venues.kinds import Key
from libs.keys.venues.passphrase import inherited
from libs.keys.venues.store import KeyStore
from libs.venues.catalogue import key_kinds


def load_feed_key(venue: str, feed_keys: Path) -> Key:
    """The feed's key of a venue. A plain file in ``feed_keys`` needs no passphrase.

    Raises:
        KeyStoreError: there is none, or it cannot be opened; free of secrets, with what to do.
    """
    kinds = key_kinds()
    mounted = KeyStore(feed_keys, kinds, (Environment.read().keys_dir or feed_keys) / "feed")
    if mounted.venues().get(venue) == "mounted":
        return mounted.load(venue)
    try:
        return KeyStore(feed_keys, kinds, feed_keys).load(venue)
    except BadKey:
        # Encrypted, as `presage keys` stores it.
        return mounted.load(venue, inherited())
