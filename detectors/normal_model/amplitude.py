"""How loud a subsequence is beside its model: what z-normalising takes away, as a channel of its own.

A shape that is right at a tenth of its size is at distance 0. So the amplitude is judged beside the shape, a = |log(sd / sd of the
model)|, ranked among the sensor's own; the two p-values are combined as 2 · min (each channel is held against half of ε). They are
not added up to one score: an anomaly of either kind would have to outshout the other's noise.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@njit(cache=True)  # type: ignore[untyped-decorator]
def amplitude(sd, spread, floor):  # type: ignore[no-untyped-def]
    """|log(sd / spread)|, both at least `floor`, the least standard deviation of the model (a twentieth of its spread).

    So a stretch that stands still is at log 20 = 3.0, and one of a sensor that always stands still at 0.
    """
    return abs(np.log(max(sd, floor) / max(spread, floor)))


@njit(cache=True)  # type: ignore[untyped-decorator]
def window_amplitudes(values, length, spread, floor):  # type: ignore[no-untyped-def]
    """Return the amplitude of every subsequence of `values` (n,): shape (n − ℓ + 1,), as `rolling.distance` sees their sd."""
    out = np.empty(len(values) - length + 1)
    for start in range(len(out)):
        first = values[start]
        total = 0.0
        for x in values[start : start + length]:
            total += x - first
        mean = first + total / length
        squares = 0.0
        for x in values[start : start + length]:
            squares += (x - mean) * (x - mean)
        out[start] = amplitude(np.sqrt(squares / length), spread, floor)
    return out
