"""Sensors of a class, and sensors whose length is their own period."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.normal_model.detector import NormalModelDetector
from detectors.normal_model.kinds import Kind, kinds_of, table_of
from detectors.normal_model.layout import LENGTH, NORMAL_LENGTH
from detectors.protocol import Columns
from state.snapshot import pack, unpack
from tests.detectors.normal_model.test_detector import judged, readings

SMALL = {"length": 12, "warm_up": 200, "calibration": 60, "epsilon": 0.05, "hand_over_lag": 20, "hand_over_spread": 5}


def wave(n, period, seed=0):
    return np.sin(2 * np.pi * np.arange(n) / period) ** 3 + 0.05 * np.random.default_rng(seed).standard_normal(n)


def test_a_sensor_of_a_class_is_judged_as_by_a_detector_with_that_classes_settings():
    own = {"length": 20, "warm_up": 300, "epsilon": 0.1}
    detector = NormalModelDetector(**SMALL, classes=[("other", {"epsilon": 0.5}), ("slow", own)])
    n, values = 700, wave(700, 20)
    columns = readings(np.repeat(values, 2), ["pump", "fan"] * n)
    columns.at[1::2] = columns.at[::2]
    columns = Columns(columns.keys, columns.at, {"value": columns.fields["value"], "class": np.tile(np.array([1, -1]), n)})
    verdicts, state = judged(detector, columns)
    times = columns.at[::2]
    for first, settings in ((0, SMALL | own), (1, SMALL)):
        alone = readings(values, [("pump", "fan")[first]] * n)
        alone.at[:] = times
        reference, _ = judged(NormalModelDetector(**settings), alone)
        np.testing.assert_array_equal(verdicts.score[first::2], reference.score)
        np.testing.assert_array_equal(verdicts.p_value[first::2], reference.p_value)
        np.testing.assert_array_equal(verdicts.alert[first::2], reference.alert)
    thawed = detector.thaw(unpack(pack(detector.freeze(state))))
    assert pack(detector.freeze(thawed)) == pack(detector.freeze(state))


def test_a_sensor_keeps_the_class_of_its_first_reading():
    detector = NormalModelDetector(**SMALL, classes=[("slow", {"length": 20, "warm_up": 300})])
    columns = readings(wave(100, 12))
    columns = Columns(columns.keys, columns.at, {"value": columns.fields["value"], "class": np.where(np.arange(100) == 0, 0, -1)})
    _, state = judged(detector, columns)
    assert state.rows["whole"][0, LENGTH] == 20


def test_a_class_that_nobody_has_settled_is_judged_like_none():
    detector = NormalModelDetector(**SMALL)
    columns = readings(wave(10, 12))
    columns = Columns(columns.keys, columns.at, {"value": columns.fields["value"], "class": np.full(10, 7)})
    _, state = judged(detector, columns)
    assert state.rows["whole"][0, LENGTH] == 12


def test_with_length_auto_each_sensor_is_judged_by_its_own_period():
    detector = NormalModelDetector(length="auto", warm_up=1000, rebuilds=(), hand_over_lag=5, hand_over_spread=3)
    n = 3000
    values = np.empty(2 * n)
    values[::2], values[1::2] = wave(n, 16), wave(n, 30, 1)
    values[2 * 2500 : 2 * 2500 + 60 : 2] = 0.0
    verdicts, state = judged(detector, readings(values, ["pump", "fan"] * n))
    lengths = {state.keys.key(slot): state.rows["whole"][slot, [LENGTH, NORMAL_LENGTH]].tolist() for slot in range(2)}
    assert lengths == {b"pump": [16, 48], b"fan": [30, 90]}
    assert verdicts.alert[2 * 2500 + 32 : 2 * 2500 + 60 : 2].all()
    thawed = detector.thaw(unpack(pack(detector.freeze(state))))
    assert pack(detector.freeze(thawed)) == pack(detector.freeze(state))


def test_a_sensor_without_a_period_falls_back_to_a_length_that_its_warm_up_allows():
    detector = NormalModelDetector(length="auto", warm_up=1000, rebuilds=())
    _, state = judged(detector, readings(np.random.default_rng(0).standard_normal(1300)))
    assert state.rows["whole"][0, LENGTH] == detector.kinds[0].longest == 37


def test_a_class_with_a_bad_setting_is_named():
    with pytest.raises(ValueError, match="class slow: length = 3: wanted"):
        kinds_of({"length": 12}, [("slow", {"length": 3})])
    with pytest.raises(ValueError, match="normal_length = 30: wanted 0 where the length"):
        Kind(length="auto", normal_length=30)


def test_the_kernels_table_has_a_row_a_class():
    table = table_of(kinds_of({"length": 12, "warm_up": 200}, [("long", {"length": 300, "warm_up": 7000})]))
    assert table.tolist() == [[12, 36, 1000, 3, 200, 5000, 10_000], [300, 900, 1200, 2, 7000, 10_000, 0]]
