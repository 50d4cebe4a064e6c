"""Which kinds of key there are, without loading what reads them."""

from enum import StrEnum


class KeyKind(StrEnum):
    """The form of a venue's key; ``libs/keys/venues/kinds.py`` has a class for each."""

    ETHEREUM = "ethereum"
    """The private key of a signer."""
    RSA = "rsa"
    """An id and a private key in PEM."""
    API = "api"
    """A single secret word."""
