"""Which books are missing, and the commands that bring them."""

from collections.abc import Iterable, Sequence

import msgspec

from proto.units import SECOND

RETRY_NS = 5 * SECOND
"""A subscription is answered within a round trip; after so long it is taken for lost."""
TOKENS_PER_COMMAND_MAX = 25
"""Tokens named in one command. Their books come in one frame, of 10 MB where each has a level on every finest tick."""


class BookRequests:
    """Tokens whose book is missing or broken, and tokens to be left."""

    def __init__(self) -> None:
        # Token → when it was asked for last, 0 for never; and whether it was subscribed to before.
        self._asked: dict[str, int] = {}
        self._joined: set[str] = set()
        self._left: list[str] = []

    @property
    def tokens(self) -> tuple[str, ...]:
        return tuple(self._asked)

    def add(self, token: str, *, joined: bool) -> None:
        """Ask for a token's book; one that is subscribed to is left first, so that its snapshot comes anew."""
        self._asked.setdefault(token, 0)
        if joined:
            self._joined.add(token)

    def have(self, token: str) -> None:
        """Its book is here."""
        self._asked.pop(token, None)
        self._joined.discard(token)

    def leave(self, token: str) -> None:
        """Nothing more is wanted of it."""
        self.have(token)
        self._left.append(token)

    def begin(self, tokens: Iterable[str], at: int) -> None:
        """A connection that has just asked for these begins, or none is left that could be asked."""
        self._asked = dict.fromkeys(tokens, at)
        self._joined = set()
        self._left = []

    def commands(self, at: int) -> list[bytes]:
        """What to send now."""
        fresh = [token for token, asked_at in self._asked.items() if not asked_at]
        again = [t for t, asked_at in self._asked.items() if asked_at and at - asked_at >= RETRY_NS]
        leave = [*self._left, *again, *(token for token in fresh if token in self._joined)]
        self._asked.update(dict.fromkeys([*fresh, *again], at))
        self._left = []
        return [*frames("unsubscribe", leave), *frames("subscribe", [*fresh, *again])]


def first_frames(tokens: Sequence[str]) -> list[bytes]:
    """What a connection begins with: subscriptions of all tokens, of which the first opens the channel."""
    first = {"type": "market", "assets_ids": tokens[:TOKENS_PER_COMMAND_MAX], "custom_feature_enabled": True}
    return [msgspec.json.encode(first), *frames("subscribe", tokens[TOKENS_PER_COMMAND_MAX:])]


def frames(operation: str, tokens: Sequence[str]) -> list[bytes]:
    """Frames that name the tokens, each once."""
    unique = list(dict.fromkeys(tokens))
    return [
        msgspec.json.encode(
            {
                "operation": operation,
                "assets_ids": unique[start : start + TOKENS_PER_COMMAND_MAX],
                "custom_feature_enabled": True,
            }
        )
        for start in range(0, len(unique), TOKENS_PER_COMMAND_MAX)
    ]
