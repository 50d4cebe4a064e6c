"""Manifold's public REST interface: answers as frames for the normaliser."""

from libs.venues.frame import rest_frame
from libs.venues.manifold import MANIFOLD
from libs.venues.manifold.hosts import REST_URL
from libs.venues.manifold.limits import BURST, ORDERS_PER_S, READS_PER_S
from libs.venues.transport.http import VenueHttp
from libs.venues.transport.rate_limit import TokenBucket

PAGE_MAX = 1_000
"""Bets or markets of one answer, at most."""


def manifold_http(rest_url: str = REST_URL) -> VenueHttp:
    """The venue's interface with its limits: one bucket for reads, one for orders."""
    buckets = {"default": TokenBucket(READS_PER_S, BURST), "orders": TokenBucket(ORDERS_PER_S, BURST)}
    return VenueHttp(MANIFOLD, rest_url, buckets)


class ManifoldRest:
    """Questions to Manifold that need no key."""

    def __init__(self, rest_url: str = REST_URL, http: VenueHttp | None = None) -> None:
        self._http = http or manifold_http(rest_url)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def market(self, contract: str) -> bytes:
        """A market with its pool, as a frame."""
        return rest_frame("market", await self._get(f"/market/{contract}", {}))

    async def search(self, term: str, limit: int = 100, offset: int = 0) -> bytes:
        """Open binary markets found by words, as a frame."""
        query: dict[str, str | int] = {
            "term": term,
            "filter": "open",
            "contractType": "BINARY",
            "sort": "liquidity",
            "limit": min(limit, PAGE_MAX),
            "offset": offset,
        }
        return rest_frame("search-markets", await self._get("/search-markets", query))

    async def open_orders(self, contract: str) -> bytes:
        """A market's open limit orders, as a frame."""
        query: dict[str, str | int] = {"contractId": contract, "kinds": "open-limit", "limit": PAGE_MAX}
        return rest_frame("open-limit", await self._get("/bets", query), contractId=contract)

    async def bets(self, contract: str, limit: int = 100) -> bytes:
        """A market's newest bets, as a frame."""
        query: dict[str, str | int] = {"contractId": contract, "limit": min(limit, PAGE_MAX)}
        return rest_frame("bets", await self._get("/bets", query))

    async def _get(self, path: str, query: dict[str, str | int]) -> bytes:
        return (await self._http.request("GET", path, query=query, effect=False)).body
