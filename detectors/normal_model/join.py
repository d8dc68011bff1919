"""A whole series against its Normal Model at once: the join N_M ⋈ T (NorM, section V)."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.normal_model.model import NormalModel
from detectors.normal_model.rolling import LARGEST, distance, model_block, refresh

Floats = NDArray[np.float64]


def join_distances(values: Floats, model: NormalModel, length: int) -> Floats:
    """Return the distance of every subsequence to its nearest in the model, weighted over the centroids: d_j = Σ w_i J_i[j].

    Parameters
    ----------
    values
        Finite, shape (n,), n ≥ ℓ.
    model
        All its centroids count; `model.best()` for the paper's single one.
    length
        ℓ, at most ℓ_NM.

    Returns
    -------
    Shape (n − ℓ + 1,); entry j speaks of ``values[j : j + ℓ]``. The very numbers that the stream gives, by the same kernel.
    """
    values = np.clip(np.ascontiguousarray(values, np.float64), -LARGEST, LARGEST)
    if not 1 < length <= min(len(values), model.normal_length):
        raise ValueError(
            f"length = {length}: wanted between 2 and the smaller of the series ({len(values)}) and ℓ_NM ({model.normal_length})"
        )
    count, normal_length = model.centroids.shape
    out = np.empty(len(values) - length + 1)
    _join(np.concatenate([values, model_block(model, length)]), len(values), count, length, normal_length, out)
    return out


@njit(cache=True)  # type: ignore[untyped-decorator]
def _join(data, model, centroids, length, normal_length, out):  # type: ignore[no-untyped-def]
    refresh(data, 0, model, centroids, length, normal_length)
    for start in range(len(out)):
        out[start] = distance(data, start, data[max(start - 1, 0)], model, centroids, length, normal_length, start > 0)
