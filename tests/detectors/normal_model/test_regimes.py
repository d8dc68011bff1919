"""Changes of regime: Page's test, the trailing median, and what a sensor that changes is judged by."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.normal_model.detector import NormalModelDetector
from detectors.normal_model.fold import REGIME
from detectors.normal_model.kinds import MOST_RANKED
from detectors.normal_model.layout import RUNG, STORED
from detectors.normal_model.regimes import BACK, excess, far_line, page_step
from detectors.protocol import ROW, TEST
from state.snapshot import pack, unpack
from tests import alarms, naive
from tests.detectors.normal_model.test_detector import judged, readings

SMALL = {
    "length": 12, "warm_up": 200, "rebuilds": (400, 600), "calibration": 60, "epsilon": 0.05, "hand_over_lag": 20, "hand_over_spread": 5,
}  # fmt: skip


def pulses(n, seed=0, noise=0.05):
    """Another kind of sensor: a short pulse every 18 readings."""
    phase = np.arange(n) % 18
    return 3.0 * np.exp(-((phase - 4.0) ** 2) / 2.0) + noise * np.random.default_rng(seed).standard_normal(n)


def wave(n, seed=0, noise=0.05):
    return np.sin(2 * np.pi * np.arange(n) / 12) + noise * np.random.default_rng(seed).standard_normal(n)


def there_and_back():
    return np.concatenate([wave(1500), pulses(1500, 1), wave(1500, 2), pulses(1000, 3)])


def changes(verdicts):
    return np.flatnonzero(verdicts.alarms.places[:, TEST] == REGIME)


@settings(max_examples=60)
@given(far=st.lists(st.booleans(), max_size=60), decided=st.integers(1, 12))
def test_pages_sum_is_the_greatest_gain_of_a_stretch_that_ends_here(far, decided):
    reference = naive.page_alarm(far, BACK, decided)
    computed, total, onset = None, 0, 0
    for place, x in enumerate(far):
        if total == 0:
            onset = place
        total = page_step(total, x)
        if total >= decided:
            computed = place, onset
            break
    assert computed == reference


@settings(max_examples=60)
@given(trail=st.lists(st.floats(0, 10, allow_nan=False), min_size=1, max_size=30), line=st.floats(0, 10))
def test_the_excess_of_the_trailing_median_is_taken_off_only_beyond_the_line(trail, line):
    assert excess(np.array(trail), 0.5, line) == pytest.approx(naive.trailing_excess(trail, 0.5, line), abs=1e-12)


def test_the_line_is_a_share_of_a_flat_lines_distance_or_twice_the_usual():
    assert far_line(1.0, 75) == pytest.approx(0.6 * 75**0.5)
    assert far_line(4.0, 75) == 8.0


def test_a_change_of_regime_is_found_once_and_told_with_the_old_and_the_new_model():
    detector = NormalModelDetector(**SMALL)
    verdicts, _ = judged(detector, readings(np.concatenate([wave(1500), pulses(1500, 1)])))
    (number,) = changes(verdicts).tolist()
    row = int(verdicts.alarms.places[number, ROW])
    assert 1700 <= row <= 1750
    assert not verdicts.not_ready[1499]
    assert verdicts.not_ready[row]
    explanation = detector.explain(verdicts.alarms, number)
    evidence = explanation.evidence
    assert 1495 <= evidence["onset"] <= 1515
    assert (evidence["old_from"], evidence["new_from"]) == (0, evidence["onset"])
    assert evidence["new_distance"] < evidence["old_line"] < evidence["old_distance"]
    assert explanation.unit == "change of regime"
    after = verdicts.score[row + 100 :]
    assert np.median(after) < evidence["old_line"] / 2


def test_a_sensor_that_goes_back_is_judged_by_its_earlier_model_again():
    detector = NormalModelDetector(**SMALL)
    verdicts, state = judged(detector, readings(there_and_back()))
    found = [detector.explain(verdicts.alarms, int(number)).evidence for number in changes(verdicts)]
    assert [each["taken_back"] for each in found] == [False, True, True]
    assert found[1]["new_from"] == 0
    assert found[2]["new_from"] == found[0]["new_from"]
    assert state.rows["whole"][0, STORED] == 1
    assert state.rows["whole"][0, RUNG] == 3  # what has climbed its ladder is not built again


def test_the_ladder_is_climbed_to_its_end_and_the_history_is_given_back():
    detector = NormalModelDetector(**SMALL)
    _, state = judged(detector, readings(wave(700)))
    assert state.rows["whole"][0, RUNG] == 3
    assert len(detector.freeze(state)["normal_model"].arrays["histories"]) == 0


def test_at_most_three_earlier_models_are_kept():
    rng = np.random.default_rng(5)
    kinds = [np.tile(rng.standard_normal(period), 1000 // period) for period in (13, 17, 19, 23, 29)]
    values = np.concatenate([kind + 0.02 * rng.standard_normal(len(kind)) for kind in kinds])
    detector = NormalModelDetector(**SMALL)
    verdicts, state = judged(detector, readings(values))
    assert len(changes(verdicts)) >= 4
    assert state.rows["whole"][0, STORED] == 3
    thawed = detector.thaw(unpack(pack(detector.freeze(state))))
    assert pack(detector.freeze(thawed)) == pack(detector.freeze(state))


def test_a_burst_of_anomalies_is_no_change_of_regime():
    values = wave(1500)
    values[900:935] = 0.0
    verdicts, _ = judged(NormalModelDetector(**SMALL), readings(values))
    assert len(changes(verdicts)) == 0
    assert verdicts.alert[912:935].all()


def test_a_sensor_of_pure_noise_has_no_regimes():
    values = np.random.default_rng(0).standard_normal(4000)
    verdicts, _ = judged(NormalModelDetector(**SMALL), readings(values))
    assert len(changes(verdicts)) == 0


@settings(max_examples=10, deadline=None)
@given(places=st.lists(st.integers(0, 5500), max_size=6).map(sorted), seed=st.integers(0, 99))
def test_regimes_do_not_depend_on_cuts_or_on_where_the_state_was_frozen(places, seed):
    columns = readings(there_and_back() + 0.01 * np.random.default_rng(seed).standard_normal(5500))
    detector = NormalModelDetector(**SMALL)
    reference, whole = judged(detector, columns)
    state, bits = detector.new_state(), []
    for first, last in zip([0, *places], [*places, len(columns)], strict=True):
        if last > first:
            verdicts, state = judged(detector, columns.span(first, last), state)
            bits.append(verdicts)
        state = detector.thaw(unpack(pack(detector.freeze(state))))
    computed = type(reference).join(bits)
    assert {k: v.tobytes() for k, v in alarms.columns(computed).items()} == {k: v.tobytes() for k, v in alarms.columns(reference).items()}
    assert pack(detector.freeze(state)) == pack(detector.freeze(whole))


def test_a_sensor_with_three_earlier_models_and_a_history_takes_less_than_256_KiB_beside_its_conformal_set():
    detector = NormalModelDetector()
    rng = np.random.default_rng(5)
    kinds = [np.tile(rng.standard_normal(period), 11_000 // period) for period in (71, 83, 97, 109)]
    values = np.concatenate([*kinds, np.tile(rng.standard_normal(61), 80)])
    _, state = judged(detector, readings(values + 0.02 * rng.standard_normal(len(values))))
    assert state.rows["whole"][0, STORED] == 3
    arrays = detector.freeze(state)["normal_model"].arrays
    assert sum(array.nbytes for name, array in arrays.items() if name != "conformal") <= 256 * 1024
    assert arrays["conformal"].nbytes <= 2 * 8 * MOST_RANKED
