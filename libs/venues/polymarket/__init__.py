"""Polymarket, international CLOB: market data without keys, and trading with them."""

POLYMARKET = "polymarket"
"""The name on the tape, in files and in commands."""
