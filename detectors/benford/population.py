"""The population's mu and sigma before any cut, although everybody's amounts are cut off at limits of their own.

The paper takes mean and standard deviation of all amounts, which is right while most of them keep no limit. Where every employee
has one, these are moments of cut amounts, and a law that is cut once more from them condemns the honest. The truncated likelihood
of section 4.4 serves the whole population, too, and needs to know of the limits only how many amounts had to keep each:

    log L = t₁ Σ y + t₂ Σ y² − Σ_limits n_limit A_limit(t)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detectors.benford.truncated import FOUND, REASONS, TruncatedFit, maximise
from state.log_histogram import AMOUNTS, ENDS, cell_start
from state.moments import COUNT, M2, MEAN, standard_deviation


def population_parameters(moments: NDArray[np.float64], histogram: NDArray[np.int64], *, exponent: int = 2) -> TruncatedFit:
    """Return mu and sigma of log10(amount in major units) before the cut.

    Parameters
    ----------
    moments
        Shape (3,), `state.moments` of log10(amount in major units) of the very amounts that the histogram counts (`learn_amount`
        says which).
    histogram
        Shape (2, 1710), `state.log_histogram`: how many limits end where.
    exponent
        Decimal places of the currency's minor unit.

    Returns
    -------
    The maximum of the truncated likelihood; the plain mean and standard deviation where it does not exist or nothing was cut.

    Examples
    --------
    >>> from state.log_histogram import histogram_of
    >>> amounts = np.array([10_000, 20_000, 40_000, 80_000] * 10)
    >>> logs = np.log10(amounts) - 2
    >>> moments = np.array([40, logs.mean(), ((logs - logs.mean()) ** 2).sum()])
    >>> plain = population_parameters(moments, histogram_of(amounts))
    >>> cut = population_parameters(moments, histogram_of(amounts, np.full(40, 99_999)))
    >>> round(plain.mu, 3), round(cut.mu, 3)
    (2.452, 2.57)
    """
    n = int(histogram[AMOUNTS].sum())
    if moments[COUNT] != n:
        raise ValueError(f"moments of {moments[COUNT]:g} amounts and a histogram of {n}: wanted those of the same amounts")
    mu, sigma = float(moments[MEAN]), standard_deviation(float(moments[COUNT]), float(moments[M2]))
    ends = np.flatnonzero(histogram[ENDS])
    if len(ends) == 0:
        return TruncatedFit(mu, sigma, "no limits", 0)
    counts = histogram[ENDS, ends].astype(float)
    tops = np.array([cell_start(end) for end in ends.tolist()], float) / 10.0**exponent
    if n > counts.sum():
        counts, tops = np.append(counts, n - counts.sum()), np.append(tops, np.inf)
    # only the sums over all strata matter, so each may be given the whole's mean and its share of the squares
    strata = np.stack([counts, np.full(len(counts), mu), moments[M2] * counts / n], axis=1)
    bounds, out = np.stack([np.full(len(tops), -np.inf), np.log10(tops)], axis=1), np.zeros(3)
    reason = int(maximise(strata, bounds, out))
    if reason == FOUND:
        return TruncatedFit(float(out[0]), float(out[1]), REASONS[FOUND], int(out[2]))
    return TruncatedFit(mu, sigma, REASONS[reason], int(out[2]))
