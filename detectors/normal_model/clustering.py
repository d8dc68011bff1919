"""Which candidate windows are of one kind, and which kind is the normal one (NorM, section IV-B and IV-C; weights of NormA, VLDBJ 2021)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist

from detectors.normal_model.description_length import cluster_saving, discretise

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cluster:
    """Windows of one kind: which, their mean, how many, and the points from the first's start to the last's."""

    rows: Rows
    centroid: Floats
    coverage: int

    @property
    def frequency(self) -> int:
        return len(self.rows)


def find_clusters(windows: Floats, starts: Rows, first_stop: bool = False) -> list[Cluster]:
    """Cut the complete-linkage tree of m z-normalised windows where it saves most bits, over cuts into 1 … 2√m clusters.

    Parameters
    ----------
    windows, starts
        z-normalised windows, shape (m, ℓ_NM), and where in the series they start.
    first_stop
        The paper's rule instead: one cluster more as long as `bitsave` grows, and no further at its first non-increase.

    Notes
    -----
    The first steps down a complete-linkage tree part a few odd windows from the many; they save little or nothing, and the paper's rule
    stops there, often with a single cluster of all kinds (14046_21: P@k .78 from one draw of five; .99 from each without). The savings
    to come lie some steps further. Without a bound, noise is cut into pairs: the mean of two windows lies close to both, whatever they
    are. (With √m the AUC-PR of 803 at ℓ = 125 is .916 instead of .932, without a bound .935; nprs44's breaths need one.)
    """
    if len(windows) == 1:
        return [_cluster(windows, starts, np.zeros(1, np.int64))]
    tree = linkage(pdist(windows), "complete")
    words = discretise(windows)
    savings: dict[bytes, float] = {}

    def saving(rows: Rows) -> float:
        name = rows.tobytes()
        if name not in savings:  # one step down the tree splits a single cluster: the others are known
            savings[name] = cluster_saving(words[rows], discretise(windows[rows].mean(axis=0)))
        return savings[name]

    best: list[Rows] = [np.arange(len(windows))]
    most = saving(best[0])
    for count in range(2, (len(windows) if first_stop else min(int(2 * np.sqrt(len(windows))), len(windows))) + 1):
        labels = fcluster(tree, count, "maxclust")
        parts = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        saved = sum(saving(rows) for rows in parts)
        if saved > most:
            best, most = parts, saved
        elif first_stop:
            break
    return [_cluster(windows, starts, rows) for rows in best]


def cluster_scores(clusters: list[Cluster]) -> Floats:
    """Norm(c, C) = frequency² · coverage / Σ_x dist(centroid, centroid_x): the larger, the more normal (ICDE 2020, definition 8).

    With a single cluster (or centroids that coincide) there is nothing to be far from: the sum is taken as 1.
    """
    scores = np.empty(len(clusters))
    for i, cluster in enumerate(clusters):
        apart = sum(_distance(cluster, other) for other in clusters)
        scores[i] = cluster.frequency**2 * cluster.coverage / (apart if apart > 0 else 1.0)
    return scores


def cluster_weights(clusters: list[Cluster]) -> Floats:
    """The journal's weights of all centroids: frequency² · coverage · centrality, each rescaled to [1, 2]; here they sum to 1."""
    frequency = _rescale(np.array([float(cluster.frequency) for cluster in clusters]))
    coverage = _rescale(np.array([float(cluster.coverage) for cluster in clusters]))
    apart = np.array([sum(_distance(cluster, other) for other in clusters) for cluster in clusters])
    centrality = _rescale(1.0 / np.where(apart > 0, apart, 1.0))
    weights = frequency**2 * coverage * centrality
    return np.asarray(weights / weights.sum())


def _cluster(windows: Floats, starts: Rows, rows: Rows) -> Cluster:
    return Cluster(rows, windows[rows].mean(axis=0), int(starts[rows].max() - starts[rows].min()))


def _distance(one: Cluster, other: Cluster) -> float:
    apart = one.centroid - other.centroid
    return float(np.sqrt((apart * apart).sum()))


def _rescale(x: Floats) -> Floats:
    """Linearly to [1, 2]; all equal: 1."""
    low, high = x.min(), x.max()
    return 1.0 + (x - low) / (high - low) if high > low else np.ones(len(x))
