"""Coinbase Exchange: public prices, used as reference."""

COINBASE = "coinbase"
"""The name on the tape, in files and in commands."""
