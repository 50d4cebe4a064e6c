"""Lists that need more than the tape: positions as a snapshot of risk has them, strategies as they are installed."""
