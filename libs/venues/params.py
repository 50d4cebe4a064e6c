"""What the configuration sections of all venues have in common; each venue's own struct adds to it.

A section is ``venues.<name>``, its file ``config/venues/<name>.yaml``. It never holds a secret: keys are files
(see ``libs/keys``).
"""

from enum import StrEnum
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

_URL_FORM = {"form": "an address https://… without user, password and a slash at its end"}
_SOCKET_FORM = {"form": "an address wss://… without user and password"}
_ANY_SOCKET_FORM = {"form": "an address wss://… without user and password, or nothing"}
_ID_FORM = {"form": "a name of letters, digits, '.', '_' and '-'"}

Url = Annotated[str, Meta(pattern=r"^https?://[^\s@]+[^\s@/]\Z", max_length=200, extra=_URL_FORM)]
"""Base address of a REST interface, without a slash at its end and without user and password."""
SocketUrl = Annotated[str, Meta(pattern=r"^wss?://[^\s@]+\Z", max_length=200, extra=_SOCKET_FORM)]
AnySocketUrl = Annotated[str, Meta(pattern=r"^(wss?://[^\s@]+)?\Z", max_length=200, extra=_ANY_SOCKET_FORM)]
"""A websocket, or "" for none."""
Seconds = Annotated[int, Meta(ge=1, le=7 * 86_400)]
Hours = Annotated[int, Meta(ge=1, le=24 * 366)]
Count = Annotated[int, Meta(ge=1, le=10_000)]
Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,100}\Z", extra=_ID_FORM)]
"""A venue's own name for something: it ends up in addresses and commands, so it is plain."""


class Currency(StrEnum):
    """What a venue's money is: what is added up together must be the same."""

    DOLLARS = "dollars"
    """Also Polymarket's, a token that is changed for a dollar."""
    MANA = "mana"
    """Play money."""


class VenueParams(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """Market data of one venue.

    Attributes:
        enabled: whether the feed connects to it at all.
        silence_s: a socket that delivers no data for so long is closed and opened anew, answered pings or not.
        connection_max_s: a connection is replaced after so long, before the venue ends it.
        book_lease_s: a book without proof of continuity for so long is not traded on.
        lease_failures_count: after so many vain attempts to heal a stale book the connection is replaced.

    ``currency`` is the venue's nature and no setting.
    """

    currency: ClassVar[Currency] = Currency.DOLLARS
    enabled: bool = True
    silence_s: Seconds = 30
    connection_max_s: Seconds = 82_800
    book_lease_s: Seconds = 30
    lease_failures_count: Count = 3


class DiscoveryParams(VenueParams, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """A venue whose markets come and go: how they are found.

    Attributes:
        discovery_every_s: how often the venue is asked for markets.
        discovery_pages_max: pages read each time; what is on later ones is not found.
        markets_max: markets followed at once; those that end first come first.
        hours_ahead: only markets that end within so many hours.
    """

    discovery_every_s: Seconds = 20
    discovery_pages_max: Count = 3
    markets_max: Count = 40
    hours_ahead: Hours = 24
