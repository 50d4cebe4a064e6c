"""What can go wrong with a venue, by what it means for an order.

::

    VenueError
    ├── NotSent            the request never left: nothing happened, it may be sent again
    ├── Refused            the venue said no, for good: nothing happened
    │   ├── RateLimited    too many requests; ``retry_after_s`` says when again
    │   └── Unavailable    restarting, paused, cancel-only; ``retry_after_s`` when the venue said so
    ├── OutcomeUnknown     it may have been carried out: no answer, a broken one, or one that proves nothing
    └── BadAnswer          an answer to a question (never to an order) that cannot be read or is not complete
"""


class VenueError(Exception):
    """Base of everything a venue client raises. ``venue`` is its name, the text is free of secrets."""

    def __init__(self, venue: str, text: str) -> None:
        super().__init__(f"{venue}: {text}")
        self.venue = venue


class NotSent(VenueError):
    """No connection, no name, refused before a byte went out."""


class Refused(VenueError):
    """A definite no. ``status`` is the HTTP status, ``code`` the venue's own word for the reason."""

    def __init__(self, venue: str, text: str, status: int = 0, code: str = "") -> None:
        super().__init__(venue, text)
        self.status = status
        self.code = code


class RateLimited(Refused):
    """Too many requests. ``retry_after_s`` is the venue's word, or 0 when it gave none."""

    def __init__(self, venue: str, text: str, status: int = 429, retry_after_s: float = 0.0) -> None:
        super().__init__(venue, text, status, "rate_limited")
        self.retry_after_s = retry_after_s


class Unavailable(Refused):
    """The venue takes no such request now, and says so. ``retry_after_s`` as in ``RateLimited``."""

    def __init__(
        self, venue: str, text: str, status: int, code: str = "", retry_after_s: float = 0.0
    ) -> None:
        super().__init__(venue, text, status, code)
        self.retry_after_s = retry_after_s


class OutcomeUnknown(VenueError):
    """Sent, with no proof of its outcome. An order is never sent again after this."""


class BadAnswer(VenueError):
    """A read that failed: unreadable, incomplete, or of another shape than documented."""
