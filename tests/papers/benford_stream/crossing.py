"""How high the Shiryaev–Roberts statistic of honest employees climbs: what `shiryaev_roberts.CROSSING` was taken from."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.benford.evidence import bet, mean_of, no_bets, slope_of
from detectors.benford.lanes import BETS, LANES
from detectors.benford.shiryaev_roberts import POSTINGS


@njit(cache=True)
def _highest(shares, cumulated, band, rho, draws, out):
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
