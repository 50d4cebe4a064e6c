"""Manifold, play money."""
