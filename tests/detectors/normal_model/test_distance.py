"""The rolling kernel against the slow definition of the distance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.normal_model.answers import top_k
from detectors.normal_model.join import join_distances
from detectors.normal_model.model import NormalModel, build_normal_model
from detectors.normal_model.rolling import LARGEST
from tests import naive


def wave(n, seed=0, noise=0.1, period=12):
    return np.sin(2 * np.pi * np.arange(n) / period) + noise * np.random.default_rng(seed).standard_normal(n)


def naive_join(values, model, length):
    centroids = [centroid.tolist() for centroid in model.centroids]
    starts = range(len(values) - length + 1)
    return np.array(
        [naive.normal_model_distance(values[j : j + length].tolist(), centroids, model.weights.tolist(), model.floor) for j in starts]
    )


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    length=st.integers(6, 20),
    extra=st.integers(0, 30),
    centroids=st.integers(1, 3),
    scale=st.sampled_from([1e-3, 1.0, 1e6]),
)
def test_distances_equal_the_definition(seed, length, extra, centroids, scale):
    rng = np.random.default_rng(seed)
    values = scale * wave(150, seed, noise=0.5)
    model = NormalModel(rng.standard_normal((centroids, length + extra)), rng.dirichlet(np.ones(centroids)), 0.1 * scale, scale, {})
    reference = naive_join(values, model, length)
    computed = join_distances(values, model, length)
    np.testing.assert_allclose(computed, reference, rtol=1e-9)


def test_a_weighted_model_equals_the_definition():
    values = np.concatenate([wave(200), wave(200, period=20)])
    model = build_normal_model(values, length=12)
    np.testing.assert_allclose(join_distances(values[:150], model, 12), naive_join(values[:150], model, 12), rtol=1e-9)


def test_an_offset_of_a_million_does_no_harm():
    values = wave(400) + 1e6
    model = build_normal_model(values, length=12).best()
    np.testing.assert_allclose(join_distances(values, model, 12), naive_join(values, model, 12), rtol=1e-6)


def test_a_step_to_a_level_the_model_has_never_seen_does_no_harm():
    values = wave(400)
    model = build_normal_model(values[:200], length=12).best()
    values[200:] += 1e6
    np.testing.assert_allclose(join_distances(values, model, 12), naive_join(values, model, 12), rtol=1e-6)


@pytest.mark.parametrize("spike", [1e9, -1e9, 1e100, -1e300])
def test_a_spike_leaves_nothing_behind(spike):
    values = wave(400)
    model = build_normal_model(values[:200], length=12).best()
    reference = join_distances(values, model, 12)
    values[250] = spike
    computed = join_distances(values, model, 12)
    assert np.isfinite(computed).all()
    touched = np.arange(250 - 11, 251)
    np.testing.assert_allclose(np.delete(computed, touched), np.delete(reference, touched), rtol=1e-9)
    values[250] = np.clip(spike, -LARGEST, LARGEST)
    np.testing.assert_allclose(computed[touched], naive_join(values, model, 12)[touched], rtol=1e-6)


def test_a_slow_decay_from_an_enormous_reading_leaves_nothing_behind():
    values = wave(600)
    model = build_normal_model(values[:200], length=12).best()
    reference = join_distances(values, model, 12)
    decay = 1e60 * 0.3 ** np.arange(300)
    values[250:550] = np.where(decay > 1e-3, decay, values[250:550])
    np.testing.assert_allclose(join_distances(values, model, 12)[530:], reference[530:], rtol=1e-9)


def test_a_pause_is_as_far_from_a_wave_as_a_shape_can_be_that_has_none():
    values = wave(600, noise=0.02)
    model = build_normal_model(values[:300], length=12).best()
    values[400:450] = 0.3
    distances = join_distances(values, model, 12)
    assert distances[410:430] == pytest.approx(np.sqrt(12), rel=0.05)
    assert distances[:380].max() < 1.0


def test_noise_of_a_millionth_is_not_blown_up_to_a_shape():
    values = wave(600, noise=0.0)
    model = build_normal_model(values[:300], length=12).best()
    values[400:450] = 0.3 + 1e-6 * np.random.default_rng(1).standard_normal(50)
    assert join_distances(values, model, 12)[410:430] == pytest.approx(np.sqrt(12), rel=1e-3)


def test_a_series_without_noise_is_at_distance_nought_from_its_own_model():
    values = np.sin(2 * np.pi * np.arange(600) / 12)
    assert (join_distances(values, build_normal_model(values, length=12).best(), 12) == 0.0).all()


def test_a_length_that_does_not_fit_is_refused():
    model = build_normal_model(wave(300), length=12)
    with pytest.raises(ValueError, match="length = 40: wanted between 2 and"):
        join_distances(wave(300), model, 40)


def test_the_top_windows_keep_their_distance():
    distances = np.array([0.0, 9.0, 8.0, 7.0, 1.0, 5.0, 6.0, np.nan])
    assert top_k(distances, k=3, exclusion=2).tolist() == [1, 3, 6]
    assert top_k(distances, k=99, exclusion=8).tolist() == [1]
