"""Which token an instrument is, and what trading it takes: asked for once, kept, forgotten when a tick changed."""

from collections import OrderedDict

from msgspec import Struct

from libs.bounded import clip
from libs.venues.errors import BadAnswer, Refused
from libs.venues.frame import FrameError
from libs.venues.polymarket import POLYMARKET
from libs.venues.polymarket.market_data.market import outcome_name
from libs.venues.polymarket.schemas import answers as rest
from libs.venues.polymarket.schemas import gamma
from libs.venues.polymarket.trading.client import PolymarketClient
from libs.venues.polymarket.trading.request import Token
from proto.feed import FeeSchedule
from proto.units import ONE

MARKETS_MAX = 4_096
"""Markets kept; the one used longest ago goes first."""
SIZE_MIN = 5 * ONE
"""Smallest resting order where the market does not say. Source: docs/reference/venue-facts.md, Polymarket amounts."""


class TradedMarket(Struct, frozen=True):
    """One market as the gateway needs it: its tokens by outcome, and its fee."""

    condition: str
    market: str
    tokens: tuple[Token, ...]
    fees: FeeSchedule


class Directory:
    """Instruments and tokens of the markets that were asked about."""

    def __init__(self, client: PolymarketClient) -> None:
        self._client = client
        self._markets: OrderedDict[str, TradedMarket] = OrderedDict()
        self._by_token: dict[str, tuple[str, Token]] = {}

    def token(self, instrument: str) -> Token:
        """What is known of an instrument, without asking.

        Raises:
            Refused: ``unknown_market`` until ``load_market`` has been called for its market.
        """
        market = self._markets.get(condition_of(instrument))
        found = next((t for t in market.tokens if t.instrument == instrument), None) if market else None
        if found is None:
            raise Refused(
                POLYMARKET,
                f"expected an instrument of a known market, was {clip(instrument, 120)}",
                0,
                "unknown_market",
            )
        return found

    async def load_market(self, condition: str) -> TradedMarket:
        """A market by its condition id, asked for unless it is known.

        Raises:
            VenueError: when the venue does not say.
        """
        known = self._markets.get(condition)
        if known is not None:
            self._markets.move_to_end(condition)
            return known
        market = _read(condition, await self._client.short_market(condition))
        self._keep(market)
        return market

    async def of_token(self, token: str, condition: str = "") -> tuple[TradedMarket, Token]:
        """The market and outcome of a token; ``condition`` saves a question."""
        known = self._by_token.get(token)
        if known is not None and known[0] in self._markets:
            return self._markets[known[0]], known[1]
        market = await self.load_market(condition or await self._client.market_of_token(token))
        found = next((t for t in market.tokens if t.token == token), None)
        if found is None:
            raise BadAnswer(POLYMARKET, f"expected token {token[:12]}… among those of its market, was not")
        return market, found

    def forget(self, condition: str) -> None:
        """Ask anew next time: something about the market has changed."""
        market = self._markets.pop(condition, None)
        for token in market.tokens if market else ():
            self._by_token.pop(token.token, None)

    def _keep(self, market: TradedMarket) -> None:
        self._markets[market.condition] = market
        for token in market.tokens:
            self._by_token[token.token] = (market.condition, token)
        while len(self._markets) > MARKETS_MAX:
            self.forget(next(iter(self._markets)))


def condition_of(name: str) -> str:
    """The condition id in the name of an instrument or market; "" when it is not of this venue."""
    parts = name.split(":")
    return parts[1] if len(parts) in (2, 3) and parts[0] == POLYMARKET else ""


def _read(condition: str, body: rest.ShortMarket) -> TradedMarket:
    market = f"{POLYMARKET}:{condition}"
    try:
        names = [outcome_name(token.o) for token in body.t]
        fees = _fees(body.fd)
        tick = gamma.number(body.mts, "tick")
        size_min = gamma.number(body.mos, "minimum size") or SIZE_MIN
    except FrameError as e:
        raise BadAnswer(POLYMARKET, str(e)) from e
    if len(set(names)) != len(names) or len(names) < 2 or not 0 < tick < ONE:
        raise BadAnswer(POLYMARKET, clip(f"expected two outcomes and a tick, was {names!r} and {tick}", 200))
    tokens = tuple(
        Token(
            instrument=f"{market}:{name}",
            market=market,
            condition=condition,
            token=token.t,
            tick=tick,
            size_min=size_min,
            neg_risk=body.nr,
        )
        for name, token in zip(names, body.t, strict=True)
    )
    return TradedMarket(condition, market, tokens, fees)


def _fees(fees: rest.ShortFees | None) -> FeeSchedule:
    if fees is None:
        return FeeSchedule()
    schedule = gamma.GammaFees(rate=fees.r, exponent=fees.e, takerOnly=fees.to)
    return gamma.schedule_of(schedule)
