"""Count, mean and sum of squared deviations, updated one value at a time and merged exactly as if nothing had been split.

Welford's update and the merge of Chan, Golub and LeVeque (1983): no sum of squares is ever formed, so nothing cancels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

COUNT, MEAN, M2 = range(3)  # places in a row of moments


def no_moments() -> NDArray[np.float64]:
    """Moments of nothing: array of shape (3,), [count, mean, sum of squared deviations]."""
    return np.zeros(3)


@njit(cache=True)  # type: ignore[untyped-decorator]
def learn_moment(moments, value):  # type: ignore[no-untyped-def]
    """Take one value into ``moments`` (shape (3,)), in place."""
    moments[COUNT] += 1.0
    step = value - moments[MEAN]
    moments[MEAN] += step / moments[COUNT]
    moments[M2] += step * (value - moments[MEAN])


def moments_record(moments: NDArray[np.float64]) -> dict[str, float]:
    """Moments as what travels between partitions: ``{"n", "mean", "m2"}``."""
    return {"n": int(moments[COUNT]), "mean": float(moments[MEAN]), "m2": float(moments[M2])}


def merge_moments(records: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Merge records ``{"n", "mean", "m2"}`` in the order given; the same order gives the same bits.

    Examples
    --------
    The moments of 1, 3 and of 5 are those of 1, 3, 5:

    >>> merge_moments([{"n": 2, "mean": 2.0, "m2": 2.0}, {"n": 1, "mean": 5.0, "m2": 0.0}])
    {'n': 3, 'mean': 3.0, 'm2': 8.0}
    """
    count, mean, m2 = 0, 0.0, 0.0
    for record in records:
        n = int(record["n"])
        if n <= 0:
            continue
        step = float(record["mean"]) - mean
        total = count + n
        mean += step * n / total
        m2 += float(record["m2"]) + step * step * count * n / total
        count = total
    return {"n": count, "mean": mean, "m2": m2}


def standard_deviation(n: float, m2: float) -> float:
    """Return the standard deviation with n − 1 in the denominator; NaN below two values."""
    return math.sqrt(m2 / (n - 1)) if n > 1 else math.nan
