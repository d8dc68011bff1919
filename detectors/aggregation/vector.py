"""The part of a feature vector that one window fills: the equations, read through each gate."""

from __future__ import annotations

from numba import njit

from detectors.aggregation.equations import simple_aggregation, time_gap, time_weight, transaction_gap
from detectors.aggregation.features import (
    COND_BIG,
    COND_MODE,
    MEAN,
    N_BIG,
    N_MODE,
    SA,
    SA_MODE,
    TG,
    TG_MATCH,
    TG_MODE,
    TXGAP,
    TXGAP_MODE,
    N,
)
from detectors.aggregation.groups import ALL, MATCH, MISMATCH, MODES, UNUSUAL
from state.window import COUNT


@njit(cache=True)  # type: ignore[untyped-decorator]
def window_features(  # type: ignore[no-untyped-def]
    out, rings, sums, spans, slot, window, now, form, mode, modes, address_match, rarity, unusual_weight
):
    """Write the features of one window to out[0:13], as `features` names them.

    Parameters
    ----------
    mode, address_match
        The current transaction's: which gates are open.
    rarity, unusual_weight
        1 − p_c of its mode, and of unusual amounts over the card's mean: what the gated time gaps are multiplied by.
    """
    span = float(spans[window])
    count = sums[slot, ALL, window, COUNT]
    time_gaps = time_gap(rings, sums, spans, slot, window, ALL, now)
    weight = time_weight(rings, sums, spans, slot, window, ALL, now)
    out[N] = count
    out[SA] = simple_aggregation(sums, slot, window, ALL)
    out[TG] = time_gaps / span
    out[TXGAP] = transaction_gap(rings, sums, slot, window, ALL, form)
    out[MEAN] = time_gaps / float(weight) if weight > 0 else 0.0
    out[N_MODE : COND_MODE + 1] = 0.0
    if mode >= 0:
        group = MODES + mode
        gated = time_gap(rings, sums, spans, slot, window, group, now) / span
        out[N_MODE] = sums[slot, group, window, COUNT]
        out[SA_MODE] = simple_aggregation(sums, slot, window, group)
        out[TG_MODE] = gated
        out[TXGAP_MODE] = transaction_gap(rings, sums, slot, window, group, form)
        out[COND_MODE] = rarity * gated
    out[TG_MATCH] = 0.0
    if address_match >= 0:
        group = MODES + modes + (MATCH if address_match > 0 else MISMATCH)
        out[TG_MATCH] = time_gap(rings, sums, spans, slot, window, group, now) / span
    group = MODES + modes + UNUSUAL
    out[N_BIG] = sums[slot, group, window, COUNT]
    out[COND_BIG] = unusual_weight * (time_gap(rings, sums, spans, slot, window, group, now) / span)
