"""Sensors that fall silent, by what their partition lives through."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.normal_model.detector import NormalModelDetector
from detectors.normal_model.fold import GONE
from detectors.protocol import JUDGED, NO_LOOK, ROW, SCORE, SLOT, TEST, UNTIL_HEARD, Columns
from state.keys import PackedKeys
from state.snapshot import pack, unpack
from streams.partition import Origins, Partition, run
from tests import alarms
from tests.detectors.normal_model.test_detector import judged

SMALL = {"length": 12, "warm_up": 200, "calibration": 60}


def events(pairs):
    """Columns of (sensor, second) pairs."""
    keys, at = zip(*pairs, strict=True)
    return Columns(PackedKeys.pack(keys), (np.array(at) * 1e6).astype(np.int64), {"value": np.sin(np.arange(len(at), dtype=np.float64))})


def both(first, last):
    return [(key, second) for second in range(first, last) for key in ("fan", "pump")]


def gone(verdicts, state):
    places = verdicts.alarms.places
    return [(state.keys.key(int(slot)).decode(), int(row)) for row, slot in places[places[:, TEST] == GONE][:, [ROW, SLOT]]]


def test_a_sensor_is_silent_after_so_many_of_its_usual_intervals_of_its_partitions_life():
    columns = events(both(0, 100) + [("fan", second) for second in range(100, 200)])
    detector = NormalModelDetector(**SMALL, silence=20.0)
    verdicts, state = judged(detector, columns)
    ((key, row),) = gone(verdicts, state)
    assert key == "pump"
    assert columns.at[row] == 120_000_000  # last heard at 99 s; 20 intervals of 1 s are over at 119 s
    explanation = detector.explain(verdicts.alarms, 0)
    assert explanation.evidence["usual_interval"] == 1.0
    assert explanation.evidence["last_at"] == "1970-01-01T00:01:39Z"
    assert verdicts.alarms.numbers[0, SCORE] == pytest.approx(21.0)


def test_an_outage_of_everything_is_nobodys_silence():
    columns = events(both(0, 100) + both(10_000, 10_100))
    verdicts, state = judged(NormalModelDetector(**SMALL), columns)
    assert gone(verdicts, state) == []


def test_after_an_outage_of_a_day_a_silence_is_found_as_soon_as_before_it():
    columns = events(both(0, 100) + both(86_400, 86_450) + [("fan", second) for second in range(86_450, 86_600)])
    verdicts, state = judged(NormalModelDetector(**SMALL), columns)
    ((key, row),) = gone(verdicts, state)
    assert key == "pump"
    assert columns.at[row] <= 86_480_000_000  # last heard at 86,449 s


def test_after_an_outage_of_a_day_a_gap_of_an_hour_is_still_a_gap():
    columns = events([("pump", second) for second in range(500)])
    columns.at[400:] += 86_400_000_000
    columns.at[420:] += 3_600_000_000
    verdicts, _ = judged(NormalModelDetector(**SMALL), columns)
    for after in (400, 420):
        assert (verdicts.reason[after : after + 11] == NO_LOOK).all()
        assert verdicts.reason[after + 11] == JUDGED


def test_a_sensor_that_is_read_more_seldom_from_now_on_is_soon_used_to_it():
    columns = events([("pump", second) for second in range(500)])
    columns.at[400:] += 59_000_000 * np.arange(1, 101)
    verdicts, _ = judged(NormalModelDetector(**SMALL), columns)
    assert (verdicts.reason[420:] == JUDGED).all()


def test_a_device_whose_clock_is_months_ahead_silences_no_other():
    pairs = [(key, second + (10_000_000 if key == "pump" else 0)) for key, second in both(0, 200)]
    verdicts, state = judged(NormalModelDetector(**SMALL), events(pairs))
    assert gone(verdicts, state) == []


def test_a_sensor_alone_is_never_silent_and_a_new_one_not_yet():
    pairs = [("pump", second) for second in range(100)] + [("pump", second) for second in range(5000, 5100)]
    verdicts, state = judged(NormalModelDetector(**SMALL), events(pairs))
    assert gone(verdicts, state) == []
    verdicts, state = judged(NormalModelDetector(**SMALL), events([("new", i) for i in range(10)] + both(10, 200)))
    assert gone(verdicts, state) == []


def test_with_silence_nought_nobody_is_ever_silent():
    verdicts, state = judged(NormalModelDetector(**SMALL, silence=0.0), events(both(0, 100) + [("fan", s) for s in range(100, 500)]))
    assert gone(verdicts, state) == []


def test_the_episode_of_a_silence_ends_with_the_sensors_next_reading():
    detector = NormalModelDetector(**SMALL)
    assert detector.quiet_units[GONE] == UNTIL_HEARD
    columns = events(both(0, 100) + [("fan", s) for s in range(100, 300)] + both(300, 310))
    part = Partition("sensors", "topic", 0, detector, silence=50.0)
    rows = np.arange(len(columns))
    reports = run(part.fold(columns, Origins.of_record("topic", 0, rows, np.zeros_like(rows)), len(columns))).reports
    steps = [(report.transition.key, report.transition.phase) for report in reports if report.transition.test == GONE]
    assert steps == [(b"pump", "opened"), (b"pump", "closed")]
    assert reports[-1].at == 300_000_000


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_silences_do_not_depend_on_cuts_or_on_where_the_state_was_frozen(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    many = data.draw(st.integers(2, 6))
    stops = rng.integers(30, 120, many)
    back = stops + rng.integers(5, 80, many)
    pairs = [
        (f"s{key}", second + 0.1 * key) for second in range(200) for key in rng.permutation(many) if not stops[key] <= second < back[key]
    ]
    columns = events(pairs)
    columns.fields["value"][rng.random(len(pairs)) < 0.05] = np.nan  # a sign of life, though it cannot be read,
    columns.at[rng.random(len(pairs)) < 0.05] -= 5_000_000  # nor used
    detector = NormalModelDetector(**SMALL, silence=float(data.draw(st.sampled_from([3, 10, 20]))))
    reference, whole = judged(detector, columns)
    places = data.draw(st.lists(st.integers(0, len(columns)), max_size=6).map(sorted))
    state, parts, slots = detector.new_state(), [], []
    for first, last in zip([0, *places], [*places, len(columns)], strict=True):
        if last > first:
            verdicts, state = judged(detector, columns.span(first, last), state)
            parts.append(verdicts)
            slots += [key for key, _ in gone(verdicts, state)]
        state = detector.thaw(unpack(pack(detector.freeze(state))))
    computed = type(reference).join(parts)
    assert {k: v.tobytes() for k, v in alarms.columns(computed).items()} == {k: v.tobytes() for k, v in alarms.columns(reference).items()}
    assert slots == [key for key, _ in gone(reference, whole)]
    assert pack(detector.freeze(state)) == pack(detector.freeze(whole))
