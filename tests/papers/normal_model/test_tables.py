"""The papers' tables in small: what the full ones in README.md are held to."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.normal_model import build_normal_model, join_distances
from tests.papers.normal_model import accuracy, critical_difference, discords, nab
from tests.papers.normal_model.__main__ import FOUND, README, TITLES
from tests.papers.normal_model.measured import judged
from tests.papers.normal_model.methods import METHODS
from tests.papers.normal_model.series import Series, electrocardiogram, srw, unlabelled


def scored(series, seed, **settings):
    model = build_normal_model(series.values, length=series.length, key_hash=seed, **settings)
    return judged(series, join_distances(series.values, model, series.length))


@pytest.mark.parametrize(("name", "least"), [("803", 0.98), ("805", 0.97)])
def test_the_labelled_beats_of_the_papers_records_are_found(data, name, least):
    series = electrocardiogram(data / "sensors", name)
    assert series.anomalies == {"803": 62, "805": 78}[name]
    assert np.mean([scored(series, seed)["P@k"] for seed in range(5)]) >= least


@pytest.mark.parametrize(("name", "length", "measure", "least"), [
    ("14046_13", 75, "P@k", 0.92), ("14046_21", 75, "P@k", 0.97), ("803", 125, "ROC", 0.99), ("803", 125, "PR", 0.92),
    ("805", 99, "ROC", 0.97), ("805", 99, "PR", 0.80),
])  # fmt: skip
@pytest.mark.slow
def test_whole_records_keep_their_bars(data, name, length, measure, least):
    series = electrocardiogram(data / "sensors", name, length, None)
    seeds = range(5) if measure == "P@k" else range(3)
    assert np.mean([scored(series, seed)[measure] for seed in seeds]) >= least


@pytest.mark.parametrize(("name", "length", "places"), [known for known in discords.KNOWN if known[2]])
def test_the_known_discords_are_among_the_top_three_of_every_seed(data, name, length, places):
    values = unlabelled(data / "sensors", name)
    for seed in discords.SEEDS:
        assert discords.found(discords.worst(values, length, seed)[0], length, places)


def test_stretches_of_another_frequency_are_found_in_noise():
    series = srw(6, 10.0, 200, 12_000)
    assert series.anomalies == 6
    found = scored(series, 0)
    assert found["P@k"] == 1.0
    assert found["recall"] == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("multiple", [2.5, 3, 4, 5])
def test_the_accuracy_is_stable_in_the_models_length(data, multiple):
    series = electrocardiogram(data / "sensors", "803")
    assert np.mean([scored(series, seed, normal_length=int(75 * multiple))["P@k"] for seed in range(3)]) >= 0.97


@pytest.mark.slow
def test_every_method_of_the_accuracy_table_runs():
    pytest.importorskip("sklearn", reason="LOF and Isolation Forest are scikit-learn's: make papers installs it")
    series = srw(4, 5.0, 100, 6_000)
    found = accuracy.accuracy(series, list(METHODS), range(2))
    for method, measures in found.items():
        assert len(measures["P@k"]) == (2 if METHODS[method][1] else 1)
        assert 0.0 <= measures["P@k"][0] <= 1.0
    assert found["NormA-smpl"]["P@k"] == [1.0, 1.0]


def test_the_critical_difference_is_demsars():
    """JMLR 2006, section 3.2.2: four classifiers on 14 data sets, CD 1.25 at 5 % (q 2.569)."""
    rng = np.random.default_rng(0)
    found = {str(i): dict(zip("abcd", rng.uniform(size=4).tolist(), strict=True)) for i in range(14)}
    methods, ranks, p, difference = critical_difference.mean_ranks(found)
    assert difference == pytest.approx(1.25, abs=0.005)
    assert ranks.sum() == pytest.approx(10.0)
    assert (np.diff(ranks) >= 0).all()
    assert sorted(methods) == list("abcd")
    assert 0.0 < p <= 1.0


def test_a_series_that_is_its_own_score_is_judged_perfect():
    label = np.zeros(1000, np.bool_)
    label[400:420] = label[700:720] = True
    distances = np.convolve(label, np.ones(20))[19:]
    found = judged(Series("own", label.astype(float), label, 20), distances[: 1000 - 19])
    assert found["P@k"] == found["recall"] == 1.0
    assert found["ROC"] > 0.99


def test_every_channel_gives_a_score_a_reading():
    values = np.sin(2 * np.pi * np.arange(2000) / 48) + 0.1 * np.random.default_rng(0).standard_normal(2000)
    values[1500:1530] = 0.0
    for channel in nab.CHANNELS.values():
        score = channel(values)
        assert score.shape == values.shape
        assert np.isfinite(score[400:]).all()
    assert 1500 <= int(np.nanargmax(nab.shape(values))) < 1500 + 30 + 48


def test_the_written_tables_hold_every_part():
    text = README.read_text()
    assert all(f"## {title}" in text for title in TITLES.values())
    assert "missed" not in text
    assert FOUND.exists()
