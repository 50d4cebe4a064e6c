"""Bodies of the CLOB about markets and their books, made of what the world holds."""

from proto.units import ONE, show
from sandbox.polymarket.books import BookFacts, OutcomeBook, OutcomeLevel
from sandbox.polymarket.gamma import (
    BASE_FEE,
    CRYPTO_RATE,
    FEE_EXPONENT,
    MINIMUM_SIZE,
    amount,
    description,
    has_fees,
    iso,
    negative_risk_id,
    outcome_prices,
    outcome_word,
    question_id,
    resolved,
    tags_of,
)
from sandbox.world.markets import VOID, SandboxMarket

REWARDED_SIZE, REWARDED_SPREAD = 50 * ONE, 45_000
"""Orders of so many shares, so near to the middle, earn rewards."""
TAKER_DELAY_S = 0
"""``seconds_delay`` of crypto markets: their 50 ms are not whole seconds."""


def book_of(market: SandboxMarket, outcome: int) -> OutcomeBook:
    """Return one outcome's levels, best first."""
    bids, asks = market.book.levels(outcome)
    return OutcomeBook(
        tuple(OutcomeLevel(level.price, level.quantity) for level in bids),
        tuple(OutcomeLevel(level.price, level.quantity) for level in asks),
    )


def facts_of(market: SandboxMarket, outcome: int, at_ms: int) -> BookFacts:
    """Return the fields of a book's body besides its levels, at the moment of its last change."""
    last = market.last_price
    if last is not None and outcome:
        last = ONE - last
    return BookFacts(
        market=market.id,
        token=market.tokens[outcome],
        at_ms=at_ms,
        minimum=MINIMUM_SIZE,
        tick=market.tick,
        negative_risk=market.neg_risk,
        last_price="" if last is None else show(last),
    )


def _token(market: SandboxMarket, outcome: int) -> dict[str, object]:
    return {
        "token_id": market.tokens[outcome],
        "outcome": outcome_word(market, outcome),
        "price": amount(outcome_prices(market)[outcome]),
        "winner": resolved(market) and market.payout(outcome) == ONE,
    }


def market_body(market: SandboxMarket) -> dict[str, object]:
    """Return the body of /markets/{condition id}."""
    fee = BASE_FEE if has_fees(market) else 0
    return {
        "enable_order_book": True,
        "active": True,
        "closed": resolved(market),
        "archived": False,
        "accepting_orders": market.accepts_orders,
        "accepting_order_timestamp": iso(market.listed_ns - market.listed_ns % 10**9),
        "minimum_order_size": amount(MINIMUM_SIZE),
        "minimum_tick_size": amount(market.tick),
        "condition_id": market.id,
        "question_id": question_id(market),
        "question": market.title,
        "description": description(market),
        "market_slug": market.slug,
        "end_date_iso": iso(market.close_ns),
        "game_start_time": iso(market.open_ns),
        "seconds_delay": TAKER_DELAY_S,
        "fpmm": "",
        "maker_base_fee": fee,
        "taker_base_fee": fee,
        "notifications_enabled": False,
        "neg_risk": market.neg_risk,
        "neg_risk_market_id": negative_risk_id(market.event_id) if market.neg_risk else "",
        "neg_risk_request_id": question_id(market) if market.neg_risk else "",
        "icon": "",
        "image": "",
        "rewards": {
            "rates": None,
            "min_size": amount(REWARDED_SIZE),
            "max_spread": REWARDED_SPREAD * 100 / ONE,
        },
        "is_50_50_outcome": resolved(market) and market.result == VOID,
        "tokens": [_token(market, 0), _token(market, 1)],
        "tags": [label for _, label, _ in tags_of(market)],
    }


def simplified_market(market: SandboxMarket) -> dict[str, object]:
    """Return the body of a market in the simplified lists."""
    whole = market_body(market)
    names = ("condition_id", "rewards", "tokens", "active", "closed", "archived", "accepting_orders")
    return {name: whole[name] for name in names}


def is_scoring(market: SandboxMarket, outcome: int, price: int, remaining: int) -> bool:
    """Whether a resting order earns rewards: large enough, and near enough to the middle."""
    bid, ask = market.book.best(outcome)
    if bid is None or ask is None or remaining < REWARDED_SIZE:
        return False
    return abs(price - (bid + ask) // 2) <= REWARDED_SPREAD


def short_market(market: SandboxMarket) -> dict[str, object]:
    """Return the body of /clob-markets/{condition id}, in its one- and two-letter words."""
    body: dict[str, object] = {
        "c": market.id,
        "t": [{"t": token, "o": outcome_word(market, i)} for i, token in enumerate(market.tokens)],
        "mts": amount(market.tick),
        "mos": amount(MINIMUM_SIZE),
        "nr": market.neg_risk,
        "ao": market.accepts_orders,
    }
    if has_fees(market):
        body["mbf"] = body["tbf"] = BASE_FEE
        body["fd"] = {"r": amount(CRYPTO_RATE), "e": FEE_EXPONENT, "to": True}
    return body
