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

SIZES = np.array([0.005, 0.01, 0.02, 0.05, 0.1, 0.2])  # [ε] the bets: from one posting in two hundred to one in five
BETS = len(SIZES)
_LARGEST, _SMALLEST = 1e300, 1e-300  # what is won stays a normal double; less than it won is still evidence, and so is nothing


@njit(cache=True)  # type: ignore[untyped-decorator]
def bet(share, hits, others, hit, rho, evidence, onset):  # type: ignore[no-untyped-def]
    """Take one posting into the bets on one place: `evidence` the products, `onset` the Shiryaev–Roberts sums, both (BETS,).

    `share` is p̄, `hits` and `others` the postings in the place and elsewhere before this one, `hit` whether it fell there, `rho` the
    correlation between an employee's postings. A share of 0 or 1, or a correlation of 1, leaves nothing to bet on.
    """
    if not 0.0 < share < 1.0 or rho >= 1.0:
        return
    own = rho * hits if hit else rho * others
    honest = (share if hit else 1.0 - share) * (1.0 - rho)
    scale = 1.0 / (honest + own)
    for e in range(BETS):
        spiked = honest * (1.0 - SIZES[e]) + own
        if hit:
            spiked += SIZES[e] * (1.0 - rho)
        factor = spiked * scale
        won, late = evidence[e] * factor, (onset[e] + 1.0) * factor
        evidence[e] = min(won, _LARGEST) if won >= _SMALLEST else 0.0
        onset[e] = min(late, _LARGEST) if late >= _SMALLEST else 0.0


@njit(cache=True)  # type: ignore[untyped-decorator]
def mean_of(bets):  # type: ignore[no-untyped-def]
    """Return the mean over places and sizes, (places, BETS): an e-value of e-values."""
    total = 0.0
    for place in range(len(bets)):
        here = 0.0
        for e in range(BETS):
            here += bets[place, e]
        total += here
    return total / (len(bets) * BETS)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _follow(shares, hits, rho, out):  # type: ignore[no-untyped-def]
    places = shares.shape[1]
    evidence, onset, count = np.ones((places, BETS)), np.zeros((places, BETS)), np.zeros(places, np.int64)
    for i in range(len(hits)):
        for place in range(places):
            hit = hits[i] == place
            bet(shares[i, place], count[place], i - count[place], hit, rho, evidence[place], onset[place])
        if hits[i] >= 0:
            count[hits[i]] += 1
        out[0, i], out[1, i] = mean_of(evidence), mean_of(onset)


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
