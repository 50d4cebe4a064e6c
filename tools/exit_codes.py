"""Exit codes of the ``presage`` command."""

FAILED = 1
"""It did not work."""
USAGE = 2
"""It was asked for something that cannot be."""
DIFFERENCE = 3
"""A replay or a verification found a difference."""
