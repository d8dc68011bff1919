"""Prometheus metrics that cannot grow without end: all of one worker share a number of series, and what is beyond is refused.

A metric's child is one series, a histogram's as many as it has buckets, and three. Where there is no room for a new child, the caller gets
one that counts and is never shown, so that nobody has to ask first; how many were refused is itself shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

if TYPE_CHECKING:
    from detectors.protocol import Floats

disable_created_metrics()  # type: ignore[no-untyped-call]  # a third of all series, and nobody asks when a counter was made


class Room:
    """How many series there may be, are, and would be more."""

    def __init__(self, most: int) -> None:
        self.most, self.used, self.refused = most, 0, 0
        self._lock = Lock()

    def take(self, many: int) -> bool:
        """Whether there is room for so many more; then it is taken."""
        with self._lock:
            fits = self.used + many <= self.most
            self.used += many if fits else 0
            self.refused += 0 if fits else many
            return fits

    def give_back(self, many: int) -> None:
        with self._lock:
            self.used -= many


class _Bounded:
    """Mixed into a metric with labels: its children take their room. Label values are texts, in order."""

    cost = 1
    room: Room
    _spare: Any = None

    def labels(self: Any, *values: str) -> Any:
        if values not in self._metrics and not self.room.take(self.cost):
            self._spare = self._spare or type(self).__mro__[2]("spare", "Never shown.", registry=None, **self._kwargs)
            return self._spare
        return super().labels(*values)  # type: ignore[misc]

    def remove(self: Any, *values: str) -> None:
        if values in self._metrics:
            self.room.give_back(self.cost)
            super().remove(*values)  # type: ignore[misc]

    def clear(self: Any) -> None:
        self.room.give_back(self.cost * len(self._metrics))
        super().clear()  # type: ignore[misc]


class _Counter(_Bounded, Counter):  # type: ignore[misc]
    pass


class _Gauge(_Bounded, Gauge):  # type: ignore[misc]
    pass


class _Histogram(_Bounded, Histogram):  # type: ignore[misc]
    pass


class Series:
    """Makes metrics ``nilometer_…`` in a registry of their own, all within one room."""

    def __init__(self, most: int) -> None:
        self.registry, self.room = CollectorRegistry(), Room(most)
        used = Gauge("nilometer_series", f"Series with labels that this worker shows, of at most {most:,}.", registry=self.registry)
        refused = Gauge("nilometer_refused_series", "Series that were not shown for want of room.", registry=self.registry)
        used.set_function(lambda: self.room.used)
        refused.set_function(lambda: self.room.refused)

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        made = _Counter(f"nilometer_{name}", text, labels, registry=self.registry)
        made.room = self.room
        return made

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        made = _Gauge(f"nilometer_{name}", text, labels, registry=self.registry)
        made.room = self.room
        return made

    def histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        made = _Histogram(f"nilometer_{name}", text, labels, registry=self.registry, buckets=buckets)
        made.room, made.cost = self.room, len(buckets) + 3
        if not labels:
            self.room.take(made.cost)
        return made


def observe(child: Histogram, values: Floats) -> None:
    """Add many values (those that are numbers) to a histogram, bucket by bucket rather than one by one."""
    finite = values[~np.isnan(values)]
    if not len(finite):
        return
    buckets: Any = child._buckets
    places = np.searchsorted(np.array(child._upper_bounds), finite, side="left")
    for bucket, count in zip(buckets, np.bincount(places, minlength=len(buckets)).tolist(), strict=True):
        if count:
            bucket.inc(count)
    child._sum.inc(float(finite.sum()))
