"""Indicators: incremental, plain data, standard library only, so that machines can hold them as state."""
