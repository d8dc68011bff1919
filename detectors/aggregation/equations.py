"""The aggregates of conditional weighted transaction aggregation, read from exact sliding sums.

W.-Y. Lim, A. Sachan, V. Thing, *Conditional weighted transaction aggregation for credit card fraud detection*, 2014. An aggregate
is Σ w·a over a card's transactions of the last d days; only the weights differ. With the sums of `state.window` (n, T, S0, S1, Q)
each is a line of integers, equal to a re-scan of the window to the last bit:

=======================  ===============================  ==============================================
simple, Eq. (1)          w = 1                            S0
transaction gap, Eq. (3) w = N − i, as printed            (q_newest − b)·S0 − Q
                         w = i, as the text describes     Q − (q_oldest − 1 − b)·S0
time gap, Eq. (4)        w = d − (now − t)                (d − u)·S0 + S1, u = now − r
=======================  ===============================  ==============================================

i numbers the N transactions in the window from the oldest (1) to the newest (N), whatever their attribute value.

Two things the paper leaves open or gets wrong. Eq. (3) as printed gives the newest transaction the weight 0 and the oldest the
largest, while its text wants weights that increase with i: both forms are here, by name. And it does not say whether the current
transaction is in the sum: here it is not. Aggregates are read before it is added, so that they describe what it is compared with.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from detectors.protocol import Floats, Ints
from state.window import AMOUNT_PLACES, AMOUNT_TIMES, AMOUNTS, COUNT, HEADS, NEXT, ORIGIN, PLACE_ORIGIN, TIMES

NOT_GIVEN = -1
PAPER, RECENCY = 0, 1  # the two forms of the transaction gap, as `transaction_gap` is asked for them


@njit(cache=True)  # type: ignore[untyped-decorator]
def attribute_slot(code, named, slots):  # type: ignore[no-untyped-def]
    """Where a code of the conditioning attribute (payment mode) is kept apart.

    Codes 0 … named − 1 have a slot each; all others share what is left of `slots` (code modulo the rest), or the named ones where
    nothing is left. "Not given" (any negative code) has the last slot, `slots`: it is part of the totals and opens no gate.
    """
    if code < 0:
        return slots
    if code < named:
        return code
    return named + (code - named) % (slots - named) if slots > named else code % slots


@njit(cache=True)  # type: ignore[untyped-decorator]
def simple_aggregation(sums, slot, window, attribute):  # type: ignore[no-untyped-def]
    """Eq. (1): the amounts of one attribute value in the window, minor units."""
    return sums[slot, window, attribute, AMOUNTS]


@njit(cache=True)  # type: ignore[untyped-decorator]
def transaction_gap(rings, sums, slot, window, attribute, form):  # type: ignore[no-untyped-def]
    """Eq. (3): the amounts weighted by N − i (PAPER) or by i (RECENCY), minor units."""
    s = sums[slot, window, attribute]
    origin = rings[slot, PLACE_ORIGIN]
    if form == PAPER:
        return (rings[slot, NEXT] - 1 - origin) * s[AMOUNTS] - s[AMOUNT_PLACES]
    return s[AMOUNT_PLACES] - (rings[slot, HEADS + window] - 1 - origin) * s[AMOUNTS]


@njit(cache=True)  # type: ignore[untyped-decorator]
def time_gap(rings, sums, spans, slot, window, attribute, now):  # type: ignore[no-untyped-def]
    """Eq. (4): the amounts weighted by what is left of the window, d − (now − t); minor units × seconds.

    It is the integral of the simple aggregate over all shorter windows: no jump when a transaction leaves.
    """
    s = sums[slot, window, attribute]
    return (spans[window] - (now - rings[slot, ORIGIN])) * s[AMOUNTS] + s[AMOUNT_TIMES]


@njit(cache=True)  # type: ignore[untyped-decorator]
def time_weight(rings, sums, spans, slot, window, attribute, now):  # type: ignore[no-untyped-def]
    """Σ d − (now − t): the time gap with every amount 1, in seconds; `time_gap` over it is the weighted mean amount."""
    s = sums[slot, window, attribute]
    return (spans[window] - (now - rings[slot, ORIGIN])) * s[COUNT] + s[TIMES]


@njit(cache=True)  # type: ignore[untyped-decorator]
def read(rings, sums, spans, slot, window, attribute, now, form, out, row):  # type: ignore[no-untyped-def]
    """Write the aggregates of one window to `out[0:10, row]`, as AGGREGATES names them.

    Integers: first ungated, over all attribute values; then through the gate C_j, j the `attribute` of the current transaction
    (0 where it is not given: its C_j is 0 for every j). `time_weight` is kept to make means of.
    """
    total_count, total_weight, total_simple, total_gap, total_time = 0, 0, 0, 0, 0
    values = sums.shape[2] - 1
    for j in range(values + 1):
        count = sums[slot, window, j, COUNT]
        if count == 0:
            continue
        total_count += count
        total_weight += time_weight(rings, sums, spans, slot, window, j, now)
        total_simple += simple_aggregation(sums, slot, window, j)
        total_gap += transaction_gap(rings, sums, slot, window, j, form)
        total_time += time_gap(rings, sums, spans, slot, window, j, now)
    out[0, row] = total_count
    out[1, row] = total_weight
    out[2, row] = total_simple
    out[3, row] = total_gap
    out[4, row] = total_time
    gate = attribute < values
    j = attribute if gate else 0
    out[5, row] = sums[slot, window, j, COUNT] if gate else 0
    out[6, row] = time_weight(rings, sums, spans, slot, window, j, now) if gate else 0
    out[7, row] = simple_aggregation(sums, slot, window, j) if gate else 0
    out[8, row] = transaction_gap(rings, sums, slot, window, j, form) if gate else 0
    out[9, row] = time_gap(rings, sums, spans, slot, window, j, now) if gate else 0


AGGREGATES = ("n", "weight", "sa", "txgap", "tg", "n_mode", "weight_mode", "sa_mode", "txgap_mode", "tg_mode")


def weighted_mean(time_gaps: Ints, weights: Ints) -> Floats:
    """The time-gap weighted mean amount, minor units: `time_gap` / `time_weight`; 0 where nothing is in the window."""
    means: Floats = np.divide(time_gaps, weights, out=np.zeros(len(weights)), where=weights > 0)
    return means


def conditional(mode_share: Floats, gated: Ints) -> Floats:
    """C_j · (1 − p_c(A_j)) · Σ w·a: a gated aggregate, the more the rarer its attribute value is on this card; 0 without a mode."""
    weighed: Floats = np.where(np.isnan(mode_share), 0.0, 1.0 - mode_share) * gated
    return weighed
