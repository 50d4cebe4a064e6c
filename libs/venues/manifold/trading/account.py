"""One Manifold account's questions and commands: REST with a key, pages read to their end."""

import time
from collections.abc import Callable
from itertools import pairwise
from typing import TypeVar

import msgspec

from libs.bounded import clip
from libs.venues.errors import BadAnswer, OutcomeUnknown
from libs.venues.frame import DECODE_ERRORS, FrameError
from libs.venues.manifold import MANIFOLD
from libs.venues.manifold.market_data.rest import PAGE_MAX
from libs.venues.manifold.schemas.wire import Bet, Contract, Me, Position
from libs.venues.manifold.trading.auth import ManifoldCredentials
from libs.venues.odd_items import OddItems
from libs.venues.transport.http import VenueHttp

PAGES_MAX = 50
"""Pages of bets read at once: 50,000. An account with more is not reconciled, and says so."""

_Read = TypeVar("_Read")


class ManifoldAccount:
    """What the key's owner may ask and do.

    Every list is complete or raises ``BadAnswer``; rows that cannot be read are ``odd_items``.
    """

    def __init__(
        self,
        http: VenueHttp,
        credentials: ManifoldCredentials,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._http = http
        self._headers = credentials.headers()
        self.odd_items = OddItems(MANIFOLD)
        self.now_ms = now_ms

    async def me(self) -> Me:
        """Who the key belongs to, and its mana."""
        return await self._get("/me", {}, Me)

    async def contract(self, contract: str) -> Contract:
        """One market as it stands now."""
        return await self._get(f"/market/{contract}", {}, Contract)

    async def positions(self, contract: str, user: str) -> list[Position]:
        """What the user holds of one market."""
        rows = await self._get(f"/market/{contract}/positions", {"userId": user}, list[msgspec.Raw])
        found = self.odd_items.readable("position", rows, Position)
        return [position for position in found if position.userId in ("", user)]

    async def bets(
        self, user: str, since_ms: int, contract: str = "", left_out: list[str] | None = None
    ) -> list[Bet]:
        """All bets of the user made at or after ``since_ms``, newest first; see ``_pages``.

        Raises:
            BadAnswer: when they cannot be read to the end, or do not come newest first.
        """
        query = {"userId": user} | ({"contractId": contract} if contract else {})
        return await self._pages(query, since_ms, left_out)

    async def open_orders(self, user: str, left_out: list[str] | None = None) -> list[Bet]:
        """All limit orders of the user that rest."""
        return await self._pages({"userId": user, "kinds": "open-limit"}, 0, left_out)

    async def _pages(self, query: dict[str, str], since_ms: int, left_out: list[str] | None) -> list[Bet]:
        """Every page; bets that cannot be read are named in ``left_out``."""
        found: dict[str, Bet] = {}
        before = ""
        for _ in range(PAGES_MAX):
            asked: dict[str, str | int] = {
                **query,
                "limit": PAGE_MAX,
                **({"before": before} if before else {}),
            }
            rows = await self._get("/bets", asked, list[msgspec.Raw])
            page = self.odd_items.readable("bet", rows, Bet, left_out)
            if any(a.createdTime < b.createdTime for a, b in pairwise(page)):
                raise BadAnswer(MANIFOLD, "expected bets newest first, was another order")
            fresh = [bet for bet in page if bet.key not in found]
            found |= {bet.key: bet for bet in fresh}
            if len(rows) < PAGE_MAX or (page and page[-1].createdTime < since_ms):
                return [bet for bet in found.values() if bet.createdTime >= since_ms]
            if not fresh:
                raise BadAnswer(MANIFOLD, "expected another page of bets, was the same")
            before = page[-1].key
        raise BadAnswer(MANIFOLD, f"expected at most {PAGES_MAX} pages of bets, was more")

    async def place(self, body: bytes) -> Bet:
        """Send a bet, once."""
        answer = await self._http.request(
            "POST", "/bet", body=body, headers=self._headers, bucket="orders", effect=True
        )
        try:
            bet = msgspec.json.decode(answer.body, type=Bet)
        except DECODE_ERRORS as e:
            raise OutcomeUnknown(MANIFOLD, clip(f"expected a bet: {e}", 300)) from e
        if not bet.key:
            raise OutcomeUnknown(MANIFOLD, "expected the id of a bet, was none")
        return bet

    async def cancel(self, bet: str) -> None:
        """Ask for a limit order's end."""
        await self._http.request(
            "POST", f"/bet/cancel/{bet}", body=b"{}", headers=self._headers, bucket="orders", effect=True
        )

    async def _get(self, path: str, query: dict[str, str] | dict[str, str | int], kind: type[_Read]) -> _Read:
        asked: dict[str, str | int] = dict(query)
        answer = await self._http.request("GET", path, query=asked, headers=self._headers, effect=False)
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except (*DECODE_ERRORS, FrameError) as e:
            raise BadAnswer(MANIFOLD, clip(f"GET {path}: {e}", 300)) from e
