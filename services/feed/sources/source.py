"""What every source of the feed offers to the shell that runs it."""

from typing import Any, Protocol


class Source(Protocol):
    """Reads frames and gives them to the feed's output until it is stopped.

    ``is_live`` turns true when it has begun; ``detail`` is one line for the operator.
    """

    is_live: bool

    @property
    def detail(self) -> str: ...

    async def run(self) -> None:
        """Run until the recording is played, or for ever."""
        ...

    def health(self) -> dict[str, Any]:
        """What this source adds to the feed's report."""
        ...
