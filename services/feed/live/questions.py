"""Several requests to one venue: one that fails does not keep the others from being sent."""

from collections.abc import Awaitable, Callable, Iterable

from libs.venues.errors import NotSent, RateLimited, Unavailable, VenueError

Question = tuple[str, Callable[[], Awaitable[None]]]
"""A name for people (``tag 7``), and the call that makes the request and passes its answer on."""


class SomeFailed(VenueError):
    """Some requests failed; the answers of the others were passed on."""


async def ask_each(venue: str, questions: Iterable[Question]) -> None:
    """Make one request after the other, and go on after one that fails.

    Raises:
        RateLimited, Unavailable, NotSent: at once; the next request would fail too.
        VenueError: when every one failed.
        SomeFailed: after the last, with the reasons.
    """
    failed: list[tuple[str, VenueError]] = []
    answered = False
    for name, ask in questions:
        try:
            await ask()
        except (RateLimited, Unavailable, NotSent):
            raise
        except VenueError as e:
            failed.append((name, e))
        else:
            answered = True
    if failed:
        reasons = [f"{name}: {str(e).removeprefix(f'{venue}: ')}" for name, e in failed]
        raise (SomeFailed if answered else VenueError)(venue, "; ".join(reasons))
