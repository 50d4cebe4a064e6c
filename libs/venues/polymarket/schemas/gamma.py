"""Gamma's markets and events: fields that hold JSON in strings, times in two spellings, fees, results.

Nothing here trusts an optional field to be there. Source: docs/reference/venue-facts.md, Polymarket markets.
"""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from libs.bounded import clip
from libs.venues.frame import DECODE_ERRORS, FrameError
from libs.venues.polymarket.fees import FRACTIONAL_MODEL, MODEL
from proto.feed import EXPONENT_MAX, TAKER_DELAY_MS_MAX, Answer, FeeSchedule
from proto.units import ONE, UnitError, parse

OUTCOMES_MAX = 16
"""Markets have two; a bound for what a body may claim."""

Raw = msgspec.Raw
_Text = Annotated[str, Meta(max_length=4_000)]


class GammaFees(Struct, gc=False):
    """The market's own fee: numbers are kept as their JSON text, to be read exactly."""

    rate: Raw = Raw(b"0")
    exponent: Raw = Raw(b"1")
    takerOnly: bool = True  # noqa: N815 - the venue's names


class GammaConfig(Struct, gc=False):
    """What an up-or-down market says of its settlement."""

    twapEnabled: bool = False  # noqa: N815


class GammaParent(Struct, gc=False):
    """The event a market belongs to, as far as it is used."""

    id: str = ""
    slug: str = ""


class GammaMarket(Struct, gc=False):
    """One market as Gamma gives it. Strings in ``outcomes``, ``outcomePrices``, ``clobTokenIds`` are JSON."""

    conditionId: Annotated[str, Meta(pattern=r"^0x[0-9a-fA-F]{1,64}\Z")]  # noqa: N815
    question: _Text | None = None
    slug: Annotated[str, Meta(max_length=400)] | None = None
    outcomes: str | list[str] | None = None
    outcomePrices: str | list[str] | None = None  # noqa: N815
    clobTokenIds: str | list[str] | None = None  # noqa: N815
    positionIds: str | list[str] | None = None  # noqa: N815
    version: str | None = None
    active: bool | None = None
    closed: bool | None = None
    archived: bool | None = None
    acceptingOrders: bool | None = None  # noqa: N815
    enableOrderBook: bool | None = None  # noqa: N815
    negRisk: bool | None = None  # noqa: N815
    negRiskMarketID: str | None = None  # noqa: N815
    negRiskOther: bool | None = None  # noqa: N815
    orderPriceMinTickSize: Raw = Raw()  # noqa: N815
    orderMinSize: Raw = Raw()  # noqa: N815
    startDate: str | None = None  # noqa: N815
    eventStartTime: str | None = None  # noqa: N815
    endDate: str | None = None  # noqa: N815
    closedTime: str | None = None  # noqa: N815
    gameStartTime: str | None = None  # noqa: N815
    clearBookOnStart: bool | None = None  # noqa: N815
    secondsDelay: Raw = Raw()  # noqa: N815
    umaResolutionStatus: str | None = None  # noqa: N815
    feesEnabled: bool | None = None  # noqa: N815
    feeSchedule: GammaFees | None = None  # noqa: N815
    cryptoMarketConfig: GammaConfig | None = None  # noqa: N815
    events: list[GammaParent] = []


class GammaEvent(Struct, gc=False):
    """One event with its markets."""

    id: str = ""
    slug: str = ""
    negRisk: bool | None = None  # noqa: N815
    negRiskMarketID: str | None = None  # noqa: N815
    markets: list[Raw] = []


_market: msgspec.json.Decoder[GammaMarket] = msgspec.json.Decoder(GammaMarket)
_event: msgspec.json.Decoder[GammaEvent] = msgspec.json.Decoder(GammaEvent)


class _Named(Struct, gc=False):
    conditionId: str | None = None  # noqa: N815
    id: str | None = None


_named: msgspec.json.Decoder[_Named] = msgspec.json.Decoder(_Named)


def name_of(raw: Raw) -> str:
    """What names a market or event that cannot be read; "" for nothing."""
    try:
        named = _named.decode(raw)
    except DECODE_ERRORS:
        return ""
    return named.conditionId or named.id or ""


def read_market(raw: Raw) -> GammaMarket:
    """One market of a page.

    Raises:
        FrameError: for anything else.
    """
    try:
        return _market.decode(raw)
    except DECODE_ERRORS as e:
        raise FrameError(clip(f"expected a Gamma market: {e}", 200)) from e


def read_event(raw: Raw) -> GammaEvent:
    """One event of a page; its markets are still to be read.

    Raises:
        FrameError: for anything else.
    """
    try:
        return _event.decode(raw)
    except DECODE_ERRORS as e:
        raise FrameError(clip(f"expected a Gamma event: {e}", 200)) from e


_strings: msgspec.json.Decoder[list[str]] = msgspec.json.Decoder(list[str])


