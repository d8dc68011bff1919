"""The few sensors and employees that a setting names (``[metrics] watch``): their own numbers, with their ids as a label, or a hash
of them (`log.hash_keys`).

What was said of their latest event is noted batch by batch, which costs nothing where nobody is watched; what stands in the state of them
is looked up once a second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from config.settings import Log
from detectors.benford.look import digits
from detectors.normal_model.look import expected
from detectors.protocol import Columns, Floats, Verdicts
from state.keys import PackedKeys
from streams.decoding.fields import hashes
from streams.telemetry.metrics import Metrics
from streams.telemetry.privacy import masked

if TYPE_CHECKING:
    from streams.partition import Partition

WATCHED = ("sensors", "employees")
BOUNDS = ("low", "high")
TESTS = ("digits", "onset", "band", "repeats")  # of an employee, as the evidence of each posting names them


class WatchList:
    """The keys that are watched, and where they have been seen."""

    def __init__(self, keys: Sequence[str], metrics: Metrics, log: Log) -> None:
        self._log = log
        packed = PackedKeys.pack(keys)
        self._keys = {int(number): key.encode() for number, key in zip(hashes(packed).tolist(), keys, strict=True)}
        self._numbers = np.array(sorted(self._keys), np.int64)
        self._seen: dict[tuple[str, int], set[bytes]] = {}
        self._threshold: dict[tuple[str, bytes], float] = {}
        self._value: dict[bytes, float] = {}
        gauge = metrics.series.gauge
        self.value = gauge("watched_value", "A watched sensor's latest reading.", "key")
        self.band = gauge("watched_expected_value", "Between which its Normal Model expects that reading.", "key", "bound")
        self.score = gauge("watched_score", "The latest score of a watched sensor or employee.", "stream", "key")
        self.threshold = gauge("watched_threshold", "What that score was held against.", "stream", "key")
        self.p_value = gauge("watched_p_value", "The latest p-value.", "stream", "key")
        self.episodes = gauge("watched_open_episodes", "Episodes of a watched key that are open.", "stream", "key")
        self.evidence = gauge("watched_evidence", "A watched employee's evidence by test: odds against an honest one.", "key", "test")
        self.digits = gauge(
            "watched_digit_ratio", "Share of a watched employee's postings that a digit leads: observed, expected.", "key", "digit", "kind"
        )

    def note(self, part: Partition, columns: Columns, rows: Any, verdicts: Verdicts) -> None:
        """Note what was said of watched keys in a batch, `rows` of whose events were folded."""
        if not len(self._numbers) or part.stream not in WATCHED or not len(verdicts):
            return
        keys = columns.keys if len(rows) == len(columns) else columns.keys.take(rows)
        numbers = hashes(keys)
        for number in np.intersect1d(self._numbers, numbers).tolist():
            row = int(np.flatnonzero(numbers == number)[-1])
            key = keys[row]
            if key == self._keys[number]:
                self._note(part, key, columns, int(rows[row]), verdicts, row)

    def _note(self, part: Partition, key: bytes, columns: Columns, place: int, verdicts: Verdicts, row: int) -> None:
        stream, name = part.stream, masked(key, part.stream, self._log)
        self._seen.setdefault((stream, part.number), set()).add(key)
        if stream == "sensors":
            self._value[key] = float(columns.fields["value"][place])
        self.score.labels(stream, name).set(verdicts.score[row])
        self.threshold.labels(stream, name).set(verdicts.threshold[row])
        self.p_value.labels(stream, name).set(verdicts.p_value[row])
        self._threshold[stream, key] = float(verdicts.threshold[row])
        if stream == "employees":
            for test in TESTS:
                self.evidence.labels(name, test).set(verdicts.evidence[test][row])

    def look(self, part: Partition) -> None:
        """Set what the state says of the watched keys of a partition."""
        for key in self._seen.get((part.stream, part.number), ()):
            slot = part.state.keys.find(key)
            if slot < 0:
                continue
            name = masked(key, part.stream, self._log)
            self.episodes.labels(part.stream, name).set(part.episodes.open_of(slot))
            if part.stream == "sensors":
                found = expected(part.state, slot, self._threshold[part.stream, key])
                value, *band = found or (self._value[key], math.nan, math.nan)
                self.value.labels(name).set(value)
                for bound, limit in zip(BOUNDS, band, strict=True):
                    self.band.labels(name, bound).set(limit)
            else:
                self._count(name, *digits(part.state, slot))

    def _count(self, name: str, observed: Floats, expected: Floats) -> None:
        for kind, counts in (("observed", observed), ("expected", expected)):
            whole = float(counts.sum())
            for digit, count in enumerate(counts.tolist(), 1):
                self.digits.labels(name, str(digit), kind).set(count / whole if whole > 0.0 else math.nan)

    def forget(self, stream: str, partition: int) -> None:
        """Show nothing more of the keys of a partition that is another worker's now."""
        for key in self._seen.pop((stream, partition), ()):
            name = masked(key, stream, self._log)
            for metric in (self.score, self.threshold, self.p_value, self.episodes):
                metric.remove(stream, name)
            if stream == "sensors":
                self.value.remove(name)
                for bound in BOUNDS:
                    self.band.remove(name, bound)
            else:
                for test in TESTS:
                    self.evidence.remove(name, test)
                for digit in range(1, 10):
                    for kind in ("observed", "expected"):
                        self.digits.remove(name, str(digit), kind)
