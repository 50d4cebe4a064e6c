"""Manifold, play money."""

MANIFOLD = "manifold"
"""The name on the tape, in files and in commands."""
