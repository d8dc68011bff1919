"""Our distances held against an implementation that shares no line with them."""

from __future__ import annotations

import numpy as np
import pytest
import stumpy

from detectors.normal_model.candidates import recurring_starts
from detectors.normal_model.join import join_distances
from detectors.normal_model.model import build_normal_model
from tests import naive


@pytest.mark.slow  # stumpy compiles for a quarter of a minute
def test_the_join_with_the_normal_model_equals_stumpys_nearest_neighbour():
    rng = np.random.default_rng(0)
    values = np.sin(np.arange(3_000) * 2 * np.pi / 40) + 0.1 * rng.standard_normal(3_000)
    values[2_000:2_030] *= -1.0
    length = 40
    model = build_normal_model(values, length=length, normal_length=3 * length, sample_rate=0.4, key_hash=1, number=1).best()
    centroid = np.ascontiguousarray(model.centroids[0], np.float64)
    reference = np.array([stumpy.mass(values[i : i + length], centroid).min() for i in range(0, len(values) - length + 1, 7)])
    computed = join_distances(values, model, length)
    computed = computed[~np.isnan(computed)][::7]
    np.testing.assert_allclose(computed, reference.astype(float), rtol=1e-6)


@pytest.mark.slow  # stumpy compiles for a quarter of a minute
def test_windows_that_recur_are_those_of_the_slow_self_join():
    rng = np.random.default_rng(1)
    values = np.sin(np.arange(240) * 2 * np.pi / 20) + 0.3 * rng.standard_normal(240)
    reference = naive.windows_below_the_mean(naive.self_join(values.tolist(), 24), 24)
    assert recurring_starts(values, 24).tolist() == reference


@pytest.mark.slow  # the same
@pytest.mark.parametrize("points", [60, 119, 120, 400])
def test_a_model_by_self_join_is_the_usual_course(points):
    values = np.sin(np.arange(points) * 2 * np.pi / 20) + 0.05 * np.random.default_rng(1).standard_normal(points)
    model = build_normal_model(values, length=20, candidates="self-join")
    assert int(np.argmax(np.abs(np.fft.rfft(model.centroids[0])))) == 3  # three periods of 20 in 60 points
