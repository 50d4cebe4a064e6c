"""What a venue is to the rest of the system: one object each, ``VENUE`` in ``libs/venues/<venue>/venue.py``.

Parts that live above ``libs``, or that load what not every process needs, are named by entry strings
(``"services.feed.live.kalshi:build_source"``) and loaded where they are used, see ``libs/venues/entry.py``.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from libs.keys.venues.kind import KeyKind
from libs.venues.fees import FREE, FeeFormula
from libs.venues.params import VenueParams


class Currency(StrEnum):
    """What a venue's money is: what is added up together must be the same."""

    DOLLARS = "dollars"
    """Also Polymarket's, a token that is changed for a dollar."""
    MANA = "mana"
    """Play money."""


class HealthCheck(NamedTuple):
    """A cheap read that the venue answers to everybody: the parameter that has its address, and the path."""

    address: str
    path: str


class SandboxEntries(NamedTuple):
    """Entries of a venue's part of the sandbox.

    The server's class, the kinds of fault the server acts out, and the markets ("" where it only gives prices).
    """

    server: str
    faults: str
    markets: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue:
    """One venue.

    Attributes:
        name: how it is called on the tape, in files and in commands.
        params: its section of the configuration.
        normaliser: entry of ``(section) -> Normaliser``; an empty section reads a recording.
        source: entry of ``(section, FeedContext) -> LiveSource``.
        health_check: what ``presage doctor`` asks it.
        currency: its money.
        fees: how it computes the fee of a fill.
        gateway: entry of ``(section, key) -> VenueGateway``; "" where nothing can be traded.
        key: the kind of key it takes; ``None`` where nothing can be traded.
        signs_market_data: whether the feed needs a key of its own.
        real_hosts: hosts of its real markets besides those that ``params`` names by default. Other hosts at the
            same domain may be a staging environment.
        sandbox: its part of the sandbox; ``None`` where it has none.
    """

    name: str
    params: type[VenueParams]
    normaliser: str
    source: str
    health_check: HealthCheck
    currency: Currency = Currency.DOLLARS
    fees: FeeFormula = FREE
    gateway: str = ""
    key: KeyKind | None = None
    signs_market_data: bool = False
    real_hosts: tuple[str, ...] = ()
    sandbox: SandboxEntries | None = None

    def __post_init__(self) -> None:
        if bool(self.gateway) != (self.key is not None):
            raise ValueError(
                f"expected a gateway and a kind of key, or neither, was one of them at {self.name}"
            )

    @property
    def takes_orders(self) -> bool:
        """Whether orders can be sent there; the others only give prices."""
        return bool(self.gateway)
