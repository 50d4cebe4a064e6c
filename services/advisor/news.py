"""News by market: which items share words with it, without any model of language. Pure.

A word counts the more, the fewer of the items have it (inverse document frequency: Spärck Jones, A statistical
interpretation of term specificity, 1972); an item belongs to a market when what they share weighs enough.
"""

import math
import re
from collections.abc import Sequence

from msgspec import Struct

from libs.bounded import cut
from proto.feed import Market, News
from proto.units import SECOND, Nanoseconds
from services.advisor.evidence import VENUE_NAMES, asset_of, plain_line
from services.advisor.moments import span_text

ITEMS_MAX = 300
"""Items remembered, of all feeds."""
SHOWN_MAX = 6
"""Items in one question."""
SUMMARY_CHARACTERS_MAX = 240
WORDS_MAX = 80
"""Of an item: a title and the first sentences."""
SCORE_MIN = 2.0
AGE_MAX = 3 * 86_400 * SECOND
ASSETS = {"btc": "bitcoin", "eth": "ethereum", "sol": "solana", "xrp": "ripple", "doge": "dogecoin"}
"""What people write and what venues call it."""
_WORD = re.compile(r"[a-z0-9]{3,}")
_COMMON = frozenset(
    "the and for will with from that this are was were has have had not but you its their they his her who what when "
    "where which how why can could would should may might over under above below before after between into out off "
    "than then there here more most less least new says said one two three first last next day days week month year "
    "time times close end ends market markets price prices up down yes".split()
)


class NewsItem(Struct, array_like=True):
    """One item, as it is told to models."""

    source: str
    title: str
    summary: str
    at: Nanoseconds
    words: list[str]


def item_of(news: News, now: Nanoseconds) -> NewsItem | None:
    """An item of a message; ``None`` for one that names a prediction market, which would tell its price."""
    if VENUE_NAMES.search(f"{news.title} {news.summary} {news.address}"):
        return None
    words = _words(f"{news.title} {news.summary}")
    at = news.published_at if 0 < news.published_at <= now else news.at
    return NewsItem(
        news.source, plain_line(news.title), cut(plain_line(news.summary), SUMMARY_CHARACTERS_MAX), at, words
    )


def matching(items: Sequence[NewsItem], market: Market, now: Nanoseconds) -> list[NewsItem]:
    """The items that belong to a market, the best first, at most ``SHOWN_MAX``."""
    symbol = asset_of(market).lower()
    wanted = set(_words(market.title))
    wanted.update(name for coin, name in ASSETS.items() if symbol.startswith(coin))
    fresh = [item for item in items if 0 <= now - item.at <= AGE_MAX]
    frequency: dict[str, int] = {}
    for item in fresh:
        for word in item.words:
            frequency[word] = frequency.get(word, 0) + 1
    scored = []
    for position, item in enumerate(fresh):
        shared = [word for word in item.words if word in wanted]
        score = math.fsum(1.0 + math.log(len(fresh) / frequency[word]) for word in shared)
        if score >= SCORE_MIN or any(word in ASSETS.values() for word in shared):
            scored.append((-round(score * 1_000), -item.at, position))
    return [fresh[position] for _, _, position in sorted(scored)[:SHOWN_MAX]]


def news_lines(items: Sequence[NewsItem], now: Nanoseconds) -> list[str]:
    """What a model is told of them."""
    return [
        f"{span_text((now - item.at) // SECOND)} ago, {item.source}: {item.title}"
        + (f" ({item.summary})" if item.summary else "")
        for item in items
    ]


def _words(text: str) -> list[str]:
    """The words of a text that mean something, each once, in their order."""
    found = dict.fromkeys(word for word in _WORD.findall(text.lower()) if word not in _COMMON)
    return list(found)[:WORDS_MAX]
