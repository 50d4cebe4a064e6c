"""What can go wrong with the tape.

::

    TapeError
    ├── BrokerUnavailable   no connection, or no answer in time: nothing is known about the outcome
    ├── TapeGap             the window no longer holds what a reader needs
    ├── PublishRefused      the broker answered that it will not store the message
    └── ContentMismatch     the broker holds other content than what can only stand there
"""


class TapeError(Exception):
    """Base of all tape errors."""


class BrokerUnavailable(TapeError):
    """No connection, or no answer in time. A publish may still have been stored."""


class TapeGap(TapeError):
    """The tape starts after the sequence that is needed next."""


WRONG_LAST_SEQUENCE = frozenset({10071, 10164})
"""The broker's codes: something is stored there already, or just being stored (in a cluster)."""


class PublishRefused(TapeError):
    """The broker refused to store a message, with its reason. ``code`` is the broker's; 0: it gave none."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code

    @property
    def is_taken(self) -> bool:
        """Whether the condition of the publish did not hold: somebody stored there before."""
        return self.code in WRONG_LAST_SEQUENCE


class ContentMismatch(TapeError):
    """Other content stands where only one thing can: under an order's subject in the ledger."""
