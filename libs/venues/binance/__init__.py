"""Binance spot: public prices, used as reference."""

BINANCE = "binance"
"""The name on the tape, in files and in commands."""
