"""Null models that learn while they run: each value is predicted first and learned from afterwards.

What a fixed null model calls hard changes its meaning once the data drift. These forget: after n steps an event counts λ^n.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

FORGETTING = 0.999  # λ: a thousand events back counts 37 %
LARGEST_Z = 20.0  # a feature is at most so many standard deviations from its mean
UNSURE = 1e3  # variance of every coefficient at the start, in units of the noise's, and the most that it may have on average later


class MovingAutoregression:
    """x[t] = c + a1 · x[t − 1] + … + ap · x[t − p] per dimension, by recursive least squares with forgetting.

    Parameters
    ----------
    order
        p, the number of lags.
    dimensions
        d; each has its own coefficients.
    forgetting
        λ in (0, 1].

    Attributes
    ----------
    coefficients
        Shape (d, p + 1): the intercept first, then lags 1 … p. At the start a1 = 1: a value like the one before.

    Notes
    -----
    With z = (1, x[t − 1], …, x[t − p]) and the residual r: k = Pz / (λ + zᵀPz), w += k · r, P = (P − k zᵀP) / λ. Where nothing
    new comes (a constant series) P would grow without end, and the first new value would be learned as if it were all there is: its
    trace is held at what it was at the start. Elementwise sums only, in a fixed order: a replay gives the same bits.
    Bring the series to a scale near 1; `UNSURE` is in its unit.

    Examples
    --------
    >>> null = MovingAutoregression(order=1)
    >>> [float(null.step([value])[0]) for value in (4.0, 4.0, 7.0)]
    [0.0, 0.0, 3.0]
    """

    def __init__(self, order: int = 5, dimensions: int = 1, forgetting: float = FORGETTING) -> None:
        if order < 1 or dimensions < 1 or not 0.0 < forgetting <= 1.0:
            raise ValueError(f"order = {order}, dimensions = {dimensions}, forgetting = {forgetting}: wanted ≥ 1, ≥ 1, and in (0, 1]")
        self.order, self.forgetting = order, forgetting
        self.coefficients = np.zeros((dimensions, order + 1))
        self.coefficients[:, 1] = 1.0
        self._unsure = np.tile(UNSURE * np.eye(order + 1), (dimensions, 1, 1))
        self._lags = np.zeros((dimensions, order))
        self._seen = 0

    def step(self, values: ArrayLike) -> Floats:
        """Return x[t] − Null(x)[t], shape (d,), for the next values, shape (d,), and learn from it; the first p values have residual 0."""
        x = np.asarray(values, np.float64)
        residual = np.zeros(len(self.coefficients))
        if self._seen >= self.order:
            z = np.concatenate([np.ones((len(x), 1)), self._lags], axis=1)
            residual = x - (self.coefficients * z).sum(axis=1)
            along = (self._unsure * z[:, None, :]).sum(axis=2)
            gain = along / (self.forgetting + (along * z).sum(axis=1))[:, None]
            self.coefficients += gain * residual[:, None]
            self._unsure = (self._unsure - gain[:, :, None] * along[:, None, :]) / self.forgetting
            mean = np.trace(self._unsure, axis1=1, axis2=2) / (self.order + 1)
            self._unsure *= np.minimum(1.0, UNSURE / mean)[:, None, None]
        self._lags[:, 1:] = self._lags[:, :-1].copy()
        self._lags[:, 0] = x
        self._seen += 1
        return residual

    def residuals(self, series: ArrayLike) -> Floats:
        """Step through a series of shape (n,) or (n, d); return the residuals, shape (n, d)."""
        x = np.asarray(series, np.float64)
        return np.array([self.step(row) for row in (x[:, None] if x.ndim == 1 else x)]).reshape(len(x), -1)


class MovingMoments:
    """Exponentially weighted mean and variance of every feature: a row's hardness is how far it lies from what rows have been.

    The n-th row has the weight max(1/n, 1 − λ), so that the first rows count alike and the mean of few is no less sure than it can be.

    Examples
    --------
    A row is judged by those before it; the first by none:

    >>> null = MovingMoments(1)
    >>> [null.step([1.0]), null.step([3.0]), null.step([4.0])]
    [0.0, 0.0, 2.0]
    """

    def __init__(self, dimensions: int, forgetting: float = FORGETTING) -> None:
        if dimensions < 1 or not 0.0 < forgetting <= 1.0:
            raise ValueError(f"dimensions = {dimensions}, forgetting = {forgetting}: wanted ≥ 1, and in (0, 1]")
        self.forgetting = forgetting
        self.means, self.variances = np.zeros(dimensions), np.zeros(dimensions)
        self._seen = 0

    def step(self, row: ArrayLike) -> float:
        """Return ‖z‖ of the next row, shape (d,), and learn from it: z is held within ±20, and 0 for a feature that has not varied yet."""
        x = np.asarray(row, np.float64)
        off = x - self.means
        varies = self.variances > 0.0
        z = np.clip(off / np.sqrt(np.where(varies, self.variances, 1.0)), -LARGEST_Z, LARGEST_Z) * varies
        self._seen += 1
        weight = max(1.0 / self._seen, 1.0 - self.forgetting)
        self.means = self.means + weight * off
        self.variances = (1.0 - weight) * (self.variances + weight * off * off)
        return float(np.sqrt((z * z).sum()))

    def hardness(self, rows: ArrayLike) -> Floats:
        """Step through rows of shape (n, d); shape (n,)."""
        return np.array([self.step(row) for row in np.asarray(rows, np.float64)])
