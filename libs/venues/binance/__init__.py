"""Binance spot: public prices, used as reference."""
