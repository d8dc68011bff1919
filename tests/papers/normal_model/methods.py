"""What the papers compare: each takes a series and a seed and gives a number per subsequence, the larger the stranger.

Defaults are those of the project or of the library, the same for all series. Not run: GrammarViz (Java), LSTM-AD (wants training
data without anomalies), and on the SED series nobody (it may not be passed on).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from detectors.normal_model import build_normal_model, join_distances
from tests.papers.normal_model.series import Series

Floats = NDArray[np.float64]

STRIDE = 5  # points: LOF and Isolation Forest see every fifth subsequence, the others are given the nearest one's number


def norma_sample(series: Series, seed: int) -> Floats:
    """All centroids, weighted (VLDBJ 2021)."""
    return join_distances(series.values, build_normal_model(series.values, length=series.length, key_hash=seed), series.length)


def norm_sample(series: Series, seed: int) -> Floats:
    """The single best centroid (ICDE 2020)."""
    return join_distances(series.values, build_normal_model(series.values, length=series.length, key_hash=seed).best(), series.length)


def norm_sample_first_stop(series: Series, seed: int) -> Floats:
    """The same with the paper's stopping rule."""
    model = build_normal_model(series.values, length=series.length, key_hash=seed, first_stop=True)
    return join_distances(series.values, model.best(), series.length)


def norma_self_join(series: Series, seed: int) -> Floats:
    """Candidates by self-join; nothing is drawn."""
    return join_distances(series.values, build_normal_model(series.values, length=series.length, candidates="self-join"), series.length)


def first_discord(series: Series, seed: int) -> Floats:
    """STOMP: the distance to the nearest other subsequence."""
    import stumpy

    return stumpy.stump(series.values, series.length)[:, 0].astype(np.float64)


def mth_discord(series: Series, seed: int) -> Floats:
    """DAD: the distance to the m-th nearest other subsequence, m = the number of anomalies.

    The m neighbours may overlap one another (only the subsequence's own surroundings are excluded), as stumpy's do.
    """
    import stumpy

    m = max(series.anomalies, 1)
    return stumpy.stump(series.values, series.length, k=m)[:, m - 1].astype(np.float64)


def local_outlier_factor(series: Series, seed: int) -> Floats:
    """scikit-learn's, 20 neighbours, on raw subsequences."""
    from sklearn.neighbors import LocalOutlierFactor

    windows, back = _thinned(series)
    return -LocalOutlierFactor().fit(windows).negative_outlier_factor_[back]


def isolation_forest(series: Series, seed: int) -> Floats:
    """scikit-learn's, 100 trees, on raw subsequences."""
    from sklearn.ensemble import IsolationForest

    windows, back = _thinned(series)
    return -IsolationForest(random_state=seed).fit(windows).score_samples(windows)[back]


def _thinned(series: Series) -> tuple[Floats, NDArray[np.int64]]:
    every = sliding_window_view(series.values, series.length)
    windows = np.ascontiguousarray(every[::STRIDE])
    return windows, np.minimum((np.arange(len(every)) + STRIDE // 2) // STRIDE, len(windows) - 1)


METHODS: dict[str, tuple[Callable[[Series, int], Floats], bool]] = {  # and whether it draws, so that several seeds say more than one
    "NormA-smpl": (norma_sample, True),
    "NorM-smpl": (norm_sample, True),
    "NorM-smpl first stop": (norm_sample_first_stop, True),
    "NormA-SJ": (norma_self_join, False),
    "STOMP": (first_discord, False),
    "DAD": (mth_discord, False),
    "LOF": (local_outlier_factor, False),
    "IForest": (isolation_forest, True),
}
