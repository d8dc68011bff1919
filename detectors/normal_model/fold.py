"""The loop over readings: score first, then learn, one sensor's state after another's, in the order of the log."""

from __future__ import annotations

import numpy as np
from numba import njit

from detectors.normal_model.rolling import AR, AR_ORDER, CENTRE, FLOOR_AT, HEAD, LARGEST, LEVEL, NEAREST, SPREAD, distance
from detectors.protocol import LATE, NOT_A_NUMBER, REPEATED
from state.arena import NO_ROOM, allocate, block_size, release
from state.draws import SPREAD_BUILDS, draw

DONE, ARENA_FULL, DETAIL_FULL = -1, -2, -3  # why the kernel stopped; a slot: it waits for that sensor's model
ALIKE = 1.0 - 1e-6  # of √ℓ, how far a flat line is from every shape: what is as far is not of the model's kind
MOSTLY = 15.0 / 16.0  # share of the conformal set that must be alike for the rest to be taken as anomalies, and left out
FIRST_HISTORY = 64  # readings that a new sensor's history has room for; it doubles

# what an alerting row keeps, before the subsequence (ℓ) and the stretch of the model nearest to it (ℓ)
DETAIL = (
    "distance",
    "threshold",
    "mean",
    "sd",
    "level",
    "spread",
    "floor",
    "centroid",
    "offset",
    "hardness",
    "p_value",
    "reading",
    "ranked",
)
STARTED = len(DETAIL)  # and at last the start of the subsequence, microseconds
DETAIL_HEAD = STARTED + 1


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
def promised(m, epsilon):  # type: ignore[no-untyped-def]
    """⌊(m + 1)ε⌋, as `detectors.hardness.conformal.promised` finds it, but never all of m + 1."""
    count = np.int64((m + 1) * epsilon)
    while (count + 1) / (m + 1) <= epsilon:
        count += 1
    while count > 0 and count / (m + 1) > epsilon:
        count -= 1
    return min(count, m)


def live_size(length: int) -> int:
    """Elements of a live block: the last ℓ readings twice in a row, the last ℓ squared residuals twice in a row, the last ℓ times."""
    return 5 * length


@njit(cache=True)  # type: ignore[untyped-decorator]
def describe(data, window, model, centroid, length, normal_length, detail):  # type: ignore[no-untyped-def]
    """Write mean, sd, nearest offset, the subsequence and the nearest stretch of the centroid, brought to that mean and sd."""
    windows = normal_length - length + 1
    centroid_at = model + HEAD + centroid * (1 + normal_length + 4 * windows) + 1
    q = centroid_at + normal_length
    centre = data[model + CENTRE]
    total = 0.0
    for i in range(length):
        total += data[window + i] - centre
    squares = 0.0
    for i in range(length):
        apart = data[window + i] - centre - total / length
        squares += apart * apart
    sd = np.sqrt(squares / length)
    best, place = -np.inf, 0
    for i in range(windows):
        like = (data[q + i] - total * data[q + windows + i]) * data[q + 2 * windows + i] * 2.0 / max(sd, data[model + FLOOR_AT])
        like -= data[q + 3 * windows + i]
        if like > best:
            best, place = like, i
    detail[2], detail[3] = centre + total / length, sd
    detail[7], detail[8] = centroid, windows - 1 - place
    for i in range(length):
        detail[DETAIL_HEAD + i] = data[window + i]
        shape = (data[centroid_at + place + length - 1 - i] - data[q + windows + place]) * data[q + 2 * windows + place]
        detail[DETAIL_HEAD + length + i] = centre + total / length + shape * sd


