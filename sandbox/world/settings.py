"""What the parts of the world are set to."""

from dataclasses import dataclass


@dataclass(slots=True)
class WorldSettings:
    """The seed, and the speed of the world.

    ``time_scale`` divides the length of windows, averages and lags, and lets the price move faster by as
    much: a 5 m window of scale 15 lasts 20 s and moves as far. ``updates_per_s`` is per book.
    Windows of a series follow one another from ``windows_from_s``, where their venue leaves that free
    (``VenueMarkets.round_windows``) from ``free_windows_from_s``; from 0 they open at round times.
    """

    seed: int
    time_scale: float
    updates_per_s: float
    windows_from_s: int = 0
    free_windows_from_s: int = 0
