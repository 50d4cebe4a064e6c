"""A venue's own brake on an account, which only the operator may let go."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class HasBrake(Protocol):
    """A gateway whose venue stops an account by itself: Kalshi's order group, after too many fills."""

    async def brake(self) -> str:
        """Why the venue takes no orders of ours, by a brake or a pause; "" while it takes them."""

    async def release_brake(self) -> None:
        """Let it go: a decision of the operator's."""
