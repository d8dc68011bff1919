"""Null models: what a sample would look like if it held nothing but the simplest structure of its kind.

Hardness H(x) = ‖x − Null(x)‖₂ (CADET; Eq. 3 for images): an image far from the mean of its neighbours, a series
far from its own autoregression, a row far from the means is hard, and a model errs more on what is hard.

The paper names neither the norm nor the order of the autoregression. Here the norm is Euclidean and the order an argument.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

DEPENDENT = 1e-9  # a lag of which less than this share is not told by the shorter lags adds nothing but rounding


def fit_autoregression(values: ArrayLike, order: int) -> Floats:
    """Return the least-squares coefficients of x[t] = c + a1 · x[t − 1] + … + ap · x[t − p].

    Parameters
    ----------
    values
        One series, shape (n,), n > order, finite.
    order
        p, the number of lags; 0 gives the mean of all values.

    Returns
    -------
    Array of shape (order + 1,): the intercept first, then lags 1 … p. A lag that the shorter lags already tell (a constant or a
    pure sine) has the coefficient 0, so a constant series is predicted by its own value.

    Raises
    ------
    ValueError
        If the order is negative or the series is not longer than it.

    Notes
    -----
    Gram–Schmidt twice over, on centred lags, with elementwise arithmetic and sums only: BLAS may add in another order on a machine
    with another number of cores, and a replay there would not give the same bits.

    Examples
    --------
    Each value is half of the one before, plus one:

    >>> fit_autoregression([10.0, 6.0, 4.0, 3.0, 2.5], order=1).round(9).tolist()
    [1.0, 0.5]
    """
    series = np.ascontiguousarray(values, np.float64)
    if series.ndim != 1 or order < 0 or len(series) <= order:
        raise ValueError(f"an autoregression of order {order} wants one series of more than {order} values, got shape {series.shape}")
    largest = float(np.abs(series).max())
    scale = largest if largest > 0.0 else 1.0
    series = series / scale  # squares of huge values stay finite
    n = len(series) - order
    target = series[order:]
    lags = np.stack([series[order - k : order - k + n] for k in range(1, order + 1)]) if order else np.zeros((0, n))
    means = np.array([lag.mean() for lag in lags])
    centred = lags - means[:, None]
    wanted = target - target.mean()

    basis: list[Floats] = []
    rows: list[Floats] = []  # row i: what lag kept[i] has of each basis vector, itself last
    kept: list[int] = []
    for k, lag in enumerate(centred):
        length = np.sqrt((lag * lag).sum())
        rest, shares = lag, np.zeros(len(basis))
        for _ in range(2):
            for j, axis in enumerate(basis):
                share = (axis * rest).sum()
                shares[j] += share
                rest = rest - share * axis
        left = np.sqrt((rest * rest).sum())
        if left > DEPENDENT * length and left > 1e-14 * np.sqrt(n):
            basis.append(rest / left)
            rows.append(np.append(shares, left))
            kept.append(k)

    along = np.zeros(len(basis))
    for j, axis in enumerate(basis):
        along[j] = (axis * wanted).sum()
        wanted = wanted - along[j] * axis
    solved = np.zeros(len(basis))
    for i in range(len(basis) - 1, -1, -1):
        told = sum(rows[j][i] * solved[j] for j in range(i + 1, len(basis)))
        solved[i] = (along[i] - told) / rows[i][i]
    coefficients = np.zeros(order + 1)
    coefficients[[k + 1 for k in kept]] = solved
    coefficients[0] = (target.mean() - sum(coefficients[k + 1] * means[k] for k in range(order))) * scale
    return coefficients


@dataclass(frozen=True, slots=True)
class SeriesNull:
    """An autoregression with intercept per dimension; `coefficients` has shape (d, order + 1)."""

    coefficients: Floats

    @classmethod
    def fit(cls, series: ArrayLike, order: int = 5) -> SeriesNull:
        """Fit on one long series of shape (n,) or (n, d), the first axis in time."""
        columns = np.asarray(series, np.float64)
        columns = columns[:, None] if columns.ndim == 1 else columns
        return cls(np.stack([fit_autoregression(columns[:, j], order) for j in range(columns.shape[1])]))

    @property
    def order(self) -> int:
        """How many values back the autoregression looks."""
        return int(self.coefficients.shape[1]) - 1

    def null(self, windows: ArrayLike) -> Floats:
        """Predict values p … w − 1 of windows of shape (n, w) or (n, w, d), each from the p values before it in its window.

        Returns
        -------
        Array of shape (n, w − p, d).
        """
        x = self._windows(windows)
        p, w = self.order, x.shape[1]
        predicted = np.broadcast_to(self.coefficients[:, 0], (len(x), w - p, x.shape[2])).copy()
        for k in range(1, p + 1):
            predicted += self.coefficients[:, k] * x[:, p - k : w - k]
        return predicted

    def hardness(self, windows: ArrayLike) -> Floats:
        """‖x − Null(x)‖ of each window, shape (n,); its first p values, which nothing in it predicts, are left out."""
        x = self._windows(windows)
        return _norms(x[:, self.order :] - self.null(x))

    def _windows(self, windows: ArrayLike) -> Floats:
        x = np.asarray(windows, np.float64)
        x = x[:, :, None] if x.ndim == 2 else x
        if x.ndim != 3 or x.shape[1] <= self.order or x.shape[2] != len(self.coefficients):
            wanted = f"(n, w, {len(self.coefficients)}) with w > {self.order}"
            raise ValueError(f"windows of shape {wanted} are wanted, got {np.shape(windows)}")
        return x


@dataclass(frozen=True, slots=True)
class TabularNull:
    """The mean of every feature; `means` has shape (d,). Features of different units should be brought to one scale before."""

    means: Floats

    @classmethod
    def fit(cls, rows: ArrayLike) -> TabularNull:
        """Fit on rows of shape (n, d)."""
        return cls(np.asarray(rows, np.float64).mean(axis=0))

    def hardness(self, rows: ArrayLike) -> Floats:
        """‖x − means‖ of each row, shape (n,)."""
        return _norms(np.asarray(rows, np.float64) - self.means)


def image_null(images: ArrayLike) -> Floats:
    """Return every pixel's mean of its four neighbours, Eq. (3); at the border a missing neighbour is the pixel itself.

    Parameters
    ----------
    images
        Shape (…, height, width).

    Examples
    --------
    >>> image_null([[0.0, 4.0], [4.0, 8.0]]).tolist()
    [[2.0, 4.0], [4.0, 6.0]]
    """
    x = np.asarray(images, np.float64)
    padded = np.pad(x, [(0, 0)] * (x.ndim - 2) + [(1, 1), (1, 1)], mode="edge")
    total: Floats = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1] + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    return total / 4.0


def image_hardness(images: ArrayLike) -> Floats:
    """‖x − Null(x)‖ of images of shape (n, height, width), shape (n,); no model has to be fit."""
    x = np.asarray(images, np.float64)
    return _norms(x - image_null(x))


def _norms(differences: Floats) -> Floats:
    """Euclidean norm over all axes but the first."""
    flat = differences.reshape(len(differences), -1)
    return np.asarray(np.sqrt((flat * flat).sum(axis=1)), np.float64)
