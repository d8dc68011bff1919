"""The cut-off law of the amounts themselves: what the stream's own amounts say of the digits below a limit.

Where amounts are not log-normal (prices that repeat, fees, invoices that bunch), the paper's reference is wrong for everybody.
Its idea stands without the log-normal: an employee's digits are compared with those of *all* amounts that his limit allows.

Everybody's amounts are cut off at limits of their own, so a plain count would miss the large ones. Going down from the top, the
share of a cell among the amounts up to it is taken only over those whose limit would have let them be there:

    P(cell j | at most j) = d_j / R_j,   R_j = #{amount in a cell ≤ j whose limit ends behind j},

and the law is their product-limit (Lynden-Bell, 1971; Woodroofe, 1985, who proves that it is the maximum-likelihood estimate
under truncation). If nobody has a limit it is the plain count.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from detectors.benford.reference import digit_law
from state.log_histogram import AMOUNTS, ENDS, LARGEST, cell_of, cell_start

PRIOR_AMOUNTS = 200.0  # amounts that the log-normal law counts as: its digits are then a tenth of the reference at 1,800 amounts


@njit(cache=True)  # type: ignore[untyped-decorator]
def empirical_law(histogram, low, high, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` (9 or 90 cells) with the digits' shares of the amounts in [low, high), minor units; return how many amounts tell.

    These are the amounts in [low, high) of employees whose limit is no lower; the others help, but are not counted. A cell that
    `low` or `high` cuts through gives the share of its whole numbers that lie inside. 0 and all zero where nothing can be said:
    no such amounts, or a gap between the limits across which nobody's amounts reach.
    """
    first = len(out) // 9
    out[:] = 0.0
    if low < 1:
        low = 1
    if high <= low:
        return 0
    bottom, top = cell_of(low), cell_of(high - 1)
    below, ended = 0, 0  # amounts in cells up to j; limits that end at j or before
    for j in range(top + 1):
        below += histogram[AMOUNTS, j]
        ended += histogram[ENDS, j]
    whole_top = top if cell_start(top + 1) <= high else top - 1
    tell, left, total = 0, 1.0, 0.0
    for j in range(top, bottom - 1, -1):
        at_risk, here = below - ended, histogram[AMOUNTS, j]
        if j == whole_top:
            tell = at_risk
        if at_risk > 0 and here > 0:
            share = left * here / at_risk
            left *= (at_risk - here) / at_risk
            start, stop = cell_start(j), cell_start(j + 1)
            inside = share * (min(stop, high) - max(start, low)) / (stop - start)
            out[(j % 90) // (10 if first == 1 else 1)] += inside
            total += inside
            if at_risk == here and j > bottom and below > here:
                out[:] = 0.0
                return 0
        below -= here
        ended -= histogram[ENDS, j]
    if tell <= below:  # `below` are now the amounts below `low`
        out[:] = 0.0
        return 0
    for d in range(len(out)):
        out[d] /= total
    return tell - below


@njit(cache=True)  # type: ignore[untyped-decorator]
def semi_parametric_law(histogram, mu, sigma, low, high, exponent, prior, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` with (n · empirical + prior · log-normal) / (n + prior), both cut to [low, high) in minor units; return n.

    The posterior mean of a Dirichlet law around the log-normal: with few amounts below a limit it is the log-normal's, with many
    their own. A digit that the log-normal leaves impossible stays so only if no amount leads with it.
    """
    n = empirical_law(histogram, low, high, out)
    law = np.zeros(len(out))
    unit = 10.0**exponent
    digit_law(mu, sigma, low / unit, high / unit if high < LARGEST else np.inf, law)
    weight = n / (n + prior) if law.sum() > 0.0 else 1.0
    for d in range(len(out)):
        out[d] = weight * out[d] + (1.0 - weight) * law[d]
    return n
