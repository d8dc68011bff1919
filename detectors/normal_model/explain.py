"""Why a reading alerted, in words: from the numbers that the kernel kept of the row, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.normal_model.fold import DETAIL, DETAIL_HEAD, STARTED
from detectors.protocol import Explanation
from detectors.wording import instant, plain

Floats = NDArray[np.float64]

MOST_POINTS = 200  # of each curve in the evidence: two of them, 13 characters a number, stay below 8 kB


def explain(detail: Floats, length: int, epsilon: float) -> Explanation:
    """Explain an alerting row.

    Parameters
    ----------
    detail
        Shape (14 + 2ℓ,): `DETAIL`, the start of the subsequence, the subsequence, the nearest stretch of the model.
    length
        ℓ, readings.
    epsilon
        ε that the threshold stands for.

    Raises
    ------
    ValueError
        If the row has no detail, because it does not alert.
    """
    if len(detail) != DETAIL_HEAD + 2 * length:
        raise ValueError("this row does not alert: there is nothing to explain")
    numbers = dict(zip(DETAIL, detail.tolist(), strict=False))
    subsequence, nearest = detail[DETAIL_HEAD : DETAIL_HEAD + length], detail[DETAIL_HEAD + length :]
    ranked = int(numbers["ranked"])
    sd, spread, floor = numbers["sd"], numbers["spread"], numbers["floor"]
    worst = int(np.argmax(np.abs(subsequence - nearest)))
    reasons = [
        f"The shape of the last {length} readings is {plain(numbers['distance'])} away from normal; "
        f"{100 * (1 - epsilon):.4g} % of {ranked:,} earlier stretches stay at or below {plain(numbers['threshold'])}."
    ]
    if sd <= floor:
        reasons.append(f"They hardly move: their standard deviation is {plain(sd)}, that of the model {plain(spread)}.")
    else:
        reasons.append(
            f"The largest deviation stands {_before(length - 1 - worst)}: {plain(subsequence[worst])} "
            f"where the nearest stretch of the model has {plain(nearest[worst])}."
        )
    reasons.append(
        f"Their mean is {plain(numbers['mean'])} (usual level {plain(numbers['level'])}), "
        f"their standard deviation {plain(sd)} (the model's {plain(spread)})."
    )
    reasons.append(f"A normal reading is as far with p = {numbers['p_value']:.2g}; readings alert at p ≤ {epsilon:.2g}.")
    step = -(-length // MOST_POINTS)
    evidence: dict[str, Any] = {
        name: _rounded(numbers[name])
        for name in ("distance", "threshold", "p_value", "mean", "sd", "level", "spread", "hardness")
    }  # fmt: skip
    evidence |= {
        "centroid": int(numbers["centroid"]),
        "offset": int(numbers["offset"]),
        "reading": int(numbers["reading"]),
        "ranked_among": ranked,
        "length": length,
        "started": instant(int(detail[STARTED])),
        "largest_deviation_at": worst,
        "every": step,
        "subsequence": [_rounded(x) for x in subsequence[::step].tolist()],
        "normal": [_rounded(x) for x in nearest[::step].tolist()],
    }
    return Explanation(tuple(reasons), evidence, f"the sensor's own Normal Model, and {ranked} distances of its own earlier readings to it")


def _rounded(x: float) -> float:
    """To 5 significant digits."""
    return float(f"{x:.5g}")


def _before(readings: int) -> str:
    return (
        "at the latest reading"
        if readings == 0
        else "one reading before the latest"
        if readings == 1
        else f"{readings} readings before the latest"
    )