@njit(cache=True)  # type: ignore[untyped-decorator]
def score_then_learn(  # type: ignore[no-untyped-def]
    row, first_event, slots, at, values, hashes, sizes, epsilon, counts,
    seen, last_at, triggered, in_force, centroids, held, ranked, history, room, live, model, calibration,
    data, header, score, threshold, p_value, alert, critical, out_seen, needed, unit, reason, hardness, detail, detail_stop,
):  # fmt: skip
    """Fold readings from `row` on; return (the row it stopped at, why).

    Parameters
    ----------
    sizes
        ℓ, ℓ_NM, warm-up, calibration, lag, spread, and how many distances are collected for the conformal set.
    counts
        [sensors whose model is being built].
    seen … ranked
        State, a row a slot; history … calibration: where in `data` its blocks lie.
    """
    length, normal_length, warm_up, wanted = sizes[0], sizes[1], sizes[2], sizes[3]
    collected = sizes[6]
    counted, allowed = np.int64(-1), np.int64(0)  # of the latest conformal set's size, how many may alert
    width = DETAIL_HEAD + 2 * length
    used = detail_stop[row - 1] if row > 0 else 0
    while row < len(slots):
        if used + width > len(detail):
            return row, DETAIL_FULL
        slot = slots[row]
        number = seen[slot]
        x = min(max(values[row], -LARGEST), LARGEST)
        if number == 0:
            spread = np.int64(draw(hashes[slot], warm_up, SPREAD_BUILDS) % np.uint64(sizes[5]))
            in_force[slot] = warm_up + sizes[4] + spread
        out_seen[row] = number
        needed[row] = in_force[slot] + wanted
        unit[row] = number // normal_length
        detail_stop[row] = used
        if values[row] != values[row]:
            reason[row] = NOT_A_NUMBER
            row += 1
            continue
        if number > 0 and at[row] <= last_at[slot]:
            reason[row] = REPEATED if at[row] == last_at[slot] else LATE
            row += 1
            continue
        place = live[slot] + number % length
        if number < warm_up:
            if number == room[slot]:
                larger = block_size(min(max(2 * number, FIRST_HISTORY), warm_up))
                start = allocate(data, header, larger)
                if start == NO_ROOM:
                    return row, ARENA_FULL
                if number > 0:
                    for i in range(number):
                        data[start + i] = data[history[slot] + i]
                    release(data, header, history[slot], number)
                history[slot], room[slot] = start, larger
            if number == warm_up - 1:
                start = allocate(data, header, 5 * length)
                if start == NO_ROOM:
                    return row, ARENA_FULL
                for i in range(start, start + 5 * length):
                    data[i] = 0.0
                for i in range(warm_up - length, warm_up - 1):
                    data[start + i % length] = data[start + i % length + length] = data[history[slot] + i]
                live[slot] = start
                place = start + number % length
                data[place] = data[place + length] = x
                data[place + 4 * length] = at[row]
                triggered[slot] = first_event + row
                counts[0] += 1
            data[history[slot] + number] = x
        else:
            if centroids[slot] == 0 and number == in_force[slot]:
                return row, slot
            oldest = data[place]
            data[place] = data[place + length] = x
            data[place + 4 * length] = at[row]
            if centroids[slot] > 0:
                window = place + 1
                m = model[slot]
                centre = data[m + CENTRE]
                residual = x - centre - data[m + AR]
                for k in range(1, AR_ORDER + 1):
                    residual -= data[m + AR + k] * (data[place + length - k] - centre)
                data[place + 2 * length] = data[place + 3 * length] = residual * residual
                d = distance(data, window, oldest, m, centroids[slot], length, normal_length, True)
                c, ready = calibration[slot], held[slot] == wanted
                end = ranked[slot] if ready else collected - wanted + held[slot]
                first = smaller(data, c, end, d)
                if not ready:
                    for i in range(end, first, -1):
                        data[c + i] = data[c + i - 1]
                    data[c + first] = d
                    held[slot] += 1
                    if held[slot] == wanted:
                        alike = smaller(data, c, collected, ALIKE * np.sqrt(length))
                        ranked[slot] = alike if alike >= MOSTLY * collected else collected
                else:
                    if end != counted:
                        counted, allowed = end, promised(end, epsilon)
                    as_high = 1 + end - first
                    score[row] = d
                    threshold[row] = data[c + end - allowed] if allowed > 0 else np.inf
                    p_value[row] = as_high / (end + 1)
                    alert[row] = as_high <= allowed
                    residuals = data[window + 2 * length : window + 3 * length]
                    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
                    for i in range(0, length - length % 4, 4):
                        s0 += residuals[i]
                        s1 += residuals[i + 1]
                        s2 += residuals[i + 2]
                        s3 += residuals[i + 3]
                    for i in range(length - length % 4, length):
                        s0 += residuals[i]
                    hardness[row] = np.sqrt((s0 + s1) + (s2 + s3))
                    if alert[row]:
                        critical[row] = as_high <= promised(end, epsilon / 100.0)
                        kept = detail[used : used + width]
                        describe(data, window, m, np.int64(data[m + NEAREST]), length, normal_length, kept)
                        kept[0], kept[1], kept[4], kept[5] = d, threshold[row], data[m + LEVEL], data[m + SPREAD]
                        kept[6], kept[9], kept[10], kept[11], kept[12] = data[m + FLOOR_AT], hardness[row], p_value[row], number, end
                        kept[STARTED] = data[place - number % length + 4 * length + (number + 1) % length]
                        used += width
        seen[slot] = number + 1
        last_at[slot] = at[row]
        detail_stop[row] = used
        row += 1
    return row, DONE
