"""The conformal rule among a sensor's own earlier scores, until budgets decide: kernels on ascending numbers in an arena.

The set holds scores of the readings that the model was built from and of the first after them, and then stands still. It holds
anomalies, too: three beats of 803 are a tenth of it, so that its 99th percentile would be an anomaly's own peak. So of the distances
what lies √ℓ or farther from the model, as far as a flat line from any shape, is left out, if it is no more than a sixteenth (where it
is more, the sensor has no shape, and that is its normal).

At ε = 1 %, first 100,000 points, five starts (mean; the worst in brackets): segments with an alarm, and alarming readings among those
whose subsequence touches no label.

| | segments: shape | either channel | normal readings: shape | amplitude | either |
|---|---|---|---|---|---|
| 803 | .977 | .987 (.933) | .002 | .000 | .002 (.005) |
| 805 | .987 | 1.000 (1.000) | .001 | .055 | .056 (.069) |
| 14046_13 | .973 | .973 (.955) | .009 | .006 | .014 (.017) |
| 14046_21 | .859 | .900 (.596) | .000 | .000 | .000 (.001) |

805 grows louder after its first minutes, and a set that stands still does not follow: no rate is promised for a sensor that drifts.
"""

from __future__ import annotations

import numpy as np
from numba import njit

ALIKE = 1.0 - 1e-6  # of √ℓ, how far a flat line is from every shape: what is as far is not of the model's kind
MOSTLY = 15.0 / 16.0  # share of the distances that must be alike for the rest to be taken as anomalies, and left out


@njit(cache=True)  # type: ignore[untyped-decorator]
def smaller(data, start, count, x):  # type: ignore[no-untyped-def]
    """How many of `count` ascending numbers are smaller than x; no branch to be foretold wrongly."""
    first = 0
    while count > 0:
        half = (count + 1) // 2
        first += half if data[start + first + half - 1] < x else 0
        count -= half
    return first


@njit(cache=True)  # type: ignore[untyped-decorator]
def insert(data, start, count, x):  # type: ignore[no-untyped-def]
    """Put x in its place among `count` ascending numbers, which have room for one more."""
    place = smaller(data, start, count, x)
    part = data[start : start + count + 1]
    for i in range(count, place, -1):
        part[i] = part[i - 1]
    part[place] = x


@njit(cache=True)  # type: ignore[untyped-decorator]
def alike(data, start, count, length):  # type: ignore[no-untyped-def]
    """How many of `count` ascending distances later ones are ranked among: those of the model's kind, if they are almost all."""
    many = smaller(data, start, count, ALIKE * np.sqrt(length))
    return many if many >= MOSTLY * count else count


@njit(cache=True)  # type: ignore[untyped-decorator]
def promised(m, epsilon):  # type: ignore[no-untyped-def]
    """⌊(m + 1)ε⌋, as `detectors.hardness.conformal.promised` finds it, but never all of m + 1."""
    count = np.int64((m + 1) * epsilon)
    while (count + 1) / (m + 1) <= epsilon:
        count += 1
    while count > 0 and count / (m + 1) > epsilon:
        count -= 1
    return min(count, m)
