"""Exit codes of the ``presage`` command, and the errors that stand for two of them."""

FAILED = 1
"""It did not work."""
USAGE = 2
"""It was asked for something that cannot be."""
DIFFERENCE = 3
"""A replay or a verification found a difference."""


class UsageError(ValueError):
    """The command was asked for something that cannot be; the text says what."""


class NothingDone(Exception):
    """What was asked for did not happen; the text says why, and what to do instead."""
