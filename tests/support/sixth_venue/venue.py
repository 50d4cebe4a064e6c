"""The smallest venue there can be: one pair, best prices from one socket."""

from libs.config.section import setting
from libs.venues.params import SocketUrl, Url, VenueParams
from libs.venues.venue import HealthCheck, SandboxEntries, Venue

SIXTH = "sixth"


class SixthParams(VenueParams):
    rest_url: Url = setting("https://api.sixth.example", "base of the REST interface")
    websocket_url: SocketUrl = setting("wss://ws.sixth.example", "best prices")


VENUE = Venue(
    name=SIXTH,
    params=SixthParams,
    normaliser="tests.support.sixth_venue.feed:build_normaliser",
    source="tests.support.sixth_venue.feed:build_source",
    health_check=HealthCheck("rest_url", "/time"),
    sandbox=SandboxEntries(
        "tests.support.sixth_venue.server:SixthServer", "tests.support.sixth_venue.server:ACTED_OUT"
    ),
)
