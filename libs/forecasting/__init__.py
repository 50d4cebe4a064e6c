"""Probabilities of others: pooled, weighed against the market, scored. Pure; machines use it."""
