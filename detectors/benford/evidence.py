"""Evidence that may be looked at every day: bets on a place where too many amounts fall, and what they have won.

A *place* is a leading digit, a band of amounts, the amounts seen before. A bet of size ε says that a share ε of somebody's postings
has been put there: the place's share is p + ε (1 − p) where honest people have p. What the bet wins at a posting is the ratio of the
two probabilities of what happened,

    (p + ε (1 − p)) / p   in the place,      (1 − ε)   elsewhere,

and all that it has won is the product. Against an honest employee the mean of each factor is 1 however the past went, so the product,
and the mean of many bets' products, is an *e-process*: the chance that it ever reaches 1/α is α at most (Ville, 1939), after however
many looks. A look-again-and-again chi-square at 5 % condemns 40 % of the honest in 90 looks.

*A composite null.* If nobody honest has a share above p̄, the factors with p̄ in place of p have means of 1 at most under every honest
law, also one that drifts among them: one product stands for all.

*Employees differ.* Their honest shares scatter around p like a beta law with intraclass correlation ρ = 1 / (κ + 1). The chance of the
next posting is then (p (1 − ρ) + ρ h) / (1 − ρ + ρ n) after h of n, and the bets are on such a law around p + ε (1 − p):

    (p_ε (1 − ρ) + ρ h) / (p (1 − ρ) + ρ h)   in the place,      the same of 1 − p and n − h elsewhere,

which is the first formula at ρ = 0. Again p̄ ≥ p keeps the means at 1 or below.

The same factors feed a Shiryaev–Roberts statistic, S ← (S + 1) · factor: the sum of the products that began at every posting so far,
for fraud that begins late (`shiryaev_roberts`).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.benford.lanes import BETS, LANES, bet_on_lanes, sum_of_places


@njit(cache=True)  # type: ignore[untyped-decorator]
def slope_of(share, hits, others, hit, rho):  # type: ignore[no-untyped-def]
    """Return the slope of a posting's factors in ε: both above are 1 + ε · slope. 0 where there is nothing to bet on.

    `share` is p̄, `hits` and `others` the postings in the place and elsewhere before this one, `hit` whether it fell there, `rho` the
    correlation between an employee's postings. A share of 0 or 1, or a correlation of 1, leaves nothing to bet on.
    """
    if not 0.0 < share < 1.0 or rho >= 1.0:
        return 0.0
    if rho == 0.0 and not hit:
        return -1.0  # what follows comes to this, after a division
    honest = (share if hit else 1.0 - share) * (1.0 - rho)
    own = rho * (hits if hit else others)
    # in the place p + ε (1 − p) adds ε and takes ε p, elsewhere ε (1 − p) is taken
    return ((1.0 - rho if hit else 0.0) - honest) / (honest + own)


@njit(cache=True)  # type: ignore[untyped-decorator]
def bet(bets, first, slope):  # type: ignore[no-untyped-def]
    """Take one posting into the bets on a place, whose LANES numbers stand in `bets` from `first` on."""
    bet_on_lanes(bets, first, slope, 1.0 if slope != 0.0 else 0.0)  # type: ignore[call-arg]


@njit(cache=True)  # type: ignore[untyped-decorator]
def bet_without_onset(bets, first, slope):  # type: ignore[no-untyped-def]
    """The same where only the products are kept: the sums stay 0."""
    bet_on_lanes(bets, first, slope, 0.0)  # type: ignore[call-arg]


@njit(cache=True)  # type: ignore[untyped-decorator]
def mean_of(bets, first, places):  # type: ignore[no-untyped-def]
    """Return the mean over all sizes and so many places from a lane on: an e-value of e-values, or the onset's statistic.

    `first` is where the first place begins for the products, BETS behind it for the sums.
    """
    return sum_of_places(bets, first, places) / (places * BETS)  # type: ignore[call-arg]


@njit(cache=True)  # type: ignore[untyped-decorator]
def no_bets(bets):  # type: ignore[no-untyped-def]
    """Have nothing won: products of 1, sums of 0, of whole places."""
    for k in range(len(bets)):
        bets[k] = 1.0 if k % LANES < BETS else 0.0


@njit(cache=True)  # type: ignore[untyped-decorator]
def _follow(shares, hits, rho, out):  # type: ignore[no-untyped-def]
    places = shares.shape[1]
    bets, count = np.empty(places * LANES), np.zeros(places, np.int64)
    no_bets(bets)
    for i in range(len(hits)):
        for place in range(places):
            bet(bets, place * LANES, slope_of(shares[i, place], count[place], i - count[place], hits[i] == place, rho))
        if hits[i] >= 0:
            count[hits[i]] += 1
        out[0, i], out[1, i] = mean_of(bets, 0, places), mean_of(bets, BETS, places)


def follow(shares: NDArray[np.float64], hits: NDArray[np.int64], rho: float = 0.0) -> NDArray[np.float64]:
    """Return the e-value and the Shiryaev–Roberts statistic after each posting, shape (2, n), offline.

    Parameters
    ----------
    shares
        Shape (n, places) or (places,): the highest honest share of each place, posting by posting.
    hits
        Shape (n,): the place that each posting fell in, −1 for none.
    rho
        The intraclass correlation of employees' postings, 0 where all are alike.

    Examples
    --------
    Thirty nines in a row, where honest people have 46 in a thousand, and the digits as they should be:

    >>> law = np.log10(1 + 1 / np.arange(1, 10))
    >>> nines, honest = follow(law, np.full(30, 8)), follow(law, np.array([0, 1, 0, 2, 4, 0, 1, 3, 7, 5]))
    >>> print(nines[0, -1] > 1e12, honest[0, -1] < 2.0)
    True True
    """
    if not 0.0 <= rho < 1.0:
        raise ValueError(f"rho = {rho}: wanted a correlation, at least 0 and below 1")
    each = np.array(np.broadcast_to(shares, (len(hits), np.shape(shares)[-1])), np.float64)
    out = np.zeros((2, len(hits)))
    _follow(each, np.array(hits, np.int64), float(rho), out)
    return out
