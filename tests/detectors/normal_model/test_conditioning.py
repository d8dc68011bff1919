"""A distance given the hardness of its subsequence, which is off unless set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.normal_model.conditioning import LENGTH, given_hardness
from detectors.normal_model.detector import NormalModelDetector
from detectors.protocol import Columns, Verdicts, fold
from state.keys import PackedKeys
from state.snapshot import pack, unpack
from tests import naive

SMALL = {"length": 12, "warm_up": 200, "rebuilds": (), "calibration": 60, "hand_over_lag": 20, "hand_over_spread": 5}


def judged(detector, values, cut=0):
    n = len(values)
    columns = Columns(PackedKeys.pack(["pump"] * n), np.arange(n, dtype=np.int64) * 60_000_000, {"value": np.ascontiguousarray(values)})
    state, parts = detector.new_state(), []
    for first, last in ((0, cut), (cut, n)):
        parts += [verdicts for _, verdicts in fold(detector, state, columns.span(first, last))]
        state = detector.thaw(unpack(pack(detector.freeze(state))))
    return Verdicts.join(parts), state


def noisy(n=1500):
    generator = np.random.default_rng(0)
    roughness = np.exp(np.sin(2 * np.pi * np.arange(n) / 300))
    return np.sin(2 * np.pi * np.arange(n) / 12) + 0.1 * roughness * generator.standard_normal(n)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(-1.0, 3.0))
def test_what_is_taken_out_is_the_slope_on_the_logarithm_of_hardness(seed, slope):
    generator = np.random.default_rng(seed)
    hardness = generator.lognormal(size=100)
    pairs = list(zip((hardness**slope * generator.lognormal(sigma=0.2, size=100)).tolist(), hardness.tolist(), strict=True))
    moments = np.zeros(LENGTH)
    np.testing.assert_allclose([given_hardness(moments, *pair) for pair in pairs], naive.given_hardness(pairs), rtol=1e-6)


def test_the_stream_says_the_distances_at_the_usual_hardness():
    bare, _ = judged(NormalModelDetector(**SMALL), noisy())
    conditioned, _ = judged(NormalModelDetector(**SMALL, given_hardness=True), noisy())
    there = ~np.isnan(bare.score)
    np.testing.assert_array_equal(conditioned.evidence["hardness"], bare.evidence["hardness"])
    moments = np.zeros(LENGTH)
    pairs = zip(bare.score[there], bare.evidence["hardness"][there], strict=True)
    np.testing.assert_allclose(conditioned.score[there], [given_hardness(moments, *pair) for pair in pairs], rtol=1e-12)
    late = np.flatnonzero(there)[500:]
    correlation = [abs(np.corrcoef(np.log(v.score[late]), np.log(v.evidence["hardness"][late]))[0, 1]) for v in (bare, conditioned)]
    assert correlation[1] < correlation[0] / 2


@pytest.mark.parametrize("cut", [100, 400, 901])
def test_a_restored_state_goes_on_where_it_was(cut):
    detector = NormalModelDetector(**SMALL, given_hardness=True)
    (whole, state), (parts, restored) = judged(detector, noisy()), judged(detector, noisy(), cut)
    np.testing.assert_array_equal(parts.score, whole.score)
    assert pack(detector.freeze(restored)) == pack(detector.freeze(state))


def test_a_flat_line_and_no_hardness_are_safe():
    moments = np.zeros(LENGTH)
    assert all(np.isfinite(given_hardness(moments, d, h)) for d, h in [(0.0, 0.0), (1e300, 0.0), (0.0, 1e300), (1.0, 1.0)] * 50)


def test_an_alert_says_at_what_hardness():
    detector = NormalModelDetector(**SMALL, given_hardness=True, epsilon=0.2, false_alarms_per_sensor_day=0.0)
    values = noisy()
    values[1200:1260] = np.where(np.arange(60) % 24 < 12, 1.0, -1.0)
    verdicts, _ = judged(detector, values)
    told = [detector.explain(verdicts.alarms, i).reasons[0] for i in range(len(verdicts.alarms)) if verdicts.alarms.places[i, 2] == 0]
    assert told
    assert all("at the usual hardness; its own is" in reason for reason in told)
