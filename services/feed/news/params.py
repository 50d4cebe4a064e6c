"""Configuration section ``news``."""

from typing import Annotated

from pydantic import Field

from libs.config.section import Section, setting, text, whole

FEEDS_MAX = 50
FeedName = Annotated[str, text(r"^[a-z0-9_.-]{1,40}$", "a name of small letters, digits, '_', '.' and '-'")]
FeedUrl = Annotated[str, text(r"^https?://[^\s@]+$", "an address http(s)://… without user and password", 300)]


class NewsFeed(Section):
    """One feed."""

    name: FeedName = setting(..., "what it is called on the tape and in scores")
    url: FeedUrl = setting(..., "where it is: RSS, Atom or JSON Feed")


class NewsParams(Section):
    """Which news feeds are read for the advisor. ``config/news.yaml`` says why."""

    feeds: Annotated[tuple[NewsFeed, ...], Field(max_length=FEEDS_MAX)] = setting(
        (), "the feeds; without any nothing is read"
    )
    poll_s: Annotated[int, whole(5, 86_400)] = setting(300, "seconds between two looks at a feed")
    items_max_count: Annotated[int, whole(1, 200)] = setting(30, "items taken from one look, the first ones")
    age_max_hours: Annotated[int, whole(1, 24 * 31)] = setting(48, "older items are left out")
