"""The conformal rule: alert where a score is beyond all but the ε-share of m calibration scores (CADET, Eq. 11 and Theorem 1).

For scores that are exchangeable with the calibration's, P(alert | normal) = ⌊(m + 1)ε⌋ / (m + 1) without ties and less with them: at
most ε, and ε itself where (m + 1)ε is whole (so "≤ ε", where the paper has "< ε"). The curves must not have seen the
calibration scores. Nothing is said of one calibration set: given that, the rate is a draw from a Beta distribution (m = 1,000,
ε = 5 %: 3.9 to 6.2 % in nine of ten).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def promised(m: int, epsilon: float) -> int:
    """Return l = ⌊(m + 1)ε⌋: how many of m + 1 exchangeable events may alert. With 0 nothing can be promised, so nothing alerts.

    Found by the comparison l / (m + 1) ≤ ε that decides, since (m + 1)ε itself may be rounded to the wrong side of a whole number.

    >>> promised(999, 0.01), promised(99, 0.07), promised(18, 0.05)
    (10, 7, 0)
    """
    count = int((m + 1) * epsilon)
    while (count + 1) / (m + 1) <= epsilon:
        count += 1
    while count > 0 and count / (m + 1) > epsilon:
        count -= 1
    return count


def conformal_threshold(calibration: ArrayLike, epsilon: float) -> float:
    """Return Q̂, the ⌈(m + 1)(1 − ε)⌉-th smallest of m scores (Eq. 11); inf where that is m + 1, so for m < 1/ε − 1.

    An event alerts iff its score is above Q̂. `calibration` has shape (m,) and is sorted in ascending order; 0 < ε < 1.

    >>> conformal_threshold([1.0, 2.0, 3.0, 4.0], epsilon=0.4), conformal_threshold([1.0, 2.0, 3.0, 4.0], epsilon=0.01)
    (3.0, inf)
    """
    ordered = np.asarray(calibration, np.float64)
    allowed = promised(len(ordered), epsilon)
    return float(ordered[len(ordered) - allowed]) if allowed > 0 else float("inf")


def p_values(calibration: ArrayLike, scores: ArrayLike) -> Floats:
    """Return (1 + #{calibration scores ≥ s}) / (m + 1) for scores of shape (n,); ties count against an alert.

    ``p_values(c, s) <= epsilon`` and ``s > conformal_threshold(c, epsilon)`` say the same.
    """
    ordered = np.asarray(calibration, np.float64)
    as_high = len(ordered) - np.searchsorted(ordered, np.asarray(scores, np.float64), side="left")
    return np.asarray((1.0 + as_high) / (len(ordered) + 1.0), np.float64)
