"""How a Normal Model comes about: candidates, alignment, description length, clusters."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist
from scipy.stats import norm

from detectors.normal_model.alignment import align, z_normalise
from detectors.normal_model.candidates import MOST, below_the_mean, sample_starts
from detectors.normal_model.clustering import Cluster, cluster_scores, cluster_weights, find_clusters
from detectors.normal_model.description_length import bitsave, description_length
from detectors.normal_model.join import join_distances
from detectors.normal_model.model import build_normal_model
from tests import naive


@given(
    normal_length=st.integers(1, 50),
    windows=st.integers(1, 100),
    rest=st.integers(0, 49),
    rate=st.floats(0.01, 1.0),
    key_hash=st.integers(0, 2**64 - 1),
)
def test_candidates_lie_within_the_series_and_never_overlap(normal_length, windows, rest, rate, key_hash):
    points = normal_length * windows + rest % normal_length
    starts = sample_starts(points, normal_length, rate, key_hash, 7)
    assert len(starts) >= 1
    assert starts[0] >= 0
    assert starts[-1] + normal_length <= points
    assert (np.diff(starts) >= normal_length).all()
    assert np.array_equal(starts, sample_starts(points, normal_length, rate, key_hash, 7))


def test_another_sensor_draws_other_candidates():
    assert not np.array_equal(sample_starts(10_000, 75, 0.4, 1, 7), sample_starts(10_000, 75, 0.4, 2, 7))


def test_candidates_cover_the_share_asked_for():
    assert len(sample_starts(100_000, 225, 0.4, 1, 7)) == int(0.4 * 100_000 / 225)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=60), st.integers(1, 8))
def test_recurring_windows_are_those_below_the_mean_none_overlapping(profile, normal_length):
    computed = below_the_mean(np.array(profile, float), normal_length).tolist()
    reference = naive.windows_below_the_mean([float(p) for p in profile], normal_length)
    assert computed == (reference or list(range(0, len(profile), normal_length)))


def test_recurring_windows_are_thinned_to_what_can_be_clustered():
    starts = below_the_mean(np.tile([0.0, 1.0], 2000), 2)
    assert len(starts) == MOST
    assert (np.diff(starts) >= 2).all()


def test_alignment_finds_known_shifts():
    rng = np.random.default_rng(3)
    values = np.tile(np.cumsum(rng.standard_normal(60)), 50) + 0.01 * rng.standard_normal(3000)
    starts = np.arange(20) * 120 + 100 + rng.integers(-50, 51, 20)
    found = align(values, starts, 60)
    assert np.unique(found % 60).size == 1
    assert np.abs(found - starts).max() <= 30


def test_z_normalised_windows_have_mean_0_and_standard_deviation_1():
    window = np.random.default_rng(0).standard_normal((5, 30)) * 7 + 1e6
    np.testing.assert_allclose(z_normalise(window)[2], naive.z_normalised(window[2].tolist()), rtol=1e-7, atol=1e-7)


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=60))
def test_description_length_is_words_times_entropy(symbols):
    assert description_length(np.array(symbols)) == pytest.approx(naive.word_length(symbols), abs=1e-9)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_bitsave_equals_its_definition(seed, sizes):
    windows = z_normalise(np.random.default_rng(seed).standard_normal((sum(sizes), 40)))
    parts = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    reference = naive.bitsave([windows[rows].tolist() for rows in parts], norm.ppf(np.arange(1, 10) / 10).tolist())
    assert bitsave(windows, parts) == pytest.approx(reference, abs=1e-6)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), sizes=st.lists(st.integers(1, 5), min_size=1, max_size=5))
def test_cluster_scores_equal_their_definition(seed, sizes):
    rng = np.random.default_rng(seed)
    starts = [sorted(rng.choice(10_000, size, replace=False).tolist()) for size in sizes]
    centroids = rng.standard_normal((len(sizes), 20))
    clusters = [
        Cluster(np.arange(len(own)), centroid, max(own) - min(own)) for own, centroid in zip(starts, centroids, strict=True)
    ]  # fmt: skip
    reference = [naive.cluster_score(i, centroids.tolist(), starts) for i in range(len(sizes))]
    assert cluster_scores(clusters) == pytest.approx(reference, rel=1e-9)
    weights = [naive.cluster_weight(i, centroids.tolist(), starts) for i in range(len(sizes))]
    assert cluster_weights(clusters) == pytest.approx(weights, rel=1e-9)


def test_two_kinds_of_windows_are_two_clusters():
    rng = np.random.default_rng(5)
    t = np.arange(60)
    kinds = [np.sin(2 * np.pi * t / 20), np.where(t % 30 < 6, 3.0, 0.0)]
    windows = z_normalise(np.stack([kinds[i % 2] + 0.05 * rng.standard_normal(60) for i in range(20)]))
    clusters = find_clusters(windows, np.arange(20) * 60)
    assert {tuple(cluster.rows % 2) for cluster in clusters} <= {(0,) * n for n in range(21)} | {(1,) * n for n in range(21)}
    assert len(clusters) >= 2


def test_the_best_centroid_is_the_usual_course():
    t = np.arange(4000)
    values = np.sin(2 * np.pi * t / 40) + 0.05 * np.random.default_rng(1).standard_normal(4000)
    values[1000:1080] = np.sign(values[1000:1080])
    values[2500:2560] = 0.0
    model = build_normal_model(values, length=40)
    spectrum = np.abs(np.fft.rfft(model.centroids[0]))
    assert int(np.argmax(spectrum)) == 3  # three periods of 40 in 120 points
    assert model.evidence["members"][0] == max(model.evidence["members"])
    assert model.weights.sum() == pytest.approx(1.0)
    assert model.best().centroids.shape == (1, 120)


@pytest.mark.parametrize("spike", [1e9, 1e15, 3.4e38, -1e100])
def test_one_enormous_reading_among_those_a_model_is_built_from_does_not_make_the_others_flat(spike):
    values = 10.0 + 2.0 * np.sin(np.arange(2000) / 3) + 0.1 * np.random.default_rng(0).standard_normal(2000)
    values[700] = spike
    model = build_normal_model(values, length=20).best()
    assert 0.9 < model.centroids.std() < 1.1
    clean = np.delete(join_distances(values, model, 20), np.arange(681, 701))
    assert np.median(clean) < 1.0  # a flat model would leave all at √20


@pytest.mark.parametrize("values", [
    np.zeros(500), np.full(500, 1e6), np.full(500, 0.1), np.where(np.arange(500) == 250, 1e9, 0.0), np.arange(500.0),
    np.random.default_rng(0).standard_normal(500) * 1e100, np.where(np.arange(500) < 400, 3.0, 3.0 + 1e-12),
    np.sin(np.arange(500)) * 1e-200, np.sin(np.arange(60)),
])  # fmt: skip
def test_every_finite_series_has_a_model(values):
    model = build_normal_model(values, length=20)
    assert np.isfinite(model.centroids).all()
    assert np.isfinite(model.weights).all()
    assert model.floor > 0.0
    again = build_normal_model(values.copy(), length=20)
    assert model.centroids.tobytes() == again.centroids.tobytes()


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), windows=st.integers(2, 20), kinds=st.integers(1, 4))
def test_the_tree_is_cut_where_most_is_saved_or_where_the_paper_stops(seed, windows, kinds):
    rng = np.random.default_rng(seed)
    shapes = rng.standard_normal((kinds, 40))
    drawn = z_normalise(shapes[rng.integers(0, kinds, windows)] + rng.uniform(0.1, 2.0) * rng.standard_normal((windows, 40)))
    tree = linkage(pdist(drawn), "complete")
    saved = []
    for count in range(1, windows + 1):
        labels = fcluster(tree, count, "maxclust")
        saved.append(bitsave(drawn, [np.flatnonzero(labels == label) for label in np.unique(labels)]))
    stop = next((i for i in range(1, windows) if saved[i] <= saved[i - 1]), windows)
    most, papers = (
        bitsave(drawn, [cluster.rows for cluster in find_clusters(drawn, np.arange(windows) * 40, first_stop)])
        for first_stop in (False, True)
    )
    assert most == pytest.approx(max(saved[: max(int(2 * np.sqrt(windows)), 1)]), abs=1e-6)
    assert papers == pytest.approx(saved[stop - 1], abs=1e-6)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), windows=st.integers(1, 25))
def test_every_window_is_in_one_cluster_and_the_bound_is_kept(seed, windows):
    drawn = z_normalise(np.random.default_rng(seed).standard_normal((windows, 30)))
    clusters = find_clusters(drawn, np.arange(windows) * 30)
    assert sorted(row for cluster in clusters for row in cluster.rows.tolist()) == list(range(windows))
    assert len(clusters) <= max(2 * np.sqrt(windows), 1)


def test_a_series_shorter_than_one_window_is_refused():
    with pytest.raises(ValueError, match="59 points: a Normal Model of 60 points needs at least as many"):
        build_normal_model(np.zeros(59), length=20)


@pytest.mark.parametrize(("more", "message"), [
    ({"length": 1}, "length = 1"), ({"length": 20, "sample_rate": 0.0}, "sample_rate = 0.0"),
    ({"length": 20, "candidates": "all"}, "candidates = 'all': wanted \"sample\" or \"self-join\""),
])  # fmt: skip
def test_a_bad_setting_is_named(more, message):
    with pytest.raises(ValueError, match=message):
        build_normal_model(np.zeros(500), **more)


def test_a_model_of_10_000_points_takes_a_fifth_of_a_second():
    values = np.sin(np.arange(10_000) / 12) + np.random.default_rng(0).standard_normal(10_000)
    build_normal_model(values[:1000], length=75)  # kernels compiled
    took = []
    for _ in range(3):
        began = time.process_time()
        build_normal_model(values, length=75)
        took.append(time.process_time() - began)
    assert min(took) <= 0.2
