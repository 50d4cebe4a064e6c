"""Several questions to one venue, of which a wrong one must not keep the others from being asked."""

from collections.abc import Awaitable, Callable, Iterable

from libs.venues.errors import NotSent, RateLimited, Unavailable, VenueError

Question = tuple[str, Callable[[], Awaitable[None]]]
"""What is asked, for people (``tag 7``), and how; the answer is handed on by the question itself."""


class SomeFailed(VenueError):
    """Some questions failed; the others were answered, and their answers handed on."""


async def ask_each(venue: str, questions: Iterable[Question]) -> None:
    """Ask one after the other, and go on after one that fails.

    Raises:
        RateLimited, Unavailable, NotSent: at once; the next question would fare no better.
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
