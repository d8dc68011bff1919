"""What a worker tells Prometheus: prefix ``nilometer_``, base units, ``_total`` on counters, at most 10,000 series.

No card, employee or sensor is a label, but for the keys that a setting names (`streams.telemetry.watch_list`). Counts that speak
of the promise (tested, alerted) come from the state, so a replay after a crash does not inflate them; rates and times are the worker's own.
What follows from a batch is set once a batch; what follows from the state, once a second (`streams.telemetry.measuring`); ages, when they
are asked for.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client import Gauge, Info, ProcessCollector

from streams.durable.parked import Cause, Parked
from streams.partition import Counts
from streams.telemetry.series import Series, observe

if TYPE_CHECKING:
    from streams.agents.trainer import Measured
    from streams.definitions import Definition

MOST_SERIES = 10_000  # of one worker: four streams of 150 partitions each
PHASES, SEVERITIES = ("opened", "updated", "closed"), ("warning", "critical")
UNJUDGED = ("late", "repeated")  # by these names in `Counts`

_P_VALUES = (0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
_LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
_STEPS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5)
_SIZES = (1, 10, 50, 100, 500, 1_000, 5_000, 10_000, 50_000)
_BUILDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
_AMOUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 100_000)
_UNUSUALNESS = (0.5, 1, 2, 3, 4, 6, 8, 10, 12, 15, 20, 30)
_DELAYS = (3_600, 21_600, 86_400, 172_800, 345_600, 604_800, 1_209_600, 2_592_000, 7_776_000)  # an hour to a quarter


class Metrics:
    """All metrics of one worker, in a registry of their own."""

    def __init__(self, most_series: int = MOST_SERIES) -> None:
        series = self.series = Series(most_series)
        self.registry = series.registry
        counter, gauge, histogram = series.counter, series.gauge, series.histogram
        ProcessCollector(registry=self.registry)

        self.build = Info("nilometer_build", "Which build this is, and the digest of the configuration.", registry=self.registry)
        self.kernels = gauge(
            "kernels_info", "1, by the digest of what the kernels said to known events: one machine, one digest.", "stream", "digest"
        )
        self.ready = Gauge("nilometer_ready", "1 while /readyz says so.", registry=self.registry)
        self.tasks = Gauge("nilometer_tasks", "Asyncio tasks that are alive.", registry=self.registry)
        self.checkpoint_interval = Gauge(
            "nilometer_checkpoint_interval_seconds", "How often a partition's state should be made durable.", registry=self.registry
        )

        # A batch.
        self.records = counter("records", "Kafka records read.", "stream")
        self.events = counter("events", "Events folded (a frame of readings is many).", "stream")
        self.not_ready = counter("not_ready_events", "Events of keys that are still warming up.", "stream")
        self.skipped = counter("skipped_events", "Events skipped because an earlier record had brought them.", "stream")
        self.evicted = counter("evicted_keys", "Keys that left the state because others needed their room (key_limit).", "stream")
        self.dead_letters = counter("dead_letters", "Records, or readings of a frame, that could not be read.", "stream")
        self.alerts = counter("alerts", "Alerts sent, by the phase of their episode.", "stream", "test", "phase", "severity")
        self.undelivered = counter("undelivered", "Records that a broker did not take; they are said again.", "topic")
        self.replies = counter("replies", "Records that asked for their verdict, by whether they were answered.", "stream", "outcome")
        self.batch_events = histogram("batch_events", "Events in a batch.", _SIZES, "stream")
        self.fold_seconds = histogram("fold_seconds", "Time to decode and fold a batch.", _STEPS, "stream")
        self.latency_seconds = histogram(
            "latency_seconds", "From a record's Kafka timestamp to its verdict, the last record of each batch.", _LATENCIES, "stream"
        )
        self.p_values = histogram("p_value", "p-values of the events that were tested.", _P_VALUES, "stream")
        self.unusualness = histogram("card_unusualness", "How unusual transactions are for their cards: sums of −ln p.", _UNUSUALNESS)
        self.amounts = histogram(
            "card_amount", "Amounts of transactions, in major units of the currency; refunds are not counted.", _AMOUNTS, "alert"
        )
        self.builds = counter("builds", "Models built off the hot path.", "stream")
        self.build_seconds = histogram("build_seconds", "Time to build a model.", _BUILDS, "stream")
        self.cuts = counter("cuts", "Inputs adopted from outside the log.", "stream")

        # A partition.
        of_partition = ("stream", "partition")
        self.fold_lag = gauge("fold_lag_records", "Records in the log that are not folded yet.", *of_partition)
        self.lag_seconds = gauge(
            "lag_seconds", "Age of the last folded record by its Kafka timestamp, 0 where nothing waits behind it.", *of_partition
        )
        self.event_time = gauge(
            "event_timestamp_seconds", "The partition's event time: the latest that its events have named.", *of_partition
        )
        self.keys = gauge("keys", "Keys held in the state.", *of_partition)
        self.state_bytes = gauge("state_bytes", "Memory that the state takes.", *of_partition)
        self.open_episodes = gauge("open_episodes", "Episodes that are open.", *of_partition)
        self.tested = gauge("tested_events", "Events tested so far, counted in the state.", *of_partition)
        self.alerted = gauge("alerted_events", "Of the tested events, those beyond the budget.", *of_partition)
        self.unjudged = gauge("unjudged_events", "Events so far that came late or twice, counted in the state.", *of_partition, "reason")
        self.realised_rate = gauge("realised_alert_ratio", "Alerted of tested events, counted in the state.", *of_partition)
        self.promised_rate = gauge("promised_alert_ratio", "The budget: at most this share of normal events.", "stream")
        self.bin_tested = gauge(
            "bin_tested_events", "Events tested so far in a bin of hardness, counted in the state.", *of_partition, "bin"
        )
        self.bin_alerted = gauge("bin_alerted_events", "Of those, the ones beyond the budget.", *of_partition, "bin")
        self.folding = gauge("partition_ready", "1 where a partition is assigned, restored and folding.", *of_partition)
        self.parked = gauge("partition_parked", "1 where a partition waits for a person, by why.", *of_partition, "cause")
        self.restore_seconds = histogram("restore_seconds", "Time to restore a partition.", _LATENCIES, "stream")
        self.checkpoint_seconds = histogram("checkpoint_seconds", "Time to make a checkpoint.", _LATENCIES, "stream")
        self.checkpoint_bytes = gauge("checkpoint_bytes", "Size of the last checkpoint, compressed.", *of_partition)
        self.checkpoint_age = gauge(
            "checkpoint_age_seconds", "Time since the last checkpoint, or since nothing has changed.", *of_partition
        )

        # What is learned from labels.
        self.model_through = gauge(
            "model_through_timestamp_seconds",
            "Event time through which the model in force had learned: its version; 0: none.",
            *of_partition,
        )
        self.model_decides = gauge("model_decides", "1 where the model in force decides by expected loss, 0 where ranks do.", *of_partition)
        self.labels = counter("labels", "Labels read, by what they say.", "stream", "label")
        self.label_delay = histogram(
            "label_delay_seconds", "From a transaction to its label, by event time; of those that have matured.", _DELAYS, "stream"
        )
        self.learned = gauge("learned_events", "Matured transactions that the model has learned, each once.", "stream", "label")
        self.lost_labels = gauge("lost_labels", "Changed outcomes that came too late to be learned.", "stream")
        self.trained_through = gauge("trained_through_timestamp_seconds", "Event time through which the trainer has learned.", "stream")
        of_model = ("stream", "model")
        self.average_precision = gauge("model_average_precision", "Average precision on the last matured transactions.", *of_model)
        self.roc_auc = gauge("model_roc_auc", "Area under the ROC curve on the same.", *of_model)
        self.log_loss = gauge("model_log_loss", "Mean log loss on the same.", *of_model)
        self.measured = gauge("model_measured_events", "Matured transactions that these measures are of.", *of_model)

        self._of_partition = (
            self.fold_lag, self.lag_seconds, self.event_time, self.keys, self.state_bytes, self.open_episodes, self.tested, self.alerted,
            self.realised_rate, self.folding, self.checkpoint_bytes, self.checkpoint_age, self.model_through, self.model_decides,
        )  # fmt: skip
        self._bins: dict[tuple[str, str], int] = {}
        self._made: dict[tuple[str, str], float] = {}  # when the last checkpoint was, by `time.monotonic`

    def begin(self, stream: Definition) -> None:
        """Show what a stream has not done yet: a counter that appears with its first event hides it from `rate`."""
        name = stream.name
        for metric in (
            self.records, self.events, self.not_ready, self.skipped, self.evicted, self.dead_letters, self.batch_events, self.fold_seconds,
            self.latency_seconds, self.p_values, self.builds, self.build_seconds, self.cuts, self.restore_seconds, self.checkpoint_seconds,
        ):  # fmt: skip
            metric.labels(name)
        for test in stream.detector.tests:
            for phase in PHASES:
                for severity in SEVERITIES:
                    self.alerts.labels(name, test, phase, severity)
        if stream.comparable:
            self.promised_rate.labels(name).set(stream.rate)
        if stream.replies is not None:
            for outcome in ("sent", "refused"):
                self.replies.labels(name, outcome)
        if stream.train is not None:
            self.label_delay.labels(name)
            for label in ("fraud", "genuine"):
                self.labels.labels(name, label)

    def identify(self, build: str, configuration: str) -> None:
        """Say which build this is."""
        self.build.info({"version": build.removeprefix("nilometer "), "configuration": configuration, "python": platform.python_version()})

    def tested_kernels(self, digests: Mapping[str, str]) -> None:
        """Say what each stream's kernels said to known events."""
        for stream, digest in digests.items():
            self.kernels.labels(stream, digest).set(1)

    def seen(self, stream: str, partition: int, counts: Counts, keys: int, open_episodes: int) -> None:
        """Set what follows from a partition's counts."""
        where = (stream, str(partition))
        self.keys.labels(*where).set(keys)
        self.open_episodes.labels(*where).set(open_episodes)
        self.tested.labels(*where).set(counts.tested)
        self.alerted.labels(*where).set(counts.alert_rows)
        for reason in UNJUDGED:
            self.unjudged.labels(*where, reason).set(getattr(counts, reason))
        if counts.tested:
            self.realised_rate.labels(*where).set(counts.alert_rows / counts.tested)

    def binned(self, stream: str, partition: int, tested: Iterable[int], alerted: Iterable[int]) -> None:
        """Set what a partition has tested, and what of it alerted, by bin of hardness from the easiest on."""
        where = (stream, str(partition))
        for number, (judged, beyond) in enumerate(zip(tested, alerted, strict=True)):
            self.bin_tested.labels(*where, str(number)).set(judged)
            self.bin_alerted.labels(*where, str(number)).set(beyond)
            self._bins[where] = number + 1

    def restored(self, stream: str, partition: int, seconds: float) -> None:
        """A partition is folding from now on."""
        self.restore_seconds.labels(stream).observe(seconds)
        self.folding.labels(stream, str(partition)).set(1)

    def waits(self, stream: str, partition: int, why: Parked | None) -> None:
        """A partition is parked; with None it is no longer."""
        where = (stream, str(partition))
        for cause in Cause:
            if why is not None and why.cause == cause:
                self.parked.labels(*where, str(cause)).set(1)
            else:
                self.parked.remove(*where, str(cause))
        if why is None:
            self.folding.remove(*where)
        else:
            self.folding.labels(*where).set(0)

    def checkpoint(self, stream: str, partition: int, size: int, seconds: float) -> None:
        """A checkpoint has been made."""
        self.checkpoint_seconds.labels(stream).observe(seconds)
        self.checkpoint_bytes.labels(stream, str(partition)).set(size)

    def checkpointed(self, stream: str, partition: int, age: float) -> None:
        """A partition's last checkpoint is so many seconds old; it goes on ageing even where nobody says so again."""
        where = (stream, str(partition))
        known, self._made[where] = where in self._made, time.monotonic() - age
        if not known:
            self.checkpoint_age.labels(*where).set_function(lambda: time.monotonic() - self._made.get(where, math.nan))

    def forget(self, stream: str, partition: int) -> None:
        """Drop what was said of a partition that is another worker's now: sums over workers would count it twice."""
        where = (stream, str(partition))
        for metric in self._of_partition:
            metric.remove(*where)
        self._made.pop(where, None)
        for reason in UNJUDGED:
            self.unjudged.remove(*where, reason)
        for number in range(self._bins.pop(where, 0)):
            self.bin_tested.remove(*where, str(number))
            self.bin_alerted.remove(*where, str(number))

    def trained(self, stream: str, found: Measured | None) -> None:
        """Set what a trainer has found; None: its work is another worker's now, and nothing more is shown of it."""
        if found is None:
            for gauge in (self.learned, self.lost_labels, self.trained_through, self.measured, *self._measures.values()):
                gauge.clear()  # no other stream is trained
            return
        self.learned.labels(stream, "fraud").set(found.frauds)
        self.learned.labels(stream, "genuine").set(found.learned - found.frauds)
        self.lost_labels.labels(stream).set(found.lost)
        self.trained_through.labels(stream).set(found.through)
        observe(self.label_delay.labels(stream), found.delays)
        for model, measures in found.models.items():
            self.measured.labels(stream, model).set(measures["transactions"])
            for name, gauge in self._measures.items():
                if measures[name] is not None:
                    gauge.labels(stream, model).set(measures[name])

    @property
    def _measures(self) -> dict[str, Gauge]:
        return {"average_precision": self.average_precision, "roc_auc": self.roc_auc, "log_loss": self.log_loss}

    def observe_p_values(self, stream: str, p_values: Any) -> None:
        """Add a batch of p-values (those that are numbers) to their histogram."""
        observe(self.p_values.labels(stream), p_values)