def strings(value: str | list[str] | None, what: str) -> list[str]:
    """A list that Gamma wrote as JSON in a string, or as itself; empty for none.

    Raises:
        FrameError: for anything else.
    """
    if value is None or value == "":
        return []
    if isinstance(value, str):
        try:
            value = _strings.decode(value)
        except DECODE_ERRORS as e:
            raise FrameError(clip(f"expected a list of strings as {what}: {e}", 200)) from e
    if len(value) > OUTCOMES_MAX:
        raise FrameError(f"expected at most {OUTCOMES_MAX} {what}, was {len(value)}")
    return value


def nanoseconds(text: str | None) -> int:
    """A moment in nanoseconds; 0 for none. Both ``2026-07-24T00:00:00.5Z`` and ``2026-07-24 00:00:16+00``.

    Raises:
        FrameError: for anything else.
    """
    if not text:
        return 0
    try:
        moment = datetime.fromisoformat(text)
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as e:
        raise FrameError(f"expected a time, was {clip(text, 40)!r}") from e
    if not 0 <= seconds < 2**33:
        raise FrameError(f"expected a time between 1970 and 2242, was {clip(text, 40)!r}")
    return int(seconds * 1_000_000) * 1_000


def text_of(raw: Raw) -> str:
    """A number's own digits, from a JSON number or string; "" for none."""
    text = bytes(raw).decode("utf-8", "replace").strip().strip('"')
    return "" if text == "null" else text


def number(raw: Raw, what: str) -> int:
    """A number in millionths; 0 for none.

    Raises:
        FrameError: for one that does not fit the grid of one millionth.
    """
    text = text_of(raw)
    if not text:
        return 0
    try:
        return parse(text)
    except UnitError as e:
        raise FrameError(f"{what}: {e}") from e


def taker_delay_ms(market: GammaMarket) -> int:
    """How long the venue holds back an order that trades at once; more than we can tell is the most we can.

    Raises:
        FrameError: for a delay that is no number of at least 0.
    """
    delay = number(market.secondsDelay, "delay")
    if delay < 0:
        raise FrameError(f"expected a delay of at least 0, was {clip(text_of(market.secondsDelay), 40)}")
    return min(TAKER_DELAY_MS_MAX, delay * 1_000 // ONE)


def answer_of(market: GammaMarket) -> Answer:
    """What the oracle says while the market is not closed. A question that is asked anew has no status again.

    A word that we do not know says something of the result as well: it is taken for a proposal.
    """
    if market.closed or not market.umaResolutionStatus:
        return Answer.NONE
    return Answer.DISPUTED if market.umaResolutionStatus == "disputed" else Answer.PROPOSED


def fees_of(market: GammaMarket) -> FeeSchedule:
    """Read the market's fee: none, Polymarket's formula, or one that is not computed.

    Raises:
        FrameError: for a rate that is no amount from 0 to 1.
    """
    schedule = market.feeSchedule
    if schedule is None:
        # Fees without their formula are unknown, not free.
        return FeeSchedule(model=FRACTIONAL_MODEL) if market.feesEnabled else FeeSchedule()
    return schedule_of(schedule) if market.feesEnabled is not False else FeeSchedule()


def schedule_of(schedule: GammaFees) -> FeeSchedule:
    """A fee's formula in our words.

    Raises:
        FrameError: for a rate that is no amount from 0 to 1.
    """
    rate, exponent = number(schedule.rate, "fee rate"), number(schedule.exponent, "fee exponent")
    if not 0 <= rate <= ONE:
        raise FrameError(f"expected a fee rate from 0 to 1, was {clip(text_of(schedule.rate), 40)}")
    if rate == 0:
        return FeeSchedule()
    if exponent % ONE or not 0 <= exponent <= EXPONENT_MAX * ONE:
        return FeeSchedule(model=FRACTIONAL_MODEL, taker_rate=rate)
    maker_rate = 0 if schedule.takerOnly else rate
    return FeeSchedule(model=MODEL, taker_rate=rate, maker_rate=maker_rate, exponent=exponent // ONE)


VOID = "void"
"""Result of a market whose outcomes share the payout; it names none of them."""


def result_of(market: GammaMarket, outcomes: list[str]) -> str:
    """The outcome that won, ``void`` when they share, "" while nobody says.

    Only a closed market has a result, and only exact prices are one: 0 and 0 is an old market's nothing.

    Raises:
        FrameError: for prices that are no list of strings.
    """
    prices = strings(market.outcomePrices, "outcome prices")
    if not market.closed or len(prices) != len(outcomes) or len(prices) < 2:
        return ""
    try:
        values = [parse(price) for price in prices]
    except UnitError:
        return ""
    if sum(values) == ONE and sorted(values)[-1] == ONE:
        return outcomes[values.index(ONE)]
    if len(values) == 2 and values[0] == values[1] == ONE // 2:
        return VOID
    return ""
