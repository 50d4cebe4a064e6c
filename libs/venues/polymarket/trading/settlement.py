"""What resolved markets paid: redemptions, and positions that lost."""

import time
from collections.abc import Collection

from msgspec import structs

from libs.bounded import keep_newest
from libs.venues.errors import BadAnswer
from libs.venues.gateway import SettlementReport
from libs.venues.polymarket.schemas.answers import MarketResult, Position, amount
from libs.venues.polymarket.trading.client import POSITIONS_MAX, PolymarketClient
from libs.venues.polymarket.trading.directory import Directory
from proto.units import ONE, SECOND

PAID_MAX = 1_000
"""Resolved markets kept: each is requested once, and reported until our books have it."""


class Payouts:
    """Payouts of one account, market by market."""

    def __init__(self, client: PolymarketClient, directory: Directory) -> None:
        self._client = client
        self._directory = directory
        self._paid: dict[str, list[SettlementReport]] = {}

    async def since(self, since: int, held: Collection[str] | None = None) -> list[SettlementReport]:
        """Payouts since then: winnings that were redeemed, and what lost and is worth nothing.

        What lost is over at once; the winnings beside it are not money before they were redeemed. ``held``:
        the conditions to ask about. What lost stays in the wallet for ever, and each would be a question.
        """
        at: dict[str, int] = {}
        for line in await self._client.redemptions(since // SECOND):
            if held is None or line.conditionId in held:
                at.setdefault(line.conditionId, line.timestamp * SECOND)
        reports = [
            report
            for condition, paid_at in at.items()
            for report in await self._of(condition, paid_at, is_paid=True)
        ]
        now = time.time_ns()
        for condition in await self._lost(held):
            if condition in at:
                continue
            reports += [report for report in await self._of(condition, now) if not report.price]
        return sorted(reports, key=lambda report: (report.at, report.instrument))

    async def _lost(self, held: Collection[str] | None) -> list[str]:
        """Conditions of which something may be worth nothing: the wallet's, as far as they are held."""
        rows = await self._client.positions()
        found = dict.fromkeys(row.conditionId for row in rows if row.redeemable and self._is_worthless(row))
        if held is None:
            return list(found)
        if len(rows) >= POSITIONS_MAX:
            # What lost may be past the end of the list, where nothing is worth anything.
            listed = {row.conditionId for row in rows}
            found |= dict.fromkeys(condition for condition in held if condition not in listed)
        return [condition for condition in found if condition in held]

    def _is_worthless(self, row: Position) -> bool:
        try:
            return row.is_worthless
        except BadAnswer as e:
            self._client.odd_items.record("position", row.conditionId, str(e))
            return False

    async def _of(self, condition: str, at: int, *, is_paid: bool = False) -> list[SettlementReport]:
        """What each outcome of a resolved market pays; ``is_paid``: money came for it."""
        known = self._paid.get(condition)
        if known is not None:
            return [structs.replace(report, at=at) for report in known]
        result = await self._client.result(condition)
        winners = [token.token_id for token in result.tokens if token.winner]
        # Nothing that the venue documents names the flag. Prices of a half are no result by themselves either.
        void = result.is_50_50_outcome or (is_paid and not winners and _are_halves(result))
        if not result.closed or (len(winners) != 1 and not void):
            return []
        market = await self._directory.load_market(condition)
        share = ONE // len(market.tokens)
        reports = [
            SettlementReport(
                market=market.market,
                instrument=token.instrument,
                price=share if void else ONE if token.token in winners else 0,
                at=at,
            )
            for token in market.tokens
        ]
        self._paid[condition] = reports
        keep_newest(self._paid, PAID_MAX)
        return reports


def _are_halves(result: MarketResult) -> bool:
    """Whether both outcomes are worth a half."""
    prices = [amount(token.price, "price") for token in result.tokens]
    return prices == [ONE // 2, ONE // 2]
