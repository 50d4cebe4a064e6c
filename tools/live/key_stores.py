"""The two stores of venue keys in a state directory: those that trade, and the feed's own."""

from pathlib import Path

from libs.config.environment import Environment
from libs.keys.venues.kinds import Key
from libs.keys.venues.store import KeyStore
from libs.runtime.layout import StateLayout
from libs.venues.catalogue import key_kinds


def save_key(state: Path, venue: str, key: Key, passphrase: str, market_data: bool = False) -> Path:
    """Store a key, in folders that are the owner's alone; the file it is in.

    Raises:
        BadKey: as ``KeyStore.save``.
    """
    keys = StateLayout(state).keys
    keys.mkdir(parents=True, exist_ok=True)
    keys.chmod(0o700)
    return store_of(state, market_data).save(venue, key, passphrase)


def store_of(state: Path, market_data: bool = False) -> KeyStore:
    """The trading keys of a state directory, or the feed's (mounted ones in a folder ``feed`` of their own)."""
    layout = StateLayout(state)
    if not market_data:
        return KeyStore(layout.venue_keys, key_kinds())
    mounted = Environment.read().keys_dir
    return KeyStore(layout.feed_keys, key_kinds(), mounted / "feed" if mounted else None)
