"""Coinbase Exchange: the public trade feed, used as a reference price."""
