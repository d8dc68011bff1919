"""The paper's own series, streamed."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq

from detectors.normal_model.answers import top_k
from detectors.normal_model.detector import NormalModelDetector
from detectors.normal_model.join import join_distances
from detectors.normal_model.model import build_normal_model
from tests.detectors.normal_model.test_detector import judged, readings

LENGTH = 75


def ecg(data, name):
    table = pq.read_table(data / "sensors" / f"{name}.parquet").slice(0, 100_000)
    return table["value"].to_numpy().astype(np.float64), table["label"].to_numpy()


def precision_and_recall(distances, label, first):
    """P@k and distinct recall of the windows from `first` on; k is the number of label segments that start there."""
    edges = np.diff(np.concatenate([[0], (label > 0).astype(int), [0]]))
    segments = [(a, b) for a, b in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True) if a >= first]
    distances = np.where(np.arange(len(distances)) >= first, distances, np.nan)
    hits = [
        [i for i, (a, b) in enumerate(segments) if a < start + LENGTH and b > start] for start in top_k(distances, len(segments), LENGTH)
    ]
    return sum(map(bool, hits)) / len(segments), len({i for hit in hits for i in hit}) / len(segments)


def test_the_streamed_distance_finds_the_labelled_beats_of_803(data):
    values, label = ecg(data, "mba_803")
    verdicts, _ = judged(NormalModelDetector(), readings(values))
    ready = int(np.argmin(verdicts.not_ready))
    precision, recall = precision_and_recall(verdicts.score[LENGTH - 1 :], label, ready)
    assert precision >= 0.95
    assert recall >= 0.9
    edges = np.flatnonzero(np.diff((label > 0).astype(int)) == 1)
    assert np.mean([verdicts.alert[a : a + 2 * LENGTH].any() for a in edges if a >= ready]) >= 0.9
    clean = np.convolve(label > 0, np.ones(LENGTH))[: len(label)] == 0
    assert verdicts.alert[clean & ~verdicts.not_ready].mean() <= 0.02


def test_the_batch_join_finds_the_labelled_beats_of_803(data):
    values, label = ecg(data, "mba_803")
    model = build_normal_model(values, length=LENGTH)
    precision, recall = precision_and_recall(join_distances(values, model, LENGTH), label, 0)
    assert precision >= 0.98
    assert recall >= 0.95
