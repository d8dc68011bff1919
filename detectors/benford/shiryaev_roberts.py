"""When fraud begins late: the Shiryaev–Roberts statistic and the boundary that it must cross.

A bet held from the first posting has lost too much on thousands of honest ones to win it back in time. The sum of bets that began at
every posting, S ← (S + 1) · factor (Shiryaev, 1963; Roberts, 1966), forgets: a late start costs only what it costs the one bet that
began right then. At 5 % of fraud from posting 8,000 it alarms 480 postings later (the median, at 5 %, on digits alone) and in 96 of
100 cases within a thousand; the growing evidence does so in 7.

S is no e-value: honest, its mean after t postings is t. So it is held against a boundary

    b(t) = κ T max(1, (t / T)²),   T = 10,000 postings of an accounting year,

flat for as long as almost everybody's year, rising beyond. Since S is a submartingale with mean t, the chance of ever crossing is
Σ 1 / b(t) = 2 / κ at most, whatever the law (Chow, 1960; Hájek and Rényi, 1955). The bound counts every crossing of a heap once per
posting; simulated, the chance is 0.6 to 0.9 over κ at every level from 10 % to 0.2 %. `CROSSING` is the largest, rounded up, of
three laws; `python -m tests.papers.benford_stream threshold` draws it again.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.benford.evidence import bet, mean_of, no_bets, slope_of
from detectors.benford.lanes import BETS, LANES

POSTINGS = 10_000.0  # [T] of one employee in a year, up to which the boundary is flat
CROSSING = 1.0  # [C] κ = C / α


@njit(cache=True)  # type: ignore[untyped-decorator]
def boundary(alpha, t):  # type: ignore[no-untyped-def]
    """Return what S after t postings of the accounting year is held against at level α."""
    late = t / POSTINGS
    return CROSSING / alpha * POSTINGS * max(1.0, late * late)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _highest(shares, cumulated, band, rho, draws, out):  # type: ignore[no-untyped-def]
    places = len(shares)
    for r in range(len(draws)):
        bets, count, highest = np.empty(places * LANES), np.zeros(places, np.int64), 0.0
        no_bets(bets)
        for i in range(draws.shape[1]):
            u = draws[r, i]
            digit = 0
            while digit < 8 and u >= cumulated[r, digit]:
                digit += 1
            for place in range(9):
                bet(bets, place * LANES, slope_of(shares[place], count[place], i - count[place], digit == place, rho))
            count[digit] += 1
            if places > 9:  # a band within the nines: the last `band` of all
                inside = u >= 1.0 - band[r]
                bet(bets, 9 * LANES, slope_of(shares[9], count[9], i - count[9], inside, rho))
                count[9] += 1 if inside else 0
            highest = max(highest, mean_of(bets, BETS, places) / (POSTINGS * max(1.0, ((i + 1) / POSTINGS) ** 2)))
        out[r] = highest


def simulated_crossing(
    law: NDArray[np.float64], *, band: float = 0.0, rho: float = 0.0, employees: int = 2_000, postings: int = 30_000, seed: int = 0
) -> NDArray[np.float64]:
    """Return the greatest κ that each of many honest employees reaches, shape (employees,), ascending.

    `law` is the digits' (9,), `band` the share of a band among the nines (0: none), `rho` the correlation of employees' postings:
    above 0 everybody's law is drawn around `law`.
    """
    rng = np.random.default_rng(seed)
    shares = np.append(law, band) if band > 0.0 else np.array(law, np.float64)
    out = np.zeros(employees)
    for first in range(0, employees, 100):
        many = min(100, employees - first)
        own = np.tile(law, (many, 1)) if rho == 0.0 else rng.dirichlet(np.asarray(law) * (1.0 - rho) / rho, many)
        inside = band / law[8] * own[:, 8]
        if rho > 0.0 and band > 0.0:
            inside = own[:, 8] * rng.beta(band * (1.0 - rho) / rho, (law[8] - band) * (1.0 - rho) / rho, many)
        _highest(shares, np.cumsum(own, axis=1), inside, rho, rng.random((many, postings)), out[first : first + many])
    return np.sort(out)
