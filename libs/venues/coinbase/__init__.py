"""Coinbase Exchange: public prices, used as reference."""
