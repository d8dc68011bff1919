"""When the model in force no longer explains a sensor's readings: another patient, another load.

A reading is *far* where its distance lies beyond the line, max(0.6 √ℓ, twice the model's own median distance). (Two unrelated shapes
are at √(2ℓ), a flat line is at √ℓ from every shape.) Within a regime far readings are anomalies, and few. Whether they have become
the rule is Page's test (Biometrika 1954), in whole numbers:

    S ← S + 1 at a far reading,   S ← max(S − 2, 0) at another;   a change at S ≥ 3 ℓ_NM, if the first rung's readings are there.

S grows only where more than two thirds of the readings are far, and where it last left 0 is where the new regime began: no window,
no block, and the stretch that a new model is to be built from comes with it.

Until the new model is there, the score is the distance minus what the median of the last 3 ℓ_NM distances has over the model's own.
This is done only while that median is beyond the line. Within a regime it would do harm: a burst of anomalies takes the median with
it. (P@k on 805, five starts: distance alone .997; minus the median of 1,350 distances .861, of 5,000 .874.)

Why this test (ℓ = 75; six concatenations of two records × five starts, one change each; four whole records × five starts, none). The
line at 0.5, 0.6 or 0.7 √ℓ and S at 500 or 1,000 find all thirty changes, once each. False changes in the twenty whole records:

| line | S ≥ 500 | S ≥ 1,000 | S ≥ 1,000, taking back 1 | more than half of the last 2,025 far |
|---|---|---|---|---|
| 0.5 √ℓ | 1 | 0 | 3 | 23 |
| 0.6 √ℓ | 0 | 0 | 2 | 10 |
| 0.7 √ℓ | 0 | 0 | 0 | 7 |

`tests/papers/normal_model_rolling` has the bars, and river's ADWIN and Page–Hinkley beside it.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

FAR = 0.6  # of √ℓ: the line, if the model's own distances are not larger still,
TIMES_USUAL = 2.0  # so many times their median
BACK = 2  # what a reading that is not far takes from Page's sum
DECIDED = 3  # ℓ_NM: the sum at which a change is plain
TRAIL = 3  # ℓ_NM: how far back the trailing median looks,
TRAIL_MOST = 128  # at most about so many distances of it: every s-th


def far_line(usual: float, length: int) -> float:
    """The distance beyond which a reading is far from a model whose median distance is `usual`."""
    return max(FAR * math.sqrt(length), TIMES_USUAL * usual)


@njit(cache=True)  # type: ignore[untyped-decorator]
def page_step(total, far):  # type: ignore[no-untyped-def]
    """Page's sum after one more reading."""
    return total + 1 if far else max(total - BACK, 0)


@njit(cache=True)  # type: ignore[untyped-decorator]
def trail_stride(normal_length):  # type: ignore[no-untyped-def]
    """Every how many readings a distance enters the trail."""
    return max(TRAIL * normal_length // TRAIL_MOST, 1)


@njit(cache=True)  # type: ignore[untyped-decorator]
def trail_size(normal_length):  # type: ignore[no-untyped-def]
    """How many distances the trail holds."""
    return TRAIL * normal_length // trail_stride(normal_length)


@njit(cache=True)  # type: ignore[untyped-decorator]
def excess(trail, usual, line):  # type: ignore[no-untyped-def]
    """What the median of a full trail has over the model's own, if the median is beyond the line; 0 otherwise."""
    size = len(trail)
    far = 0
    for x in trail:
        far += x > line
    if 2 * far <= size:
        return 0.0
    ordered = np.empty(size)
    for held in range(size):
        place = held
        while place > 0 and ordered[place - 1] > trail[held]:
            ordered[place] = ordered[place - 1]
            place -= 1
        ordered[place] = trail[held]
    return (ordered[(size - 1) // 2] + ordered[size // 2]) / 2.0 - usual
