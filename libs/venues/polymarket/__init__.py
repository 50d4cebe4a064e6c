"""Polymarket, international CLOB: market data without keys, and trading with them."""
