"""A failed check of risk in words: what was found, and what was allowed."""

from collections.abc import Callable

from libs.view import wording
from proto.feed import MarketStatus
from proto.risk import Check
from proto.units import ONE, show

Number = Callable[[int], str]


def _money(value: int) -> str:
    return wording.money(value).removesuffix(".00")


def _percent(value: int) -> str:
    return f"{show(value * 100)} %"


def _seconds(value: int) -> str:
    return f"{value} s"


_WORDS: dict[str, tuple[str, Number]] = {
    "heat": ("exposure {value} of {limit}", _money),
    "market_stake": ("exposure in this market {value} of {limit}", _money),
    "group_loss": ("worst loss in this group of markets {value} of {limit}", _money),
    "bet": ("cost {value}, at most {limit}", _money),
    "balance": ("cost {value}, free cash {limit}", _money),
    "daily_loss": ("the day's worst loss {value}, the day ends at {limit}", _money),
    "drawdown": ("fall from the highest equity {value}, nothing is bet from {limit}", _percent),
    "positions_count": ("{value} markets held or entered, at most {limit}", str),
    "order_rate_count": ("{value} entries in the window, at most {limit}", str),
    "cooldown_s": ("the market rests: {value} of {limit}", _seconds),
    "repeat_s": ("the same order {value} ago, again after {limit}", _seconds),
    "book_age_s": ("the book is {value} old, at most {limit}", _seconds),
    "time_to_close_s": ("closes in {value}, expected at least {limit}", _seconds),
    "spread": ("spread {value}, at most {limit}", show),
    "depth": ("depth {value} contracts, expected {limit}", show),
    "edge": ("edge {value}, expected {limit}", show),
    "quantity": ("{value} contracts, expected at least {limit}", show),
    "price_collar": ("{value} from the middle of the book, at most {limit}", show),
    "price_range": ("price {value} is beyond {limit}", show),
    "price_tick": ("price is {value} off the venue's grid", show),
    "market_age_s": ("open for {value}, expected at least {limit}", _seconds),
    "trading_hours": ("it is hour {value} UTC, entries are made from hour {limit}", show),
    "venue_stake": ("exposure at this venue {value} of {limit}", _money),
    "asset_stake": ("exposure to this price {value} of {limit}", _money),
    "family_stake": ("exposure in this family of markets {value} of {limit}", _money),
    "strategy_stake": ("exposure of this strategy {value} of {limit}", _money),
    "correlated_stake": ("exposure to what moves together {value} of {limit}", _money),
    "value_at_risk": ("value at risk {value} of {limit}", _money),
    "expected_shortfall": ("expected shortfall {value} of {limit}", _money),
    "venue_cash": ("cost {value}, free cash at this venue {limit}", _money),
    "self_trade": ("it would trade with {value} contracts of our own orders", show),
    "loss_streak_count": ("{value} trades lost in a row, entries rest from {limit}", str),
    "reduce_only": ("exits of {value} contracts, held are {limit}", show),
}
"""Check → its sentence and how its numbers are written."""

_SENTENCES = {
    "operator": "denied by the operator",
    "time_to_expiry_s": "its time was over",
    "market_positions_count": "a position or an order is in this market already",
    "book_gap": "messages of the book are missing",
    "instrument": "the instrument is not one of the market's",
    "direction": "an entry must buy",
    "position": "there is no position to reduce",
    "price_positive": "the price is not above zero",
    "autonomy": "autonomy `alerts` places no entry",
}
"""Checks whose numbers say nothing more."""

_UNUSUAL = {
    1: "a fill was far outside the book",
    2: "more was filled than approved",
    3: "equity fell more than it does within so short a time",
}
"""What stops entries until the operator resumes."""
_HALTED = _DISPUTED = 2 * ONE
_STATUSES = tuple(MarketStatus)
"""In the order by which risk numbers them."""


def check_words(failed: Check, unit: str = "$") -> str:
    """``exposure $4,000 of $2,500``; a check that is not known here by its name and its numbers."""
    return _sentence(failed).replace("$", unit)


def _sentence(failed: Check) -> str:
    if failed.name == "kill_switch":
        return "halted by the operator" if failed.value == _HALTED else "close-only: no entries"
    if failed.name == "market_status":
        level = failed.value // ONE
        return f"the market is {_STATUSES[level].value if 0 <= level < len(_STATUSES) else 'not known'}"
    if failed.name == "anomaly":
        return _UNUSUAL.get(failed.value // ONE, "something unusual happened")
    if failed.name == "answer":
        return "its answer is disputed" if failed.value == _DISPUTED else "its answer is proposed"
    if failed.name in _SENTENCES:
        return _SENTENCES[failed.name]
    if failed.name in _WORDS:
        sentence, number = _WORDS[failed.name]
        return sentence.format(value=number(failed.value), limit=number(failed.limit))
    value, limit = (check_number(failed.name, number) for number in (failed.value, failed.limit))
    return f"{wording.clean(failed.name)} {value} (limit {limit})"


def check_number(name: str, value: int, unit: str = "$") -> str:
    """A check's limit or value with its unit: ``$2,500``, ``60 s``, ``41.25 %``."""
    number = _WORDS[name][1] if name in _WORDS else str if name.endswith(("_s", "_count")) else show
    return number(value).replace("$", unit)


_LABELS = {
    "heat": "exposure",
    "market_stake": "exposure in the market",
    "group_loss": "worst loss of the group",
    "bet": "cost of one entry",
    "balance": "free cash",
    "kill_switch": "halted or close-only",
    "book_age_s": "age of the book",
    "book_gap": "gap in the book",
    "market_positions_count": "already in this market",
    "positions_count": "markets held",
    "order_rate_count": "entries in the window",
    "repeat_s": "the same order again",
    "cooldown_s": "the market rests",
    "answer": "answer proposed or disputed",
    "anomaly": "something unusual",
    "asset_stake": "exposure to the price",
    "correlated_stake": "what moves together",
    "family_stake": "exposure in the family",
    "loss_streak_count": "losses in a row",
    "market_age_s": "the market is new",
    "self_trade": "trade with ourselves",
    "strategy_stake": "exposure of the strategy",
    "trading_hours": "out of hours",
    "venue_cash": "free cash at the venue",
    "venue_stake": "exposure at the venue",
    "time_to_close_s": "closes too soon",
    "time_to_expiry_s": "came too late",
    "price_collar": "far from the middle",
    "price_range": "price out of range",
    "price_tick": "price off the grid",
    "operator": "denied by you",
}


def check_label(name: str) -> str:
    """A check in two or three words, for tallies."""
    return _LABELS.get(name) or wording.clean(name).removesuffix("_count").replace("_", " ")
