"""What the configuration sections of all venues have in common; each venue's own model adds to it.

A section is ``venues.<name>``, its file ``config/venues/<name>.yaml``. It never holds a secret: keys are files
(see ``libs/keys``).
"""

from typing import Annotated

from libs.config.section import Section, setting, text, whole

Url = Annotated[
    str,
    text(
        r"^https?://[^\s@]+[^\s@/]$",
        "an address https://… without user, password and a slash at its end",
        length_max=200,
    ),
]
"""Base address of a REST interface, without a slash at its end and without user and password."""
SocketUrl = Annotated[
    str, text(r"^wss?://[^\s@]+$", "an address wss://… without user and password", length_max=200)
]
AnySocketUrl = Annotated[
    str,
    text(r"^(wss?://[^\s@]+)?$", "an address wss://… without user and password, or nothing", length_max=200),
]
"""A websocket, or "" for none."""
Seconds = Annotated[int, whole(1, 7 * 86_400)]
Hours = Annotated[int, whole(1, 24 * 366)]
Count = Annotated[int, whole(1, 10_000)]
Id = Annotated[str, text(r"^[A-Za-z0-9_.-]{1,100}$", "a name of letters, digits, '.', '_' and '-'")]
"""A venue's own name for something: it ends up in addresses and commands, so it is plain."""


class VenueParams(Section):
    """Market data of one venue."""

    enabled: bool = setting(True, "whether the feed connects to it at all")
    silence_max_s: Seconds = setting(
        30,
        "a socket that delivers no data for so long is closed and opened anew, answered pings or not",
        former="silence_s",
    )
    connection_max_s: Seconds = setting(
        82_800, "a connection is replaced after so long, before the venue ends it"
    )
    book_lease_s: Seconds = setting(30, "a book without proof of continuity for so long is not traded on")
    lease_failures_max_count: Count = setting(
        3,
        "after so many vain attempts to heal a stale book the connection is replaced",
        former="lease_failures_count",
    )


class DiscoveryParams(VenueParams):
    """A venue whose markets come and go: how they are found."""

    discovery_interval_s: Seconds = setting(
        20, "how often the venue is asked for markets", former="discovery_every_s"
    )
    discovery_pages_max_count: Count = setting(
        3, "pages read each time; what is on later ones is not found", former="discovery_pages_max"
    )
    markets_max_count: Count = setting(
        40, "markets followed at once; those that end first come first", former="markets_max"
    )
    time_to_close_max_hours: Hours = setting(
        24, "only markets that end within so many hours", former="hours_ahead"
    )
