"""Configuration section ``venues.manifold``."""

from libs.config.section import another_default, setting
from libs.venues.manifold.hosts import REST_URL, WEBSOCKET_URL
from libs.venues.params import DiscoveryParams, Hours, Id, Seconds, SocketUrl, Url
from proto.units import Money


class ManifoldParams(DiscoveryParams):
    """Manifold (play money): hosts and which markets are followed."""

    enabled: bool = another_default(DiscoveryParams, "enabled", False)
    rest_url: Url = setting(REST_URL, "base of the REST interface, with its version")
    websocket_url: SocketUrl = setting(WEBSOCKET_URL, "bets as they are made")
    markets: tuple[Id, ...] = setting((), "contracts followed always, by id")
    term: str = setting(
        "bitcoin", "words searched for; markets found are followed too. Empty: none but `markets`"
    )
    volume_min: Money = setting(0, "mana traded so far that a found market must have")
    time_to_close_max_hours: Hours = another_default(DiscoveryParams, "time_to_close_max_hours", 168)
    discovery_interval_s: Seconds = another_default(DiscoveryParams, "discovery_interval_s", 60)
    silence_max_s: Seconds = another_default(DiscoveryParams, "silence_max_s", 120)
    book_lease_s: Seconds = another_default(DiscoveryParams, "book_lease_s", 60)
