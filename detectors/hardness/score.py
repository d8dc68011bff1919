"""The calibrated score: how far an error lies above what is usual at its hardness, in units of the usual spread there (CADET, Eq. 10).

s(x) = (e − q̂(h)) / (q̂_.75(h) − q̂_.25(h)) + λ · π(h), with the prior π(h) = |h − mean(h)| / std(h).

The paper's q̂ stands at 1 − ε; ours at .95, whatever ε is. λ is 0 unless set: a prior makes hard events alert more often again, which
is what the calibration took away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors.hardness.curves import QuantileCurves

Floats = NDArray[np.float64]

LARGEST = 1e300  # scores are held within ±LARGEST, so that every one is finite and has a rank


@dataclass(frozen=True, slots=True)
class Prior:
    """π(h) = |z(h)|: how unusual the hardness is by itself. 0 everywhere where the hardness never varied."""

    mean: float
    std: float

    @classmethod
    def fit(cls, hardness: ArrayLike) -> Prior:
        """Mean and standard deviation (of n, not n − 1) of hardness of shape (n,)."""
        h = np.asarray(hardness, np.float64)
        largest = float(np.abs(h).max())
        if largest == 0.0:
            return cls(0.0, 0.0)
        scaled = h / largest  # squares of huge values stay finite
        varies = bool(scaled.min() < scaled.max())
        return cls(float(scaled.mean()) * largest, float(scaled.std()) * largest if varies else 0.0)

    def at(self, hardness: ArrayLike) -> Floats:
        h = np.asarray(hardness, np.float64)
        with np.errstate(over="ignore"):
            return np.minimum(np.abs(h - self.mean) / self.std, LARGEST) if self.std > 0.0 else np.zeros(h.shape)


def calibrated_score(error: ArrayLike, hardness: ArrayLike, curves: QuantileCurves, prior: Prior, lambda_: float = 0.0) -> Floats:
    """Return s of Eq. (10) for errors and hardness of shape (n,); larger is stranger.

    Examples
    --------
    Half of all errors lie between 1 and 3, one in twenty above 5; an error of 9 is two such spreads above that:

    >>> curves = QuantileCurves(np.array([0.0]), np.array([[1.0], [2.0], [3.0], [5.0]]), degree=1, floor=0.1)
    >>> calibrated_score([9.0], [0.7], curves, Prior(0.5, 0.2)).tolist()
    [2.0]
    """
    e, h = np.asarray(error, np.float64), np.asarray(hardness, np.float64)
    quantiles = curves.at(h)
    with np.errstate(over="ignore"):
        s = (e - quantiles[:, 3]) / curves.spread(quantiles)
        if lambda_ > 0.0:
            s = s + lambda_ * prior.at(h)
    return np.clip(s, -LARGEST, LARGEST)
