"""One event after another: judge it by what its key has seen, then let the key learn from it.

What a key has, in the order of its life:

| events of the key | the event is | where it is kept |
|---|---|---|
| 0 … warm_up − 1 | kept for the first curves | ring: hardness, error |
| … in_force − 1 | passed over while the curves are fit | |
| … + needed | scored and ranked by later ones, not judged | ring: hardness, score |
| from then on | judged, and ranked by later ones | the same; the oldest leaves |
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from detectors.hardness.tracking import (
    DEEPEST,
    HIGHEST,
    LARGEST,
    LEAST_SPREAD,
    LOWEST,
    SPREAD_FLOOR,
    admit,
    as_high,
    bin_of,
    forget,
    largest,
    learn,
    rank_after,
    rank_from,
    read,
    reedge,
    spread_after,
)
from detectors.protocol import CRITICAL, E_VALUE, P_VALUE, ROW, SCORE, SLOT, TEST, THRESHOLD, UNIT
from state.arena import NO_ROOM, allocate
from state.draws import BREAK_TIES, SPREAD_BUILDS, draw, uniform

CONDITIONAL, JOINT, OFF = range(3)
MODES = ("conditional", "joint", "off")
NEVER, DRAWN = range(2)
TIES = ("never", "drawn")  # how an event stands to those that score the very same: above none of them, or drawn among them
ERROR, HARDNESS, DRIFT = range(3)  # the tests
TESTS = ("error", "hardness", "drift")

# The numbers behind an alarm, in this order.
DETAIL = (
    "mode", "error", "hardness", "quantile_25", "quantile_50", "quantile_75", "quantile_95", "score", "threshold", "basis", "ranked",
    "as_high", "p_hardness", "epsilon", "factor", "tracking", "evidence", "equal", "behind",
)  # fmt: skip
DETAIL_LENGTH = len(DETAIL)
ROWS = 4  # of N numbers that a key's block in the arena has: hardness and score in order of arrival, the same in order of size
POOLED = -1.0  # a basis that is no bin
DONE, ALARMS_FULL, ARENA_FULL = -1, -2, -3  # why the kernel stopped; a slot ≥ 0 waits for its curves

JUMP = 0.01  # share of the martingale's capital that changes sides at each event
STAKES = (-1.0, 0.0, 1.0)  # and what the sides bet: on small p-values, on none, on large ones
RUIN = 1e-12  # capital is held above this, so that a drift after years is still seen


@njit(cache=True)  # type: ignore[untyped-decorator]
def ahead(as_high, more, ties, drawn):  # type: ignore[no-untyped-def]
    """How many stand before an event: `more` score more, and of the as_high − more that score the same as many as the draw says."""
    return as_high if ties == NEVER else more + np.int64(drawn * (1 + as_high - more))


@njit(cache=True)  # type: ignore[untyped-decorator]
def bet(capital, p):  # type: ignore[no-untyped-def]
    """Play one p-value and return the capital: the Simple Jumper, a martingale if p-values are uniform and independent (Vovk 2021)."""
    whole = capital[0] + capital[1] + capital[2]
    total = 0.0
    for side in range(3):
        mixed = (1.0 - JUMP) * capital[side] + JUMP * whole / 3.0
        capital[side] = max(mixed * (1.0 + STAKES[side] * (p - 0.5)), RUIN)
        total += capital[side]
    return total


@njit(cache=True)  # type: ignore[untyped-decorator]
def judge_then_learn(  # type: ignore[no-untyped-def]
    row, first_event, slots, errors, hardnesses, hashes, sizes, rates,
    seen, triggered, in_force, fitted, start, stops, edges, knots, theta, scale, factors, capital, evidence, counted, data, header,
    out_score, out_threshold, out_p, out_alert, out_seen, out_needed, out_unit, floats, places, numbers, detail, count,
):  # fmt: skip
    """Fold events row … n − 1; return the row it stopped at, and why: DONE, what is full, or the slot whose curves are to be handed over.

    sizes = [mode, warm_up, lag, spread, needed, N, events between two new edges, ties]; rates = [ε, lr, γ, capital to tell a drift at];
    count[0] alarms stand in places, numbers and detail; floats (4, n) = hardness, expected error, calibrated score,
    p-value of the hardness.
    """
    mode, warm_up, needed = sizes[0], sizes[1], sizes[4]
    epsilon, rate, gamma, drift = rates[0], rates[1], rates[2], rates[3]
    size, ties = sizes[5], sizes[7]
    quantiles, weights = np.zeros(4), np.zeros(3)
    for i in range(row, len(slots)):
        slot, error = slots[i], errors[i]
        hardness = np.float32(min(hardnesses[i], LARGEST))
        number = seen[slot]
        if number == 0:
            block = allocate(data, header, ROWS * size)
            if block == NO_ROOM:
                return i, ARENA_FULL
            data[block : block + 2 * size] = 0.0  # a block may have been another key's
            start[slot] = block
            waited = np.int64(draw(hashes[slot], warm_up, SPREAD_BUILDS) % np.uint64(sizes[3]))
            in_force[slot] = warm_up + sizes[2] + waited
        if number == in_force[slot] and fitted[slot] == 0:
            return i, slot
        if count[0] + 2 > len(places):
            return i, ALARMS_FULL
        out_unit[i] = number
        out_seen[i] = number
        out_needed[i] = in_force[slot] + needed
        floats[0, i] = hardnesses[i]
        seen[slot] = number + 1
        block = start[slot]
        ring_h, ring_s = data[block : block + size], data[block + size : block + 2 * size]
        if number < in_force[slot]:
            if number < warm_up:
                ring_h[number] = hardness
                ring_s[number] = np.float32(min(error, LARGEST))
                if number == warm_up - 1:
                    triggered[slot] = first_event + i
            continue

        # -- score
        stop, edge = stops[slot], edges[slot]
        values, hards = data[block + 2 * size : block + 3 * size], data[block + 3 * size : block + 4 * size]
        y = math.log(min(error, LARGEST) + scale[slot, 1])
        read(knots[slot], theta[slot], np.float64(hardness), quantiles, weights)
        spread = max(quantiles[2] - quantiles[0], SPREAD_FLOOR * scale[slot, 0])
        calibrated = np.float32(min(max((y - quantiles[3]) / spread, -LARGEST), LARGEST))
        ranked = np.float32(min(error, LARGEST)) if mode == OFF else calibrated
        floats[1, i] = math.exp(quantiles[1]) - scale[slot, 1]
        floats[2, i] = calibrated
        k = bin_of(edge, hardness)
        total = stop[-1]
        group = k if mode == CONDITIONAL else 0
        factor = max(factors[slot, group], LOWEST)
        level = epsilon * factor
        alert = False
        p = np.nan
        if number >= in_force[slot] + needed:
            share = 0.5 * level if mode == JOINT else level
            first = stop[k - 1] if k > 0 else 0
            n, basis = stop[k] - first, float(k)
            if (n + 1) * share < 1.0:
                n, basis = total, POOLED
                above, more = as_high(values, stop, ranked)
            else:
                above, more = stop[k] - rank_from(values, first, stop[k], ranked), stop[k] - rank_after(values, first, stop[k], ranked)
            hard = total - rank_from(hards, 0, total, hardness)
            drawn = uniform(hashes[slot], number, BREAK_TIES)
            before = ahead(above, more, ties, drawn)
            p, p_hardness = (1.0 + before) / (n + 1.0), (1.0 + hard) / (total + 1.0)
            # what the martingale plays is smoothed in any case, or a source that only ever says 0 would seem to drift
            fair = (more + drawn * (1.0 + above - more)) / (n + 1.0)
            test, score, held = ERROR, (error if mode == OFF else float(calibrated)), n
            if mode == JOINT:
                if p_hardness < p:
                    test, score, held, basis = HARDNESS, hardnesses[i], total, POOLED
                    before = above = more = hard  # no draw for a hardness: that of the errors keeps the rate
                p = min(1.0, 2.0 * min(p, p_hardness))
            allowed = np.int64(share * (held + 1.0) * (1.0 + 1e-12))
            alert = 1 + before <= allowed
            threshold = np.inf
            if allowed > 0 and test == HARDNESS:
                threshold = float(hards[total - allowed])
            elif allowed > 0 and basis == POOLED:
                threshold = float(largest(values, stop, allowed))
            elif allowed > 0:
                threshold = float(values[stop[k] - allowed])
            floats[3, i] = p_hardness
            out_score[i], out_threshold[i], out_p[i], out_alert[i] = score, threshold, p, alert
            counted[0, k] += 1
            counted[1, k] += 1 if alert else 0

            # -- how long has it been strange: e = Π ½ p^(−1/2) from an alarm on, until it has fallen below 1
            if alert or evidence[slot] > 0.0:
                e = (evidence[slot] if evidence[slot] > 0.0 else 1.0) * 0.5 / math.sqrt(p)
                evidence[slot] = min(e, LARGEST) if e >= 1.0 else 0.0
            grown = bet(capital[slot], fair)
            for said in (test, DRIFT):
                if (said == DRIFT and grown < drift) or (said != DRIFT and not alert):
                    continue
                a = count[0]
                places[a, ROW], places[a, SLOT], places[a, TEST], places[a, UNIT] = i, slot, said, number
                e_value = grown if said == DRIFT else evidence[slot]
                places[a, CRITICAL] = said != DRIFT and (p <= 0.01 * epsilon or e_value * epsilon >= 100.0)
                numbers[a, SCORE] = math.log(grown) if said == DRIFT else score
                numbers[a, THRESHOLD] = math.log(drift) if said == DRIFT else threshold
                numbers[a, P_VALUE], numbers[a, E_VALUE] = (np.nan if said == DRIFT else p), e_value
                d = detail[a]
                d[0], d[1], d[2] = mode, error, hardnesses[i]
                for j in range(4):
                    d[3 + j] = math.exp(quantiles[j]) - scale[slot, 1]
                d[7], d[8], d[9], d[10], d[11], d[12] = score, threshold, basis, held, above, p_hardness
                d[13], d[14], d[15], d[16], d[17], d[18] = epsilon, factor, gamma > 0.0, e_value, above - more, above - before
                count[0] = a + 1
                out_alert[i] = True
            if grown >= drift:
                capital[slot] = 1.0 / 3.0

        # -- learn
        if gamma > 0.0 and p == p:
            moved = factors[slot, group] + gamma / epsilon * (epsilon - (1.0 if alert else 0.0))
            factors[slot, group] = min(max(moved, DEEPEST), HIGHEST)
        filled = number - in_force[slot]
        place = filled % size
        if filled >= size:
            forget(place, ring_h, ring_s, values, hards, stop, edge)
        admit(place, hardness, ranked, ring_h, ring_s, values, hards, stop, edge)
        if rate > 0.0:
            if scale[slot, 0] > LEAST_SPREAD:
                learn(theta[slot], weights, y, rate * scale[slot, 0])
            scale[slot, 0] = spread_after(scale[slot, 0], quantiles, y, 1.0 / sizes[6])
        if mode != OFF and (filled + 1) % sizes[6] == 0 and stop[-1] > 0:
            reedge(ring_h, ring_s, min(filled + 1, size), values, hards, stop, edge, knots[slot], theta[slot])
    return len(slots), DONE
