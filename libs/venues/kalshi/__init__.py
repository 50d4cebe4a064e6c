"""Kalshi, trade API v2: wire format, book and market facts, and the normaliser made of them."""

KALSHI = "kalshi"
"""The name on the tape, in files and in commands."""
