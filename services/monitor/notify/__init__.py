"""Notifications: what is told to whom, when, and what came of it."""
