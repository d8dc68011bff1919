"""Why an event alerted, in words: from the numbers that the kernel kept of the row, and nothing else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detectors.hardness.kernel import DETAIL, HARDNESS, JOINT, MODES, OFF
from detectors.protocol import Explanation


def explain(detail: NDArray[np.float64]) -> Explanation:
    """Explain an alerting row from its `DETAIL`, shape (14,).

    Raises
    ------
    ValueError
        If the row has none, because it does not alert.
    """
    if len(detail) != len(DETAIL):
        raise ValueError("this row does not alert: there is nothing to explain")
    evidence: dict[str, float | int | str] = dict(zip(DETAIL, detail.tolist(), strict=True))
    mode, channel, error, hardness, _, usual, _, upper, score, threshold, m, as_high, p_hardness, epsilon = detail.tolist()
    p = (1.0 + as_high) / (m + 1.0)
    rank = f"{_count(as_high)} of the {m:.0f} calibration events"
    if channel == HARDNESS:
        reasons = [
            f"The event itself is unusual: its hardness {hardness:.3g} is reached by {rank}.",
            f"The model's error is {error:.3g}; half of the events this hard stay below {usual:.3g}, 95 % below {upper:.3g}.",
        ]
    elif mode == OFF:
        reasons = [
            f"The model's error {error:.3g} is reached by {rank}, whatever their hardness.",
            f"The event's hardness {hardness:.3g} is {_place(p_hardness)}; half of the events this hard have an error below {usual:.3g}.",
        ]
    else:
        where = f"hardness {hardness:.3g}, {_place(p_hardness)}"
        if error > upper:
            first = f"The model's error {error:.3g} is above {upper:.3g}, which 95 % of events this hard ({where}) stay below."
        else:
            first = f"The model's error {error:.3g} is high for an event this hard ({where}): half of those stay below {usual:.3g}."
        reasons = [first, f"Its calibrated score {score:.3g} is reached by {rank}; the threshold is {threshold:.3g}."]
    if mode == JOINT:
        p = min(1.0, 2.0 * p)
        reasons.append("Two things are tested, the error given the hardness and the hardness itself, so p is twice the smaller p-value.")
    reasons.append(f"A normal event does so with p = {p:.2g}; events alert at p ≤ {epsilon:.2g}.")
    evidence |= {
        "mode": MODES[int(mode)],
        "channel": ("error", "hardness")[int(channel)],
        "calibration": int(m),
        "as_high": int(as_high),
        "p_value": p,
    }
    return Explanation(tuple(reasons), evidence, f"{m:.0f} earlier events of the same source, kept apart from those the curves were fit on")


def _count(events: float) -> str:
    return f"{events:.0f}" if events else "none"


def _place(p_hardness: float) -> str:
    """Where the hardness stands among the calibration's, in whole per cent, never 0."""
    share = 100.0 * min(p_hardness, 1.0 - p_hardness)
    return f"among the {'hardest' if p_hardness <= 0.5 else 'easiest'} {max(1, round(share))} %"
