"""Histograms that cost little a value: the event loop alone counts and reads, so there are no locks, and a
value is one search in a list. Prometheus' own take ten times as long, which counts at thousands of rows a
second."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

RECENT, RECENT_S = 256, 10.0

# Parts and multiples of a chunk: what comes later than the next chunk is late.
OF_A_CHUNK = (1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 7 / 8, 1, 1.25, 1.5, 2, 3, 4, 8, 16, 32, 64)
# For people: what a conversation bears.
LATENCIES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
TENTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


def around(chunk_s: float) -> tuple[float, ...]:
    return tuple(round(part * chunk_s, 5) for part in OF_A_CHUNK)


class Histogram(Collector):
    def __init__(self, name: str, help: str, bounds: Sequence[float], registry: CollectorRegistry) -> None:
        self._name, self._help, self._bounds = name, help, tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0
        registry.register(self)

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def add_all(self, values: Iterable[float]) -> None:
        counts, bounds, total = self._counts, self._bounds, 0.0
        for value in values:
            counts[bisect_left(bounds, value)] += 1
            total += value
        self._sum += total

    def collect(self) -> Iterator[HistogramMetricFamily]:
        below, buckets = 0, []
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            below += count
            buckets.append(("+Inf" if bound == float("inf") else str(float(bound)), below))
        yield HistogramMetricFamily(self._name, self._help, buckets=buckets, sum_value=self._sum)


class Recent:
    """The last few hundred durations of the last seconds, for the p95 that heartbeats carry."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds: deque[float] = deque(maxlen=RECENT)
        self._added: deque[float] = deque(maxlen=RECENT)  # when each was

    def add(self, seconds: float) -> None:
        self._seconds.append(seconds)
        self._added.append(self._clock())

    def add_all(self, seconds: Sequence[float]) -> None:
        self._seconds.extend(seconds[-RECENT:])
        self._added.extend([self._clock()] * min(len(seconds), RECENT))

    def p95_ms(self) -> float:
        # What has been is not what is: a worker that was late and rests would be spared for ever.
        while self._added and self._clock() - self._added[0] > RECENT_S:
            self._added.popleft()
            self._seconds.popleft()
        if not self._seconds:
            return 0.0
        return round(sorted(self._seconds)[int(0.95 * (len(self._seconds) - 1))] * 1000, 3)
