"""What can be wrong with a venue's key.

::

    KeyStoreError
    ├── NoKey             there is none for this venue
    ├── BadKey            what is there, or was given, is no key of this venue
    ├── WrongPassphrase   it cannot be opened with this passphrase
    └── TooOpen           others than its owner may read the file
"""


class KeyStoreError(Exception):
    """Base of the errors of a key store; texts name files, never contents."""


class NoKey(KeyStoreError):
    """No key of this venue."""


class BadKey(KeyStoreError):
    """Not a key of this venue."""


class WrongPassphrase(KeyStoreError):
    """The passphrase does not open it."""


class TooOpen(KeyStoreError):
    """Readable by others than its owner."""
