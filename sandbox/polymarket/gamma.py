"""Bodies of Gamma: markets and events as the site lists them.

Amounts are JSON numbers here, lists are JSON inside strings, and a market is ``closed`` only once resolved.
Source: docs/reference/venue-facts.md, Polymarket markets.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from proto.feed import MarketStatus
from proto.units import ONE, SECOND, show
from sandbox.world.ids import digest
from sandbox.world.markets import MarketKind, SandboxMarket

MINIMUM_SIZE = 5 * ONE
"""Smallest order, in shares."""
CRYPTO_RATE = 70_000
"""Taker fee rate of crypto markets, in millionths (docs/reference/venue-facts.md, Polymarket fees)."""
FEE_EXPONENT = 1
REBATE_SHARE = 200_000
BASE_FEE = 1000
"""The rate in /fee-rate and the old fields; not the rate that is charged."""
SOURCE_URL = "https://data.chain.link/streams/btc-usd"
RESOLVER = "0x69c47De9D4D3Dad79590d61b9e05918E03775f24"
TAGS = (
    ("1", "Crypto", "crypto"),
    ("235", "Bitcoin", "bitcoin"),
    ("102127", "Up or Down", "up-or-down"),
    ("101757", "Recurring", "recurring"),
)
"""Ids, labels and slugs of the tags that the markets of the sandbox carry."""


def iso(at_ns: int) -> str:
    """Write ``2026-07-24T00:00:00Z``, with microseconds when there are some."""
    moment = datetime.fromtimestamp(at_ns // SECOND, UTC).replace(microsecond=at_ns % SECOND // 1000)
    return moment.isoformat().replace("+00:00", "Z")


def postgres_time(at_ns: int) -> str:
    """Write ``2026-07-24 00:00:16+00``."""
    return f"{datetime.fromtimestamp(at_ns // SECOND, UTC):%Y-%m-%d %H:%M:%S}+00"


def amount(value: int) -> int | float:
    """Return millionths as the JSON number that shows the same digits."""
    text = show(value)
    return float(text) if "." in text else int(text)


def outcome_word(market: SandboxMarket, outcome: int) -> str:
    """Return ``Up``, ``Down``, ``Yes`` or ``No``."""
    return market.outcomes[outcome].capitalize()


def question_id(market: SandboxMarket) -> str:
    """Return the oracle's name of the question."""
    return "0x" + digest(market.number, market.slug, "question").hex()


def event_number(event_id: str) -> str:
    """Return Gamma's id of an event."""
    return str(100_000 + int.from_bytes(digest(0, event_id, "event")[:4]) % 800_000)


def negative_risk_id(event_id: str) -> str:
    """Return what ties the markets of a neg-risk event together."""
    return "0x" + digest(0, event_id, "negative-risk").hex()[:62] + "00"


def has_fees(market: SandboxMarket) -> bool:
    """Whether a market charges takers: crypto windows do, questions decided by the oracle do not."""
    return market.kind is MarketKind.UPDOWN


def resolved(market: SandboxMarket) -> bool:
    """Whether the outcome is final."""
    return market.status is MarketStatus.SETTLED


def oracle_status(market: SandboxMarket) -> str:
    """Return ``umaResolutionStatus``: "" until something is proposed."""
    if resolved(market):
        return "resolved"
    if market.status is MarketStatus.DISPUTED:
        return "disputed"
    return "proposed" if market.status is MarketStatus.DETERMINED else ""


def outcome_prices(market: SandboxMarket) -> tuple[int, int]:
    """Return what the site shows: the payouts once resolved, else the middle of the book."""
    if resolved(market):
        return market.payout(0), market.payout(1)
    bid, ask = market.book.best(0)
    if bid is None or ask is None:
        middle = market.last_price if market.last_price is not None else ONE // 2
    else:
        middle = (bid + ask) // 2
    return middle, ONE - middle


def _prices(market: SandboxMarket) -> dict[str, object]:
    bid, ask = market.book.best(0)
    low, high = bid or 0, ONE if ask is None else ask
    return {
        "bestBid": amount(low),
        "bestAsk": amount(high),
        "spread": amount(high - low),
        "lastTradePrice": amount(market.last_price or 0),
        "oneHourPriceChange": 0,
        "oneDayPriceChange": 0,
    }


