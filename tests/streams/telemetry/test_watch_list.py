from __future__ import annotations

import numpy as np
import pytest

from config.load import defaults
from detectors.benford.detector import BenfordDetector
from detectors.normal_model.detector import NormalModelDetector
from detectors.protocol import Columns
from state.keys import PackedKeys
from streams.partition import Origins, Partition, run
from streams.telemetry.measuring import bytes_of
from streams.telemetry.metrics import Metrics
from streams.telemetry.watch_list import WatchList

MINUTE = 60_000_000


def fold(part, columns):
    n = len(columns)
    offsets = part.next + np.arange(n)
    return run(part.fold(columns, Origins.of_record(part.topic, 0, offsets, np.zeros(n, np.int64)), part.next + n))


def sensors():
    rng = np.random.default_rng(0)
    wave = 20.0 + 5.0 * np.sin(np.arange(900) / 4.0) + 0.1 * rng.standard_normal(900)
    detector = NormalModelDetector(length=25, warm_up=300, rebuilds=[], calibration=100, hand_over_lag=0, hand_over_spread=1)
    part = Partition("sensors", "sensor.readings", 0, detector, 3600.0)
    keys = PackedKeys.pack([f"s{number % 3}" for number in range(2700)])
    fields = {"value": np.repeat(wave, 3), "class": np.full(2700, -1)}
    return part, Columns(keys, np.repeat(np.arange(900), 3) * MINUTE, fields)


@pytest.fixture
def watched():
    metrics = Metrics()
    return WatchList(["s1", "clerk-1"], metrics, defaults().log), metrics.registry.get_sample_value, metrics


def test_a_watched_sensor_shows_its_reading_what_is_expected_of_it_and_its_score(watched):
    watch, sample, _ = watched
    part, columns = sensors()
    inside = 0
    for first in range(0, 2700, 50):
        chunk = columns.span(first, first + 50)
        outcome = fold(part, chunk)
        watch.note(part, chunk, outcome.rows, outcome.verdicts)
        watch.look(part)
        if first > 2000:
            value, low, high = (sample(f"nilometer_watched_{name}", {"key": "s1", **bound}) for name, bound in (
                ("value", {}), ("expected_value", {"bound": "low"}), ("expected_value", {"bound": "high"})))  # fmt: skip
            inside += low <= value <= high
            assert high - low < 2.0
    assert inside >= 10  # of 13: half of the width is what readings may be off on average, at the threshold
    last = [row for row in range(50) if chunk.keys[row] == b"s1"][-1]
    assert sample("nilometer_watched_value", {"key": "s1"}) == chunk.fields["value"][last]
    assert sample("nilometer_watched_score", {"stream": "sensors", "key": "s1"}) == outcome.verdicts.score[last]
    assert sample("nilometer_watched_p_value", {"stream": "sensors", "key": "s1"}) == outcome.verdicts.p_value[last]
    slot = part.state.keys.find(b"s1")
    assert sample("nilometer_watched_open_episodes", {"stream": "sensors", "key": "s1"}) == part.episodes.open_of(slot)
    assert sample("nilometer_watched_value", {"key": "s0"}) is None


def test_a_watched_employee_shows_evidence_and_digits(watched):
    watch, sample, _ = watched
    watch._log = type(defaults().log)(**{name: getattr(defaults().log, name) for name in ("format", "level", "hash_secret")}, hash_keys=())
    part = Partition("employees", "employee.postings", 0, BenfordDetector(mu=3.0, sigma=0.7), 3600.0)
    n = 40
    amounts = np.array([100 * (900 + 7 * number) for number in range(n)], np.int64)
    fields = {"amount": amounts, "limit": np.full(n, -1), "approval_limit": np.full(n, -1)}
    columns = Columns(PackedKeys.pack(["clerk-1"] * n), np.arange(n) * MINUTE, fields)
    outcome = fold(part, columns)
    watch.note(part, columns, outcome.rows, outcome.verdicts)
    watch.look(part)
    assert sample("nilometer_watched_evidence", {"key": "clerk-1", "test": "digits"}) == outcome.verdicts.evidence["digits"][-1]
    for kind in ("observed", "expected"):
        labels = [{"key": "clerk-1", "digit": str(digit), "kind": kind} for digit in range(1, 10)]
        assert sum(sample("nilometer_watched_digit_ratio", each) for each in labels) == pytest.approx(1.0)
    nines = {"key": "clerk-1", "digit": "9", "kind": "observed"}
    assert sample("nilometer_watched_digit_ratio", nines) == np.mean([str(amount)[0] == "9" for amount in amounts])


def test_nobody_else_is_shown_and_what_is_gone_is_forgotten(watched):
    watch, sample, metrics = watched
    part, columns = sensors()
    outcome = fold(part, columns)
    watch.note(part, columns, outcome.rows, outcome.verdicts)
    watch.look(part)
    shown = {sample.labels["key"] for family in metrics.registry.collect() for sample in family.samples if "key" in sample.labels}
    assert shown == {"s1"}
    used = metrics.series.room.used
    watch.forget("sensors", 0)
    assert metrics.series.room.used < used
    assert sample("nilometer_watched_value", {"key": "s1"}) is None


def test_a_state_says_how_much_memory_it_takes():
    part, columns = sensors()
    before = bytes_of(part.state)
    fold(part, columns)
    assert bytes_of(part.state) >= before + 8 * 3 * 300
    rows = BenfordDetector().new_state()
    rows.fit()
    assert bytes_of(rows) >= rows.rows.whole.nbytes  # a view of aligned memory
