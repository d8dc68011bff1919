"""What is made of distances: the answers of the paper (Top-k, threshold), a score for every point, and several normals in one series."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def top_k(distances: Floats, k: int, exclusion: int) -> NDArray[np.int64]:
    """Return the starts of the k most abnormal subsequences, the worst first, no two of them less than `exclusion` points apart.

    Parameters
    ----------
    distances
        Of the subsequence that starts at each point, shape (n − ℓ + 1,); what is not finite is no subsequence.
    k
        How many at most; the earlier of two that are equally far comes first.
    exclusion
        Points; ℓ in the paper, so that no two answers overlap.

    Examples
    --------
    >>> top_k(np.array([1.0, 5.0, 4.0, 1.0, 3.0]), k=2, exclusion=2).tolist()
    [1, 4]
    """
    return _worst_first(distances, k, exclusion, -np.inf)


def above(distances: Floats, threshold: float, exclusion: int) -> NDArray[np.int64]:
    """Return the starts of all subsequences farther than `threshold`, each the worst within `exclusion` points, the worst first.

    >>> above(np.array([1.0, 5.0, 4.0, 1.0, 3.0]), threshold=2.0, exclusion=2).tolist()
    [1, 4]
    """
    return _worst_first(distances, len(distances), exclusion, threshold)


def centred(distances: Floats, reach: int, trailing: bool = False) -> Floats:
    """Return each distance less the mean of those around it: NormA for several normals, d̃_j = d_j − mean(d_{j−τ} … d_{j+τ}).

    A stretch that another kind of normal fills is far from the model from end to end; an anomaly is far from the model and from its
    neighbours.

    Parameters
    ----------
    distances
        Finite, shape (m,).
    reach
        τ in points; the journal takes 2ℓ_NM. At the ends the mean is of what there is.
    trailing
        The mean of the τ distances before only, which is all that a stream knows; the first distance becomes 0.
    """
    if reach < 1:
        raise ValueError(f"reach = {reach}: wanted at least 1 point")
    sums = np.concatenate([[0.0], np.cumsum(distances)])
    here = np.arange(len(distances))
    first = np.maximum(here - reach, 0)
    last = here if trailing else np.minimum(here + reach + 1, len(distances))
    count = last - first
    mean = np.where(count > 0, (sums[last] - sums[first]) / np.maximum(count, 1), distances)
    return np.asarray(distances - mean)


def point_scores(distances: Floats, length: int) -> Floats:
    """Return a score for every point: the distance of the subsequence around it, then the mean over ℓ points.

    Parameters
    ----------
    distances
        Of the subsequence that starts at each point, shape (n − ℓ + 1,).
    length
        ℓ. A point p has the distance of the subsequence that starts at p − ⌊(ℓ − 1) / 2⌋, those at the ends the nearest there is.

    Returns
    -------
    Shape (n,). The mean is over the ⌊ℓ / 2⌋ points before, the point, and as many after as make ℓ; what lies beyond an end counts as
    the point at that end.
    """
    before = (length - 1) // 2
    whole = np.pad(distances, (before + length // 2, 2 * (length - 1) - before - length // 2), mode="edge")
    sums = np.concatenate([[0.0], np.cumsum(whole)])
    return np.asarray((sums[length:] - sums[:-length]) / length)


def _worst_first(distances: Floats, k: int, exclusion: int, floor: float) -> NDArray[np.int64]:
    free = np.isfinite(distances) & (distances > floor)
    places = np.flatnonzero(free)
    chosen: list[int] = []
    for start in places[np.argsort(-distances[places], kind="stable")].tolist():
        if len(chosen) == k:
            break
        if free[start]:
            chosen.append(start)
            free[max(start - exclusion + 1, 0) : start + exclusion] = False
    return np.array(chosen, np.int64)