def _volumes(market: SandboxMarket) -> dict[str, object]:
    volume = amount(market.volume)
    return {
        "volume": show(market.volume),
        "volumeNum": volume,
        "volumeClob": volume,
        "volume24hr": volume,
        "volume24hrClob": volume,
        "volume1wk": volume,
        "volume1wkClob": volume,
        "volume1mo": volume,
        "volume1moClob": volume,
        "volume1yr": volume,
        "volume1yrClob": volume,
        "liquidity": "0",
        "liquidityNum": 0,
        "liquidityClob": 0,
        "liquidityAmm": 0,
    }


def _fees(market: SandboxMarket) -> dict[str, object]:
    if not has_fees(market):
        return {"feesEnabled": False, "feeType": None, "makerBaseFee": 0, "takerBaseFee": 0}
    return {
        "feesEnabled": True,
        "feeType": "crypto_fees_v2",
        "feeSchedule": {
            "rate": amount(CRYPTO_RATE),
            "exponent": FEE_EXPONENT,
            "takerOnly": True,
            "rebateRate": amount(REBATE_SHARE),
        },
        "makerBaseFee": BASE_FEE,
        "takerBaseFee": BASE_FEE,
        "makerRebatesFeeShareBps": 10_000,
    }


def _identity(market: SandboxMarket) -> dict[str, object]:
    token_list = json.dumps(list(market.tokens))
    second = market.version == "v2"
    return {
        "id": str(market.number),
        "slug": market.slug,
        "question": market.title,
        "conditionId": market.id,
        "questionID": question_id(market),
        "version": market.version,
        "outcomes": json.dumps([outcome_word(market, outcome) for outcome in (0, 1)]),
        "outcomePrices": json.dumps([show(price) for price in outcome_prices(market)]),
        "clobTokenIds": "[]" if second else token_list,
        **({"positionIds": token_list} if second else {}),
        "description": description(market),
        "groupItemTitle": market.label,
        "groupItemThreshold": "0",
        "marketMakerAddress": "",
        "icon": "",
        "image": "",
    }


def _times(market: SandboxMarket) -> dict[str, object]:
    times: dict[str, object] = {
        "createdAt": iso(market.listed_ns),
        "updatedAt": iso(max(market.listed_ns, market.closed_ns, market.settled_ns)),
        "startDate": iso(market.listed_ns),
        "startDateIso": iso(market.listed_ns)[:10],
        "endDate": iso(market.close_ns),
        "endDateIso": iso(market.close_ns)[:10],
        "eventStartTime": iso(market.open_ns),
        "acceptingOrdersTimestamp": iso(market.listed_ns - market.listed_ns % SECOND),
    }
    if resolved(market):
        times["closedTime"] = postgres_time(market.settled_ns)
        times["umaEndDate"] = iso(market.settled_ns - market.settled_ns % SECOND)
    return times


def _flags(market: SandboxMarket) -> dict[str, object]:
    status = oracle_status(market)
    flags: dict[str, object] = dict.fromkeys(
        """new cyom ready funded featured archived deploying rfqEnabled negRiskOther showGmpSeries showGmpOutcome
        clearBookOnStart manualActivation pendingDeployment requiresTranslation holdingRewardsEnabled
        pagerDutyNotificationEnabled""".split(),
        False,
    )
    return flags | {
        "active": True,
        "closed": resolved(market),
        "approved": True,
        "restricted": True,
        "hasReviewedDates": True,
        "enableOrderBook": True,
        "automaticallyActive": True,
        "acceptingOrders": market.accepts_orders,
        "automaticallyResolved": market.kind is MarketKind.UPDOWN,
        "comboStatus": "disabled",
        "competitive": 0,
        "umaResolutionStatuses": json.dumps([status] if status in ("proposed", "disputed") else []),
        **({"umaResolutionStatus": status} if status else {}),
    }


def description(market: SandboxMarket) -> str:
    """Return the rules in our own words."""
    if market.kind is MarketKind.UPDOWN:
        first, second = outcome_word(market, 0), outcome_word(market, 1)
        return (
            f"Resolves to {first} when the average of the BTC/USD stream over the last "
            f"{market.settlement_average_s:g} seconds of the window is at or above the one at its start, "
            f"else to {second}. A market of the sandbox: its prices are made up."
        )
    return f"{market.title} A market of the sandbox: its prices are made up."


