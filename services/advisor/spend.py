"""Money for models: reserved before a question leaves, settled with what the answer cost, capped a day and a month."""

from msgspec import Struct

from proto.units import ONE, Money, Nanoseconds, as_money
from services.advisor.moments import DAY, month_of
from services.advisor.params import ModelPrice

TOKENS_PER_BYTE = 1
"""The most: tokenisers that work on bytes make one token of a byte they know nothing better for, and never two. English
has about four bytes a token."""
OVERHEAD_TOKENS = 1_000
"""What providers add to a request: the schema of the answer, roles, tools."""
SEARCH_TOKENS = 12_000
"""Read into the context by one web search, at most, as the providers describe it."""


def cost_of(price: ModelPrice, tokens_in: int, tokens_out: int, searches: int) -> Money:
    """What a call costs by the price table, a fraction of a millionth rounded up."""
    tokens = tokens_in * price.input + tokens_out * price.output
    return as_money(-(-tokens // ONE) + searches * price.search)


def reserve_of(price: ModelPrice, text_bytes: int, tokens_max: int, searches_max: int) -> Money:
    """The most that a question can cost."""
    tokens_in = text_bytes * TOKENS_PER_BYTE + OVERHEAD_TOKENS + searches_max * SEARCH_TOKENS
    return cost_of(price, tokens_in, tokens_max, searches_max)


class Spend(Struct):
    """What was spent in the newest day and month (UTC), and what is held back for questions without an answer."""

    day: int = 0
    day_spent: Money = 0
    month: int = 0
    month_spent: Money = 0
    total: Money = 0
    reserved: dict[str, Money] = {}

    def roll(self, now: Nanoseconds) -> None:
        """Begin a new day or month when time has come to one. Time that goes back brings no money back."""
        day, month = now // DAY, month_of(now)
        if day > self.day:
            self.day, self.day_spent = day, 0
        if month > self.month:
            self.month, self.month_spent = month, 0

    def left(self, day_cap: Money, month_cap: Money) -> Money:
        """What a further question may cost."""
        return min(day_cap - self.day_spent, month_cap - self.month_spent) - sum(self.reserved.values())

    def settle(self, question: str, cost: Money) -> None:
        """A question has its answer: what it cost is spent, the rest of what was held back is free."""
        self.reserved.pop(question, None)
        paid = max(cost, 0)
        self.day_spent = as_money(self.day_spent + paid)
        self.month_spent = as_money(self.month_spent + paid)
        self.total = as_money(self.total + paid)
