"""Our distances held against an implementation that shares no line with them."""

from __future__ import annotations

import numpy as np
import pytest
import stumpy

from detectors.normal_model.join import join_distances
from detectors.normal_model.model import build_normal_model


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
