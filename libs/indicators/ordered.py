"""The closest figures that are in order: isotonic regression."""

from collections.abc import Sequence


def never_rising(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The figures closest to ``values`` (least squares by ``weights``) of which none is larger than the one before.

    Pool adjacent violators (Ayer, Brunk, Ewing, Reid, Silverman, An empirical distribution function for sampling with
    incomplete information, 1955): neighbours in the wrong order become their weighted mean, until none is.

    Raises:
        ValueError: as many weights as values are expected, each above 0.
    """
    if len(values) != len(weights) or any(weight <= 0.0 for weight in weights):
        raise ValueError(f"expected {len(values)} weights above 0, was {list(weights)}")
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        mean, mass, count = value, weight, 1
        while pools and pools[-1][0] < mean:
            before, before_mass, before_count = pools.pop()
            mean = (before * before_mass + mean * mass) / (before_mass + mass)
            mass, count = mass + before_mass, count + before_count
        pools.append((mean, mass, count))
    return [mean for mean, _, count in pools for _ in range(count)]
