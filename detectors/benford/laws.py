"""The honest law of a posting: its digits and its band, under the reference in force, its accounting limit and its approval limit.

The reference is a log-normal (mu, sigma of the whole population); nobody's own lies exactly there, so every share comes with the highest
that it has on a small grid around it, mu ± its tolerance and sigma ± its own. Those highest shares are what evidence is held against
(`evidence`: the composite null); the mean of honest people is the reference's.

Where the log-normal does not hold of the population (`fit_check`) the digits are those of the amounts themselves (`empirical`), each
raised by as much as the grid raises the log-normal's, and the band is held against its neighbours.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.benford.band import band_share
from detectors.benford.empirical import PRIOR_AMOUNTS, semi_parametric_law
from detectors.benford.reference import digit_law
from state.log_histogram import LARGEST

WIDTH = 20  # numbers of a law: the shares of nine digits and the band, and the highest of each
BAND, HIGHEST = 9, 10  # where these begin; the band's highest is the last
CACHED = 1_024  # laws remembered, by limits; one costs some microseconds to make
_UNION, _LISTED = -1, -2  # instead of a posting's own approval limit: all listed bands as one; listed limit j as −2 − j


def no_laws() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """An empty cache: whose laws (limit, approval limit, epoch), and the laws. What it holds is no part of any state."""
    return np.full((CACHED, 3), -(2**62), np.int64), np.zeros((CACHED, WIDTH))


@njit(cache=True)  # type: ignore[untyped-decorator]
def fill_law(reference, exponent, limit, approval, listed, width, histogram, fits, out):  # type: ignore[no-untyped-def]
    """Fill `out` (WIDTH,) with the law of a posting with this limit (−1: none) and approval limit (−1 and below: of `listed`).

    `reference` = [mu, sigma, tolerance of mu, tolerance of sigma], of log10(amount in major units); limits in minor units.
    """
    out[:] = 0.0
    mu, sigma = reference[0] + exponent, reference[1]
    # whole minor units: an amount a stands for [a, a + 1), so a limit M leaves [1, M + 1)
    end = np.inf if limit < 0 else limit + 1.0
    law = np.zeros(9)
    first, last, local = 0, 1, not fits  # which bands, and whether each is held against its neighbours
    if approval == _UNION:
        last, local = len(listed), False
    elif approval < _UNION:
        first, last, local = _LISTED - approval, _LISTED - approval + 1, True
    digit_law(mu, sigma, 1.0, end, out[:9])
    for i in range(3):
        for j in range(3):
            here, spread = mu + (i - 1) * reference[2], max(sigma + (j - 1) * reference[3], 0.1 * sigma)
            digit_law(here, spread, 1.0, end, law)
            for d in range(9):
                out[HIGHEST + d] = max(out[HIGHEST + d], law[d])
            share = 0.0
            for k in range(first, last):
                top = approval if approval >= 0 else listed[k]
                share += band_share(here, spread, top, listed[k - 1] if approval < 0 and k > 0 else 0, width, end, local)
            out[HIGHEST + BAND] = max(out[HIGHEST + BAND], share)
            if i == 1 and j == 1:
                out[BAND] = share
    if not fits:
        semi_parametric_law(
            histogram,
            reference[0],
            sigma,
            np.int64(1),
            LARGEST if limit < 0 or limit >= LARGEST - 1 else limit + 1,
            exponent,
            PRIOR_AMOUNTS,
            law,
        )
        for d in range(9):
            raised = out[HIGHEST + d] / out[d] if out[d] > 0.0 else 1.0
            out[d], out[HIGHEST + d] = law[d], min(law[d] * raised, 1.0)


@njit(cache=True)  # type: ignore[untyped-decorator]
def law_of(  # type: ignore[no-untyped-def]
    amount_place, reference, epoch, exponent, limit, approval, listed, width, histogram, fits, whose, laws
):  # fmt: skip
    """Return the row of `laws` that holds a posting's law, made if it is not there; `amount_place` is its place among `listed`."""
    if approval < 0:
        approval = _UNION if fits or len(listed) == 0 else _LISTED - amount_place
    mixed = (limit ^ (limit >> 13)) * 1_000_003 + (approval ^ (approval >> 11)) * 8_191
    cell = ((mixed ^ (mixed >> 17)) & 0x7FFFFFFF) % CACHED
    if whose[cell, 0] != limit or whose[cell, 1] != approval or whose[cell, 2] != epoch:
        fill_law(reference, exponent, limit, approval, listed, width, histogram, fits, laws[cell])
        whose[cell, 0], whose[cell, 1], whose[cell, 2] = limit, approval, epoch
    return cell
