"""Just below the limit above which somebody would have to approve: how often honest amounts lie there.

The band below an approval limit A holds the amounts in [A (1 − w), A). Of log-normal amounts under an accounting limit M its share is

    (F(A) − F(A (1 − w))) / F(M)

(Winter, Schneider and Yannikos, Eqs. (4)–(8), for a band in place of a digit). Where the log-normal tail fits poorly the share is wrong
for everybody, so there only the amounts in the band and in the two bands of the same width below it count: honest amounts lie in the
top one of the three as often as it is wide (a third) where their density does not rise, and as often as the log-normal says where that
is more. That spends a third of the evidence, and needs nothing but that the density is smooth.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from detectors.benford.reference import normal_tail

NEIGHBOURS = 2  # bands below the band
OUTSIDE, NEIGHBOUR, INSIDE = range(3)


@njit(cache=True)  # type: ignore[untyped-decorator]
def interval_mass(mu, sigma, low, high):  # type: ignore[no-untyped-def]
    """Return P(low ≤ X < high) of a log-normal before any cut; mu, sigma of log10(X); taken in the nearer tail."""
    if not low < high:
        return 0.0
    a = (math.log10(low) - mu) / sigma if low > 0.0 else -np.inf
    b = (math.log10(high) - mu) / sigma if high < np.inf else np.inf
    if a >= 0.0:
        return max(normal_tail(a) - normal_tail(b), 0.0)
    if b <= 0.0:
        return max(normal_tail(b) - normal_tail(a), 0.0)
    return max(1.0 - normal_tail(a) - normal_tail(b), 0.0)


@njit(cache=True)  # type: ignore[untyped-decorator]
def band_start(approval_limit, below, width, bands):  # type: ignore[no-untyped-def]
    """Return the smallest whole amount at most `bands` bands of `width` · A below A, but not below the next lower limit `below`."""
    return max(1, below, math.ceil(approval_limit * (1.0 - bands * width)))


@njit(cache=True)  # type: ignore[untyped-decorator]
def band_of(amount, approval_limit, below, width):  # type: ignore[no-untyped-def]
    """Return whether an amount lies INSIDE the band, in a NEIGHBOUR below it, or OUTSIDE; minor units."""
    if amount >= approval_limit or approval_limit <= 1:
        return OUTSIDE
    if amount >= band_start(approval_limit, below, width, 1):
        return INSIDE
    return NEIGHBOUR if amount >= band_start(approval_limit, below, width, 1 + NEIGHBOURS) else OUTSIDE


@njit(cache=True)  # type: ignore[untyped-decorator]
def band_share(mu, sigma, approval_limit, below, width, end, local):  # type: ignore[no-untyped-def]
    """Return the band's share of honest amounts in [1, end), or (`local`) of those in the three bands; 0 where nothing can lie there.

    Everything is in minor units, `mu` too. `below` is the next lower approval limit where several hold, else 0; `end` is inf where there
    is no accounting limit.
    """
    top = min(float(approval_limit), end)
    start = float(band_start(approval_limit, below, width, 1))
    if not start < top:
        return 0.0
    inside = interval_mass(mu, sigma, start, top)
    if local:
        lowest = float(band_start(approval_limit, below, width, 1 + NEIGHBOURS))
        around, even = interval_mass(mu, sigma, lowest, top), (top - start) / (top - lowest)
        return max(inside / around, even) if around > 0.0 else even
    whole = interval_mass(mu, sigma, 1.0, end)
    return inside / whole if whole > 0.0 else 0.0


@njit(cache=True)  # type: ignore[untyped-decorator]
def next_limit(amount, limits):  # type: ignore[no-untyped-def]
    """Return the place of the lowest of ascending `limits` above the amount; the last one's where there is none."""
    j = 0
    while j < len(limits) - 1 and limits[j] <= amount:
        j += 1
    return j
