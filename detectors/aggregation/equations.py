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

i numbers the N transactions in the window from the oldest (1) to the newest (N), whatever their attribute value. The gate C_j is a
group of `state.window`: the sums of those with the attribute value of the current transaction. `detectors.aggregation.groups` says
which groups there are; p_c(A_j), how often the card's transactions have the value, is made from what has left the windows.

Two things the paper leaves open or gets wrong. Eq. (3) as printed gives the newest transaction the weight 0 and the oldest the
largest, while its text wants weights that increase with i: both forms are here, by name. And it does not say whether the current
transaction is in the sum: here it is not. Aggregates are read before it is added, so that they describe what it is compared with.
"""

from __future__ import annotations

from numba import njit

from state.window import AMOUNT_PLACES, AMOUNT_TIMES, AMOUNTS, COUNT, HEADS, NEXT, ORIGIN, PLACE_ORIGIN, TIMES

NOT_GIVEN = -1
PAPER, RECENCY = 0, 1  # the two forms of the transaction gap, as `transaction_gap` is asked for them


@njit(cache=True)  # type: ignore[untyped-decorator]
def attribute_slot(code, named, slots):  # type: ignore[no-untyped-def]
    """Where a code of the conditioning attribute (payment mode) is kept apart.

    Codes 0 … named − 1 have a slot each; all others share what is left of `slots` (code modulo the rest), or the named ones where
    nothing is left. "Not given" (any negative code) has none, NOT_GIVEN: it is part of the totals and opens no gate.
    """
    if code < 0:
        return NOT_GIVEN
    if code < named:
        return code
    return named + (code - named) % (slots - named) if slots > named else code % slots


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def simple_aggregation(sums, slot, window, group):  # type: ignore[no-untyped-def]
    """Eq. (1): the amounts of one group in the window, minor units."""
    return sums[slot, group, window, AMOUNTS]


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def transaction_gap(rings, sums, slot, window, group, form):  # type: ignore[no-untyped-def]
    """Eq. (3): the amounts weighted by N − i (PAPER) or by i (RECENCY), minor units."""
    s = sums[slot, group, window]
    origin = rings[slot, PLACE_ORIGIN]
    if form == PAPER:
        return (rings[slot, NEXT] - 1 - origin) * s[AMOUNTS] - s[AMOUNT_PLACES]
    return s[AMOUNT_PLACES] - (rings[slot, HEADS + window] - 1 - origin) * s[AMOUNTS]


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def time_gap(rings, sums, spans, slot, window, group, now):  # type: ignore[no-untyped-def]
    """Eq. (4): the amounts weighted by what is left of the window, d − (now − t); minor units × seconds.

    It is the integral of the simple aggregate over all shorter windows: no jump when a transaction leaves.
    """
    s = sums[slot, group, window]
    return (spans[window] - (now - rings[slot, ORIGIN])) * s[AMOUNTS] + s[AMOUNT_TIMES]


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def time_weight(rings, sums, spans, slot, window, group, now):  # type: ignore[no-untyped-def]
    """Σ d − (now − t): the time gap with every amount 1, in seconds; `time_gap` over it is the weighted mean amount."""
    s = sums[slot, group, window]
    return (spans[window] - (now - rings[slot, ORIGIN])) * s[COUNT] + s[TIMES]


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def read(rings, sums, spans, slot, window, group, now, form, out):  # type: ignore[no-untyped-def]
    """Write n, Σ w, SA, TxG, TG of a window and group to `out[0:5]`, as AGGREGATES names them; Σ w is kept to make means of."""
    out[0] = sums[slot, group, window, COUNT]
    out[1] = time_weight(rings, sums, spans, slot, window, group, now)
    out[2] = simple_aggregation(sums, slot, window, group)
    out[3] = transaction_gap(rings, sums, slot, window, group, form)
    out[4] = time_gap(rings, sums, spans, slot, window, group, now)


AGGREGATES = ("n", "weight", "sa", "txgap", "tg")
