"""How well observed digits fit expected ones: the decision (chi-square and its p-value) and the descriptions beside it.

The kernels work on counts, arrays of shape (9,) or (90,); cells that nothing can fall into (expected 0) are left out. A test of
k possible digits has k − 1 degrees of freedom: mu and sigma come from the whole population and cost none. With one possible
digit there is nothing to test: p = 1.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)  # type: ignore[untyped-decorator]
def chi_square_tail(x, df):  # type: ignore[no-untyped-def]
    """Return P(chi-square with `df` degrees of freedom > x): the regularised upper incomplete gamma Q(df/2, x/2).

    The closed forms for whole and half-whole df/2: a sum of positive terms, so small p-values keep all their digits.
    df = 0 gives 1.
    """
    if df <= 0 or x <= 0.0:
        return 1.0
    half = 0.5 * x
    if df % 2 == 0:
        term, total, shape = math.exp(-half), 0.0, 1.0
    else:
        total = math.erfc(math.sqrt(half))
        term, shape = math.exp(-half) * math.sqrt(half) * (2.0 / math.sqrt(math.pi)), 1.5
    for _ in range(df // 2):
        total += term
        term *= half / shape
        shape += 1.0
    return min(total, 1.0)


@njit(cache=True)  # type: ignore[untyped-decorator]
def look_tail(x, df, n, rarity):  # type: ignore[no-untyped-def]
    """Return P(Pearson's statistic of n amounts > x), to order 1/n, and never less than `chi_square_tail(x, df)`.

    The chi-square law is the limit of many amounts. With a hundred or two its tail is too thin: a look at level .003 rejects
    1.2 to 1.4 times too often, one at .00003 two to three times. The next term of the expansion (Siotani and Fujikoshi, 1984,
    for Pearson's statistic; the part without the lattice) mends that:

        Q_ν + [r₀ Q_ν + r₁ Q_ν₊₂ + r₂ Q_ν₊₄ + r₃ Q_ν₊₆] / (24 n),  ν = k − 1,  S = Σ 1/p (`rarity`),
        r₀ = 2 (1 − S),  r₁ = 3 (3S − k² − 2k),  r₂ = −6 (2S − k² − 2k + 1),  r₃ = 5S − 3k² − 6k + 4.

    Its mean and variance are Pearson's exact ones, k − 1 and 2 (k − 1) + (S − k² − 2k + 2) / n.
    """
    plain = chi_square_tail(x, df)
    if df <= 0 or x <= 0.0:
        return plain
    k = df + 1.0
    q1, q2, q3 = chi_square_tail(x, df + 2), chi_square_tail(x, df + 4), chi_square_tail(x, df + 6)
    more = 2.0 * (1.0 - rarity) * plain + 3.0 * (3.0 * rarity - k * k - 2.0 * k) * q1
    more += -6.0 * (2.0 * rarity - k * k - 2.0 * k + 1.0) * q2 + (5.0 * rarity - 3.0 * k * k - 6.0 * k + 4.0) * q3
    return min(max(plain, plain + more / (24.0 * n)), 1.0)


@njit(cache=True)  # type: ignore[untyped-decorator]
def chi_square(observed, expected):  # type: ignore[no-untyped-def]
    """Return Pearson's Σ (O − E)² / E over the possible digits, and its degrees of freedom."""
    total, cells = 0.0, 0
    for d in range(len(expected)):
        if expected[d] > 0.0:
            total += (observed[d] - expected[d]) ** 2 / expected[d]
            cells += 1
    return total, cells - 1


@njit(cache=True)  # type: ignore[untyped-decorator]
def deviations(observed, expected, n):  # type: ignore[no-untyped-def]
    """Return the mean absolute deviation of the digits' shares, and what perfect data of n amounts would show.

    MAD = mean |O/n − E/n|; E[MAD] = mean √(2 p (1 − p) / (π n)) (Barney and Schulzke): .0235 at n = 100, so Nigrini's limit of
    .015 condemns nine in ten perfect sets of that size. Read MAD − E[MAD], the *excess*.
    """
    found, usual, cells = 0.0, 0.0, 0
    for d in range(len(expected)):
        if expected[d] > 0.0:
            p = min(expected[d] / n, 1.0)
            found += abs(observed[d] / n - p)
            usual += math.sqrt(2.0 * p * (1.0 - p) / (math.pi * n))
            cells += 1
    return found / cells, usual / cells


@njit(cache=True)  # type: ignore[untyped-decorator]
def cramers_v(x, n, df):  # type: ignore[no-untyped-def]
    """Return Cramér's V = √(chi² / (n (k − 1))), an effect size that does not grow with n; 0 where nothing can be tested."""
    return math.sqrt(x / (n * df)) if n > 0 and df > 0 else 0.0


def goodness_of_fit(observed: NDArray[np.int64], law: NDArray[np.float64]) -> tuple[float, int, float]:
    """Return (chi-square, degrees of freedom, p) of counts against probabilities, offline.

    Raises
    ------
    ValueError
        If a digit was observed that the law rules out.

    Examples
    --------
    >>> x, df, p = goodness_of_fit(np.array([30, 18, 12, 10, 8, 7, 6, 5, 4]), np.log10(1 + 1 / np.arange(1, 10)))
    >>> df, p > 0.99
    (8, True)
    """
    observed = np.array(observed, np.int64)
    if np.any(observed[np.asarray(law) <= 0.0]):
        raise ValueError("a digit leads that the law rules out: take out the amounts beyond the limits first")
    x, df = chi_square(observed, np.array(law, np.float64) * int(observed.sum()))
    return float(x), int(df), float(chi_square_tail(x, df))
