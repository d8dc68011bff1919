"""What a worker tells Prometheus: prefix ``nilometer_``, base units, ``_total`` on counters.

No card, employee or sensor is ever a label. Counts that speak of the promise (tested, alerted) come from the state, so a replay
after a crash does not inflate them; rates and times are the worker's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from streams.partition import Counts

_P_VALUES = (0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
_LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
_STEPS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5)
_SIZES = (1, 10, 50, 100, 500, 1_000, 5_000, 10_000, 50_000)


class Metrics:
    """All metrics of one worker, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"nilometer_{name}", text, labels, registry=self.registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"nilometer_{name}", text, labels, registry=self.registry)

        def histogram(name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
            return Histogram(f"nilometer_{name}", text, labels, registry=self.registry, buckets=buckets)

        self.records = counter("records", "Kafka records read.", "stream")
        self.events = counter("events", "Events folded (a frame of readings is many).", "stream")
        self.not_ready = counter("not_ready_events", "Events of keys that are still warming up.", "stream")
        self.skipped = counter("skipped_events", "Events skipped because an earlier record had brought them.", "stream")
        self.dead_letters = counter("dead_letters", "Records, or readings of a frame, that could not be read.", "stream")
        self.alerts = counter("alerts", "Alerts sent, by the phase of their episode.", "stream", "test", "phase", "severity")
        self.batch_events = histogram("batch_events", "Events in a batch.", _SIZES, "stream")
        self.fold_seconds = histogram("fold_seconds", "Time to decode and fold a batch.", _STEPS, "stream")
        self.latency_seconds = histogram(
            "latency_seconds", "From a record's Kafka timestamp to its verdict, the last record of each batch.", _LATENCIES, "stream"
        )
        self.p_values = histogram("p_value", "p-values of the events that were tested.", _P_VALUES, "stream")
        self.fold_lag = gauge("fold_lag_records", "Records in the log that are not folded yet.", "stream", "partition")
        self.lag_seconds = gauge("lag_seconds", "Age of the last folded record by its Kafka timestamp.", "stream", "partition")
        self.keys = gauge("keys", "Keys held in the state.", "stream", "partition")
        self.open_episodes = gauge("open_episodes", "Episodes that are open.", "stream", "partition")
        self.tested = gauge("tested_events", "Events tested so far, counted in the state.", "stream", "partition")
        self.alerted = gauge("alerted_events", "Of the tested events, those beyond the budget.", "stream", "partition")
        self.realised_rate = gauge("realised_alert_ratio", "Alerted of tested events, counted in the state.", "stream", "partition")
        self.promised_rate = gauge("promised_alert_ratio", "The budget: at most this share of normal events.", "stream")
        self.builds = counter("builds", "Models built off the hot path.", "stream")
        self.build_seconds = histogram("build_seconds", "Time to build a model.", (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0), "stream")
        self.cuts = counter("cuts", "Inputs adopted from outside the log.", "stream")
        self.ready = gauge("partition_ready", "1 where a partition is assigned, restored and folding.", "stream", "partition")
        self.parked = gauge("partition_parked", "1 where a partition waits for a person, by why.", "stream", "partition", "cause")
        self.restore_seconds = histogram("restore_seconds", "Time to restore a partition.", _LATENCIES, "stream")
        self.checkpoint_seconds = histogram("checkpoint_seconds", "Time to make a checkpoint.", _LATENCIES, "stream")
        self.checkpoint_bytes = gauge("checkpoint_bytes", "Size of the last checkpoint, compressed.", "stream", "partition")
        self.checkpoint_age = gauge("checkpoint_age_seconds", "Time since the last checkpoint.", "stream", "partition")
        self.build = Info("nilometer_build", "Version and digest of the configuration.", registry=self.registry)

    def forget(self, stream: str, partition: int) -> None:
        """Drop what was said of a partition that is another worker's now: sums over workers would count it twice."""
        where = (stream, str(partition))
        for metric in (
            self.fold_lag, self.lag_seconds, self.keys, self.open_episodes, self.tested, self.alerted, self.realised_rate,
            self.checkpoint_bytes, self.checkpoint_age, self.ready,
        ):  # fmt: skip
            metric.remove(*where)

    def seen(self, stream: str, partition: int, counts: Counts, keys: int, open_episodes: int) -> None:
        """Set what follows from a partition's state."""
        where = (stream, str(partition))
        self.keys.labels(*where).set(keys)
        self.open_episodes.labels(*where).set(open_episodes)
        self.tested.labels(*where).set(counts.tested)
        self.alerted.labels(*where).set(counts.alert_rows)
        if counts.tested:
            self.realised_rate.labels(*where).set(counts.alert_rows / counts.tested)

    def observe_p_values(self, stream: str, p_values: Any) -> None:
        """Add a batch of p-values (those that are numbers) to their histogram, bucket by bucket rather than one by one."""
        import numpy as np

        child = self.p_values.labels(stream)
        finite = p_values[~np.isnan(p_values)]
        if not len(finite):
            return
        places = np.searchsorted(np.array(_P_VALUES), finite, side="left")
        for bucket, count in zip(child._buckets, np.bincount(places, minlength=len(child._buckets)).tolist(), strict=False):
            bucket.inc(count)
        child._sum.inc(float(finite.sum()))
