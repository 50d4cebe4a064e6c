"""Kalshi, trade API v2: wire format, book and market facts, and the normaliser made of them."""
