"""Configuration section ``venues.manifold``."""

from typing import ClassVar

from libs.venues.manifold.hosts import REST_URL, WEBSOCKET_URL
from libs.venues.params import Currency, DiscoveryParams, Hours, Id, Seconds, SocketUrl, Url
from proto.units import Money


class ManifoldParams(DiscoveryParams, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """Manifold (play money): hosts and which markets are followed.

    Attributes:
        rest_url: base of the REST interface, with its version.
        websocket_url: bets as they are made.
        markets: contracts followed always, by id.
        term: words searched for; markets found are followed too. Empty: none but ``markets``.
        volume_min: mana traded so far that a found market must have.
    """

    currency: ClassVar[Currency] = Currency.MANA

    enabled: bool = False
    rest_url: Url = REST_URL
    websocket_url: SocketUrl = WEBSOCKET_URL
    markets: tuple[Id, ...] = ()
    term: str = "bitcoin"
    volume_min: Money = 0
    hours_ahead: Hours = 168
    discovery_every_s: Seconds = 60
    silence_s: Seconds = 120
    book_lease_s: Seconds = 60