def market_body(market: SandboxMarket) -> dict[str, object]:
    """Return an element of ``/markets``. The event it belongs to is added by ``with_event``."""
    grouped: dict[str, object] = {"negRisk": market.neg_risk}
    if market.neg_risk:
        grouped["negRiskMarketID"] = negative_risk_id(market.event_id)
        grouped["negRiskRequestID"] = question_id(market)
    if market.kind is MarketKind.UPDOWN:
        # Since August 2026 windows begin and end with a mean over a minute, and say so.
        grouped["cryptoMarketConfig"] = {"twapEnabled": True}
    return {
        **_identity(market),
        **_times(market),
        **_flags(market),
        **_volumes(market),
        **_fees(market),
        **_prices(market),
        **grouped,
        "orderPriceMinTickSize": amount(market.tick),
        "orderMinSize": amount(MINIMUM_SIZE),
        "resolutionSource": SOURCE_URL if market.kind is MarketKind.UPDOWN else "",
        "resolvedBy": RESOLVER,
        "rewardsMinSize": 50,
        "rewardsMaxSpread": 4.5,
    }


def tags_of(market: SandboxMarket) -> tuple[tuple[str, str, str], ...]:
    """Return the tags of ``TAGS`` that a market carries."""
    return TAGS if market.kind is MarketKind.UPDOWN else TAGS[:2]


def tag_body(tag: tuple[str, str, str]) -> dict[str, object]:
    """Return an element of ``/tags``."""
    identifier, label, slug = tag
    created = "2025-01-01T00:00:00Z"
    return {
        "id": identifier,
        "label": label,
        "slug": slug,
        "createdAt": created,
        "updatedAt": created,
        "requiresTranslation": False,
    }


def event_body(markets: Sequence[SandboxMarket], nested: bool = True) -> dict[str, object]:
    """Return an element of ``/events``: the markets of one event, which share its id."""
    first = markets[0]
    closed = all(resolved(market) for market in markets)
    volume = amount(sum(market.volume for market in markets))
    body: dict[str, object] = {
        "id": event_number(first.event_id),
        "ticker": first.event_id,
        "slug": first.event_id if first.neg_risk else first.slug,
        "title": first.event_title or first.title,
        "description": description(first),
        "resolutionSource": SOURCE_URL if first.kind is MarketKind.UPDOWN else "",
        "startDate": iso(first.listed_ns),
        "creationDate": iso(first.listed_ns),
        "createdAt": iso(first.listed_ns),
        "updatedAt": iso(first.listed_ns),
        "endDate": iso(first.close_ns),
        "startTime": iso(first.open_ns),
        "image": "",
        "icon": "",
        "active": True,
        "closed": closed,
        "archived": False,
        "new": False,
        "featured": False,
        "restricted": True,
        "liquidity": 0,
        "liquidityClob": 0,
        "volume": volume,
        "volume24hr": volume,
        "volume1wk": volume,
        "volume1mo": volume,
        "volume1yr": volume,
        "openInterest": 0,
        "competitive": 0,
        "commentCount": 0,
        "enableOrderBook": True,
        "negRisk": first.neg_risk,
        "enableNegRisk": first.neg_risk,
        "negRiskAugmented": False,
        "cyom": False,
        "showAllOutcomes": True,
        "showMarketImages": False,
        "automaticallyActive": True,
        "pendingDeployment": False,
        "deploying": False,
        "requiresTranslation": False,
        "version": first.version,
        "seriesSlug": first.series,
    }
    if first.neg_risk:
        body["negRiskMarketID"] = negative_risk_id(first.event_id)
    if first.strike is not None and first.kind is MarketKind.UPDOWN:
        body["eventMetadata"] = {"priceToBeat": amount(first.strike)}
    if nested:
        body["markets"] = [market_body(market) for market in markets]
        body["tags"] = [tag_body(tag) for tag in tags_of(first)]
    return body


def series_body(name: str, events: Sequence[Sequence[SandboxMarket]]) -> dict[str, object]:
    """Return an element of ``/series``: windows that follow one another."""
    first = events[0][0]
    volume = amount(sum(market.volume for markets in events for market in markets))
    return {
        "id": event_number(name),
        "ticker": name,
        "slug": name,
        "title": name.replace("-", " ").capitalize(),
        "seriesType": "single",
        "recurrence": f"{first.window_s // 60}m",
        "image": "",
        "icon": "",
        "active": True,
        "closed": False,
        "archived": False,
        "featured": False,
        "restricted": True,
        "createdAt": iso(first.listed_ns),
        "updatedAt": iso(first.listed_ns),
        "startDate": iso(first.listed_ns),
        "volume": volume,
        "volume24hr": volume,
        "liquidity": 0,
        "commentCount": 0,
        "events": [event_body(markets, nested=False) for markets in events],
    }
