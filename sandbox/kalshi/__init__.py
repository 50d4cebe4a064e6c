"""Kalshi's trade API v2 on loopback: REST and websocket, signatures verified, one book a market."""
