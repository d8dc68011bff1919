"""A distance given the hardness of its subsequence: what is usual at that hardness is taken out, by setting, and off by default.

With x = log hardness and y = log distance, (x̄, ȳ, s_xx, s_xy) exponentially weighted since the model is in force, the slope is
b = s_xy / s_xx, held within [0, 2], and the distance becomes d · exp(−b·(x − x̄)): that of a subsequence as hard as usual. Judged first,
then learned. It harms the Normal Model: on the first 100,000 points of 805, where it is the anomalies that are hard to predict, P@k falls
from .987 to .628; on 803 and 14046_21 nothing changes (1.000, .982), since the distances of normals do not rise with hardness there.
"""

from __future__ import annotations

import numpy as np
from numba import njit

SEEN, MEAN_X, MEAN_Y, VARIANCE, COVARIANCE, LENGTH = range(6)
MEMORY = 4_096  # readings that the moments remember
LEAST = 64  # of them, before which nothing is taken out
SMALLEST = 1e-12
STEEPEST = 2.0


@njit(cache=True)  # type: ignore[untyped-decorator]
def given_hardness(moments, distance, hardness):  # type: ignore[no-untyped-def]
    """Return the distance as it would be at the usual hardness, then learn from the pair; `moments` has LENGTH numbers, 0 at first."""
    x, y = np.log(max(hardness, SMALLEST)), np.log(max(distance, SMALLEST))
    slope = 0.0
    if moments[SEEN] >= LEAST and moments[VARIANCE] > 0.0:
        slope = min(max(moments[COVARIANCE] / moments[VARIANCE], 0.0), STEEPEST)
    judged = distance * np.exp(-slope * (x - moments[MEAN_X]))
    moments[SEEN] = min(moments[SEEN] + 1.0, MEMORY)
    weight = 1.0 / moments[SEEN]
    off_x, off_y = x - moments[MEAN_X], y - moments[MEAN_Y]
    moments[MEAN_X] += weight * off_x
    moments[MEAN_Y] += weight * off_y
    moments[VARIANCE] = (1.0 - weight) * (moments[VARIANCE] + weight * off_x * off_x)
    moments[COVARIANCE] = (1.0 - weight) * (moments[COVARIANCE] + weight * off_x * off_y)
    return judged
