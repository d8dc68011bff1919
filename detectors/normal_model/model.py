"""The Normal Model of a series: what its usual course looks like over a few periods (NorM, Boniol et al., ICDE 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from detectors.normal_model.alignment import align, z_normalise
from detectors.normal_model.candidates import recurring_starts, sample_starts
from detectors.normal_model.clustering import cluster_scores, cluster_weights, find_clusters

Floats = NDArray[np.float64]

NORMAL_LENGTHS = 3  # ℓ_NM in ℓ: the paper's default; accuracy is flat from 2.5ℓ on
SAMPLE_RATE = 0.4  # r: flat from 0.1 to 0.6 in the paper
FLOOR = 0.05  # least standard deviation of a subsequence, in those of the model: a pause keeps a shape of its own, noise has none


@dataclass(frozen=True, slots=True)
class NormalModel:
    """N_M, and how it came about.

    Attributes
    ----------
    centroids
        Shape (K, ℓ_NM): means of z-normalised windows, the most normal first.
    weights
        Shape (K,), summing to 1.
    level, spread
        Median of the series; median standard deviation of the windows that made the best centroid. In the unit of the values.
    evidence
        ``candidates``, ``clusters``, and of each centroid ``members``, ``coverage`` (points), ``scores`` (Norm(c, C)).
    """

    centroids: Floats
    weights: Floats
    level: float
    spread: float
    evidence: Mapping[str, Any]

    @property
    def normal_length(self) -> int:
        return int(self.centroids.shape[1])

    @property
    def floor(self) -> float:
        """Standard deviations below this count as this, in the unit of the values; always positive."""
        return max(FLOOR * self.spread, 1e-9 * abs(self.level), 1e-12)

    def best(self) -> NormalModel:
        """The paper's model: the single most normal centroid."""
        return self.most_normal(1)

    def most_normal(self, count: int) -> NormalModel:
        """The `count` most normal centroids at most, their weights summing to 1 again."""
        weights = self.weights[:count] / self.weights[:count].sum()
        return replace(self, centroids=self.centroids[:count].copy(), weights=weights)


def build_normal_model(
    values: Floats,
    *,
    length: int,
    normal_length: int | None = None,
    sample_rate: float = SAMPLE_RATE,
    candidates: Literal["sample", "self-join"] = "sample",
    first_stop: bool = False,
    key_hash: int = 0,
    number: int = 0,
) -> NormalModel:
    """Return the Normal Model of a series with all its centroids, weighted as NormA does; `.best()` is NorM's single one.

    Parameters
    ----------
    values
        Finite, shape (n,), n ≥ ℓ_NM.
    length
        ℓ: length of the subsequences to be judged, in points.
    normal_length
        ℓ_NM; three times ℓ by default.
    sample_rate
        r: share of the series that the candidate windows cover.
    candidates
        Windows drawn at random, NorM-smpl; or those that the series' self-join finds to recur, NorM-SJ (O(n²); nothing is drawn).
    first_stop
        Cut the tree where the paper says, at the first non-increase: see `find_clusters`.
    key_hash, number
        Seed: the sensor's hash and its own reading number.

    Raises
    ------
    ValueError
        If the series is shorter than one window, or a length makes no sense.
    """
    normal_length = NORMAL_LENGTHS * length if normal_length is None else normal_length
    if not 1 < length <= normal_length:
        raise ValueError(f"length = {length}, normal_length = {normal_length}: wanted 1 < length <= normal_length")
    if not 0.0 < sample_rate <= 1.0:
        raise ValueError(f"sample_rate = {sample_rate}: wanted a share in (0, 1]")
    values = np.ascontiguousarray(values, np.float64)
    if len(values) < normal_length:
        raise ValueError(f"{len(values)} points: a Normal Model of {normal_length} points needs at least as many")
    if candidates == "sample":
        drawn = sample_starts(len(values), normal_length, sample_rate, key_hash, number)
    elif candidates == "self-join":
        drawn = recurring_starts(values, normal_length)
    else:
        raise ValueError(f'candidates = {candidates!r}: wanted "sample" or "self-join"')
    starts = align(values, drawn, normal_length)
    raw = sliding_window_view(values, normal_length)[starts]
    windows = z_normalise(raw)
    clusters = find_clusters(windows, starts, first_stop)
    scores, weights = cluster_scores(clusters), cluster_weights(clusters)
    order = sorted(range(len(clusters)), key=lambda i: (-scores[i], -clusters[i].frequency, int(clusters[i].rows[0])))
    return NormalModel(
        centroids=np.stack([clusters[i].centroid for i in order]),
        weights=weights[order],
        level=float(np.median(values)),
        spread=float(np.median(raw[clusters[order[0]].rows].std(axis=1))),
        evidence={
            "candidates": len(starts),
            "clusters": len(clusters),
            "members": [clusters[i].frequency for i in order],
            "coverage": [clusters[i].coverage for i in order],
            "scores": [float(scores[i]) for i in order],
        },
    )
