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


class PublishRefused(TapeError):
    """The broker refused to store a message, with its reason."""


class ContentMismatch(TapeError):
    """Other content stands where only one thing can: under an order's subject in the ledger."""
