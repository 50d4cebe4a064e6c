"""A latency histogram for hot paths: integers and a binary search, several times cheaper than the client's.

The client library locks and searches linearly for each value, which is more than a machine's work on a
quote. A service observes from its event loop alone, so nothing needs a lock.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from proto.units import SECOND


class Histogram:
    """Counts by bucket of one series; ``observe`` takes nanoseconds."""

    __slots__ = ("bounds_ns", "counts", "sum_ns")

    def __init__(self, bounds_ns: Sequence[int]) -> None:
        self.bounds_ns = tuple(bounds_ns)
        self.counts = [0] * (len(bounds_ns) + 1)
        self.sum_ns = 0

    def observe(self, took_ns: int) -> None:
        """Record one value; a value on a bound belongs to the bucket below it."""
        self.counts[bisect_left(self.bounds_ns, took_ns)] += 1
        self.sum_ns += took_ns

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts by upper bound in seconds, as Prometheus wants them."""
        found: list[tuple[str, float]] = []
        total = 0
        for bound, count in zip((*self.bounds_ns, None), self.counts, strict=True):
            total += count
            name = "+Inf" if bound is None else str(bound / SECOND)
            found.append((name, float(total)))
        return found


class HistogramCollector(Collector):
    """One metric with its series, exported in seconds when the registry is read."""

    def __init__(self, name: str, about: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._name = name
        self._about = about
        self._labels = tuple(labels)
        self._series: dict[tuple[str, ...], Histogram] = {}
        registry.register(self)

    def series(self, values: tuple[str, ...], bounds_ns: Sequence[int]) -> Histogram:
        """The series with these label values."""
        made = self._series[values] = Histogram(bounds_ns)
        return made

    def collect(self) -> Iterable[Metric]:
        """What the registry asks for."""
        family = HistogramMetricFamily(self._name, self._about, labels=self._labels)
        for values, histogram in self._series.items():
            family.add_metric(values, histogram.buckets(), sum_value=histogram.sum_ns / SECOND)
        yield family
