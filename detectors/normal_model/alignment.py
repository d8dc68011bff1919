"""Phase alignment: random windows of a periodic series start anywhere in the period; shifted onto one reference they can be compared.

The paper does not print this step, and nothing works without it: on the ECG records precision at k falls from 0.99 to 0.2–0.4,
because complete linkage finds no two windows alike.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ROUNDS = 2  # once to a window of the series, once to the mean of what that aligned
ROUNDING = 1e-12  # of a window's own largest value: a standard deviation up to this is rounding, not shape
_CHUNK = 1 << 15  # elements of windows that are normalised at once: they stay in a core's cache


def z_normalise(windows: Floats) -> Floats:
    """Return each row with mean 0 and standard deviation 1; a row without a shape (`ROUNDING`) becomes zeros.

    A row is held against its own values: one reading of 1e38 elsewhere in the series must not make all other windows flat.

    >>> z_normalise(np.array([[1.0, 3.0], [7.0, 7.0]])).tolist()
    [[-1.0, 1.0], [0.0, 0.0]]
    """
    centred = windows - windows.mean(axis=-1, keepdims=True)
    sd = np.sqrt((centred * centred).mean(axis=-1, keepdims=True))
    shaped = sd > ROUNDING * np.maximum(windows.max(axis=-1, keepdims=True), -windows.min(axis=-1, keepdims=True))
    return np.where(shaped, centred / np.where(shaped, sd, 1.0), 0.0)


def align(values: Floats, starts: NDArray[np.int64], normal_length: int) -> NDArray[np.int64]:
    """Return the starts, each shifted by at most ℓ_NM / 2 to where its window looks most like the others.

    Parameters
    ----------
    values
        The series, shape (n,).
    starts
        Where the candidate windows start, shape (m,).
    normal_length
        ℓ_NM, in points.

    Notes
    -----
    The reference is first the candidate in the middle of the spread of the candidates' standard deviations (no spike, no pause),
    then the z-normalised mean of the windows aligned to it.
    """
    windows = sliding_window_view(values, normal_length)
    spread = windows[starts].std(axis=1)
    reference = z_normalise(windows[starts[np.argsort(spread, kind="stable")[len(starts) // 2]]])
    shifted = starts
    for _ in range(ROUNDS):
        shifted = np.array([_best_start(windows, int(start), reference) for start in starts], np.int64)
        reference = z_normalise(z_normalise(windows[shifted]).mean(axis=0))
    return shifted


def _best_start(windows: Floats, start: int, reference: Floats) -> int:
    """The start nearest in shape to the reference, the earliest among equals."""
    reach = windows.shape[1] // 2
    first, last = max(start - reach, 0), min(start + reach, len(windows) - 1)
    step = max(_CHUNK // windows.shape[1], 1)
    best, best_likeness = start, -np.inf
    for a in range(first, last + 1, step):
        likeness = (z_normalise(windows[a : min(a + step, last + 1)]) * reference).sum(axis=1)
        place = int(np.argmax(likeness))
        if likeness[place] > best_likeness:
            best, best_likeness = a + place, float(likeness[place])
    return best
