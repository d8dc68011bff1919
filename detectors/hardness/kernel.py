"""One event after another: judge it by the frozen curves and calibration scores of its key, then let the key learn from it.

What a key has, in the order of its life:

| events of the key | the event is | rows of the slab | its block in the arena |
|---|---|---|---|
| 0 … warm_up − 1 | kept for the curves | seen | pairs hardness, error |
| … in_force − 1 | passed over while the curves are fit | | |
| … + calibration | scored, and added to the calibration | knots, values, scale, held | sorted scores, then sorted hardness |
| from then on | judged; nothing is learned any more | | |
"""

from __future__ import annotations

import numpy as np
from numba import njit

from detectors.hardness.curves import LEVELS
from detectors.hardness.score import LARGEST
from state.arena import NO_ROOM, allocate
from state.draws import SPREAD_BUILDS, draw
from state.sorted_window import below

CONDITIONAL, JOINT, OFF = range(3)
MODES = ("conditional", "joint", "off")
ERROR, HARDNESS = range(2)  # what a row's verdict speaks of

# The numbers of one alerting row, in this order.
DETAIL = (
    "mode", "channel", "error", "hardness", *(f"quantile_{level}" for level in LEVELS), "score", "threshold", "calibration", "as_high",
    "p_hardness", "epsilon",
)  # fmt: skip
DETAIL_LENGTH = len(DETAIL)
DONE, ARENA_FULL = -1, -2  # why the kernel stopped; a slot ≥ 0 waits for its curves


@njit(cache=True)  # type: ignore[untyped-decorator]
def insert(ordered, held, value):  # type: ignore[no-untyped-def]
    """Put a value in its place among the first `held` of `ordered`, which has room for one more."""
    place = below(ordered, held, value)
    for i in range(held, place, -1):
        ordered[i] = ordered[i - 1]
    ordered[place] = value


@njit(cache=True)  # type: ignore[untyped-decorator]
def read_curves(hardness, count, knots, values, out):  # type: ignore[no-untyped-def]
    """Write the four quantiles at a hardness into out (4,), ascending: straight lines between the knots, constant beyond them."""
    right = 1
    while right < count - 1 and knots[right] < hardness:
        right += 1
    weight = 0.0
    if count > 1:
        weight = (hardness - knots[right - 1]) / (knots[right] - knots[right - 1])
        weight = min(max(weight, 0.0), 1.0)
    for level in range(4):
        value = values[level, 0]
        if count > 1:
            value = values[level, right - 1] * (1.0 - weight) + values[level, right] * weight
        place = level
        while place > 0 and out[place - 1] > value:
            out[place] = out[place - 1]
            place -= 1
        out[place] = value


@njit(cache=True)  # type: ignore[untyped-decorator]
def score_event(error, hardness, quantiles, scale, lambda_):  # type: ignore[no-untyped-def]
    """Eq. (10) at the quantiles (4,) of its hardness; scale = [floor of the spread, mean and std of the hardness]."""
    s = (error - quantiles[3]) / max(quantiles[2] - quantiles[0], scale[0])
    if lambda_ > 0.0 and scale[2] > 0.0:
        s += lambda_ * min(abs(hardness - scale[1]) / scale[2], LARGEST)
    return min(max(s, -LARGEST), LARGEST)


@njit(cache=True)  # type: ignore[untyped-decorator]
def judge_then_learn(  # type: ignore[no-untyped-def]
    row, first_event, slots, errors, hardnesses, hashes, sizes, weights,
    seen, triggered, in_force, start, held, count, knots, values, scale, data, header,
    out_score, out_threshold, out_p, out_alert, out_critical, out_test, out_seen, out_needed, out_unit, floats, detail, detail_stop,
):  # fmt: skip
    """Fold events row … n − 1; return the row it stopped at, and DONE, ARENA_FULL or the slot whose curves are to be handed over.

    sizes = [mode, warm_up, calibration, lag, spread, events that may alert, the same at a hundredth of the budget];
    weights = [epsilon, λ]; floats (4, n) = hardness, expected error, calibrated score, p-value of the hardness.
    """
    mode, warm_up, calibration = sizes[0], sizes[1], sizes[2]
    quantiles = np.zeros(4)
    used = detail_stop[row - 1] if row > 0 else 0
    for i in range(row, len(slots)):
        slot, error, hardness = slots[i], errors[i], hardnesses[i]
        number = seen[slot]
        if number == 0:
            block = allocate(data, header, 2 * warm_up)
            if block == NO_ROOM:
                return i, ARENA_FULL
            start[slot] = block
            waited = np.int64(draw(hashes[slot], warm_up, SPREAD_BUILDS) % np.uint64(sizes[4]))
            in_force[slot] = warm_up + sizes[3] + waited
        if number == in_force[slot] and count[slot] == 0:
            return i, slot
        out_unit[i] = number
        out_seen[i] = number
        out_needed[i] = in_force[slot] + calibration
        floats[0, i] = hardness
        first = start[slot]
        if number < warm_up:
            data[first + 2 * number] = hardness
            data[first + 2 * number + 1] = error
            if number == warm_up - 1:
                triggered[slot] = first_event + i
        elif number >= in_force[slot]:
            read_curves(hardness, count[slot], knots[slot], values[slot], quantiles)
            score = score_event(error, hardness, quantiles, scale[slot], weights[1])
            ranked = error if mode == OFF else score
            m = held[slot]
            floats[1, i] = quantiles[1]
            floats[2, i] = score
            if m < calibration:
                insert(data[first:], m, ranked)
                insert(data[first + calibration :], m, hardness)
                held[slot] = m + 1
            else:
                as_high = m - below(data[first:], m, ranked)
                as_hard = m - below(data[first + calibration :], m, hardness)
                floats[3, i] = (1.0 + as_hard) / (m + 1.0)
                channel = ERROR
                if mode == JOINT and as_hard < as_high:
                    channel, as_high, ranked, first = HARDNESS, as_hard, hardness, first + calibration
                p = (1.0 + as_high) / (m + 1.0)
                out_test[i] = channel
                out_score[i] = ranked
                out_p[i] = min(1.0, 2.0 * p) if mode == JOINT else p
                allowed = sizes[5]
                out_threshold[i] = data[first + m - allowed] if allowed > 0 else np.inf
                out_critical[i] = 1 + as_high <= sizes[6]
                if 1 + as_high <= allowed:
                    out_alert[i] = True
                    detail[used] = mode
                    detail[used + 1] = channel
                    detail[used + 2] = error
                    detail[used + 3] = hardness
                    for level in range(4):
                        detail[used + 4 + level] = quantiles[level]
                    detail[used + 8] = score
                    detail[used + 9] = out_threshold[i]
                    detail[used + 10] = m
                    detail[used + 11] = as_high
                    detail[used + 12] = floats[3, i]
                    detail[used + 13] = weights[0]
                    used += DETAIL_LENGTH
        seen[slot] = number + 1
        detail_stop[i] = used
    return len(slots), DONE
