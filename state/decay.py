"""Exponentially decayed sums of a key: a normal that forgets, in a handful of numbers and with no ring.

A payment of age L weighs e^(−λ·L). With λ = 3/d the mean age of the weights is d/3, that of a linear window of d: the decayed sums
stand for such a window at a fiftieth of its memory. They are exact for any gap (one factor e^(−λ·gap) however long it was), and a
late one adds with the weight it would have by now, so that the order of arrival matters to rounding only.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

# A row: the time it holds for (whole seconds); Σw, Σw·a, Σw·a² of values; Σw, Σw·g of the gaps between events.
AT, WEIGHT, VALUES, SQUARES, GAP_WEIGHT, GAPS = range(6)


def no_sums() -> NDArray[np.float64]:
    """The decayed sums of nothing."""
    return np.zeros(6)


def rate_of(days: float) -> float:
    """λ per second, 3/d, for a memory of d days."""
    return 3.0 / (86_400.0 * days)


@njit(cache=True)  # type: ignore[untyped-decorator]
def decay_to(sums, now, rate):  # type: ignore[no-untyped-def]
    """Bring a row up to `now`, which is not before its time (an empty row has none)."""
    if sums[WEIGHT] == 0.0 and sums[GAP_WEIGHT] == 0.0:
        sums[AT] = now
        return
    factor = math.exp(-rate * (now - sums[AT]))
    for i in range(WEIGHT, GAPS + 1):
        sums[i] *= factor
    sums[AT] = now


@njit(cache=True)  # type: ignore[untyped-decorator]
def weight_of(sums, then, rate):  # type: ignore[no-untyped-def]
    """What an event of the time `then`, not after the row's, weighs in it."""
    return math.exp(-rate * (sums[AT] - then))


@njit(cache=True)  # type: ignore[untyped-decorator]
def add_value(sums, value, weight):  # type: ignore[no-untyped-def]
    """Take in a value; a late one with the weight it would have by now."""
    sums[WEIGHT] += weight
    sums[VALUES] += weight * value
    sums[SQUARES] += weight * value * value


@njit(cache=True)  # type: ignore[untyped-decorator]
def add_gap(sums, gap):  # type: ignore[no-untyped-def]
    """Take in the gap before the event at the row's time."""
    sums[GAP_WEIGHT] += 1.0
    sums[GAPS] += gap
