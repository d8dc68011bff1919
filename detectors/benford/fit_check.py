"""Does the log-normal law hold? Asked of the digits below a limit, and answered in postings.

With enough amounts every real law is told from the log-normal, so a bare test would always say no. What matters is what the
difference costs. A chi-square of n postings against a reference that is δ = Σ (q − p)² / p away from their true law has
non-centrality n·δ, and so its false alarms are known: at 5 % they have become 7 % when n·δ reaches `TOLERATED`. The log-normal
therefore *holds for* TOLERATED / δ postings, and does not hold for more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.benford.empirical import empirical_law
from detectors.benford.fit import chi_square_tail
from detectors.benford.reference import digit_law
from state.log_histogram import AMOUNTS, CELLS, ENDS, LARGEST, cell_start

# Non-centrality that lets a 5 % chi-square with 1 … 8 degrees of freedom reject 7 %: scipy.stats.ncx2, see the test.
TOLERATED = (0.1726, 0.2591, 0.3280, 0.3873, 0.4401, 0.4882, 0.5327, 0.5743)
SIGNIFICANT = 0.01  # amounts must contradict the law this clearly before it is given up
LEAST_EXPECTED = 5.0  # amounts that each digit must be expected to lead (Cochran); fewer contradict nothing


@dataclass(frozen=True, slots=True)
class FitCheck:
    """What the amounts below a limit say of the log-normal law.

    Attributes
    ----------
    amounts
        How many tell it.
    high
        The limit that they lie below, minor units.
    distance
        δ between their digits' law and the log-normal's, less what chance adds to it; 0 at least.
    deviation
        Mean absolute deviation between the two laws.
    p_value
        Of the chi-square of the amounts' digits against the log-normal; 1 where there are too few.
    holds_for
        Postings up to which a test at 5 % would reject honest employees at most 7 % of the time; inf for a perfect fit.
    """

    amounts: int
    high: int
    distance: float
    deviation: float
    p_value: float
    holds_for: float

    def holds(self, postings: float) -> bool:
        """Say whether a test over so many postings may use the log-normal law: it may unless the amounts clearly contradict it."""
        return self.p_value > SIGNIFICANT or self.holds_for >= postings


@njit(cache=True)  # type: ignore[untyped-decorator]
def law_distance(found, law, n):  # type: ignore[no-untyped-def]
    """Return (δ, its degrees of freedom, chi-square, smallest expected count) of shares `found` of n amounts against `law`.

    E[Σ (q̂ − p)² / p] = δ + (Σ q (1 − q) / p) / n, of which the last, with q̂ for q, is taken off. Infinite where an amount
    leads with a digit that the law rules out.
    """
    whole, chance, cells, least = 0.0, 0.0, 0, np.inf
    for d in range(len(law)):
        if law[d] > 0.0:
            whole += (found[d] - law[d]) ** 2 / law[d]
            chance += found[d] * (1.0 - found[d]) / law[d]
            least = min(least, n * law[d])
            cells += 1
        elif found[d] > 0.0:
            whole = np.inf
    return max(whole - chance / max(n - 1, 1), 0.0), cells - 1, n * whole, least


@njit(cache=True)  # type: ignore[untyped-decorator]
def most_telling(histogram):  # type: ignore[no-untyped-def]
    """Return the limit (minor units, LARGEST for none) below which the most amounts lie whose own limit is no lower.

    Where everybody has a limit, nobody's amounts tell of the law without one.
    """
    best, high, below, ended = 0, LARGEST, 0, 0
    for j in range(CELLS):
        below += histogram[AMOUNTS, j]
        ended += histogram[ENDS, j]
        last = j == CELLS - 1
        if (last or histogram[ENDS, j + 1] > 0) and below - ended >= best:
            best, high = below - ended, LARGEST if last else cell_start(j + 1)
    return high


def check_log_normal(
    histogram: NDArray[np.int64], mu: float, sigma: float, low: int = 1, high: int | None = None, *, exponent: int = 2
) -> FitCheck:
    """Compare the first digits of the amounts in [low, high), minor units, with the log-normal's of mu and sigma (major units).

    Without `high` the amounts below the limit that tells the most are compared (`most_telling`).

    Examples
    --------
    Prices that all begin with a 9 are not log-normal:

    >>> from state.log_histogram import histogram_of
    >>> check = check_log_normal(histogram_of(np.full(1_000, 99)), mu=2.5, sigma=0.6)
    >>> check.amounts, check.holds(100)
    (1000, False)
    """
    if not sigma > 0.0 or not math.isfinite(mu) or not math.isfinite(sigma):
        raise ValueError(f"mu = {mu}, sigma = {sigma}: wanted finite numbers, sigma above 0")
    if high is None:
        high = int(most_telling(histogram))
    found, law = np.zeros(9), np.zeros(9)
    n = int(empirical_law(histogram, low, high, found))
    unit = 10.0**exponent
    digit_law(mu, sigma, low / unit, high / unit if high < LARGEST else math.inf, law)
    if n == 0:
        return FitCheck(0, high, 0.0, 0.0, 1.0, math.inf)
    if law.sum() == 0.0:  # amounts where the log-normal has none
        return FitCheck(n, high, math.inf, float(found.mean()), 0.0, 0.0)
    distance, df, x, least = law_distance(found, law, n)
    p = chi_square_tail(x, df) if least >= LEAST_EXPECTED or math.isinf(distance) else 1.0
    holds_for = TOLERATED[df - 1] / distance if df > 0 and distance > 0.0 else math.inf
    possible = law > 0.0
    return FitCheck(n, high, float(distance), float(np.abs(found - law)[possible].mean()), float(p), float(holds_for))
