"""The part of a feature vector that one window fills: the equations, read through each gate."""

from __future__ import annotations

from numba import njit

from detectors.aggregation.equations import COUNT, PLACED, SIMPLE, TIMED, WEIGHT
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

# Which groups a transaction's vector is of, and what is read of each.
OF_ALL, OF_MODE, OF_MATCH, OF_UNUSUAL = range(4)
GATES = 4


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def open_gates(gates, mode, modes, address_match):  # type: ignore[no-untyped-def]
    """Write the groups that a transaction asks for to gates[0:4]; a closed gate is −1."""
    gates[OF_ALL] = ALL
    gates[OF_MODE] = MODES + mode if mode >= 0 else -1
    gates[OF_MATCH] = MODES + modes + (MATCH if address_match > 0 else MISMATCH) if address_match >= 0 else -1
    gates[OF_UNUSUAL] = MODES + modes + UNUSUAL


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def window_features(out, found, span, rarity, unusual_weight):  # type: ignore[no-untyped-def]
    """Write the features of one window to out[0:13], as `features` names them.

    Parameters
    ----------
    found
        What was read of the window, shape (gates, 5).
    span
        d in seconds.
    rarity, unusual_weight
        1 − p_c of the transaction's mode, and of unusual amounts over the card's mean: what the gated time gaps are multiplied by.
    """
    out[N] = found[OF_ALL, COUNT]
    out[SA] = found[OF_ALL, SIMPLE]
    out[TG] = found[OF_ALL, TIMED] / span
    out[TXGAP] = found[OF_ALL, PLACED]
    out[MEAN] = found[OF_ALL, TIMED] / found[OF_ALL, WEIGHT] if found[OF_ALL, WEIGHT] > 0.0 else 0.0
    gated = found[OF_MODE, TIMED] / span
    out[N_MODE] = found[OF_MODE, COUNT]
    out[SA_MODE] = found[OF_MODE, SIMPLE]
    out[TG_MODE] = gated
    out[TXGAP_MODE] = found[OF_MODE, PLACED]
    out[COND_MODE] = rarity * gated
    out[TG_MATCH] = found[OF_MATCH, TIMED] / span
    out[N_BIG] = found[OF_UNUSUAL, COUNT]
    out[COND_BIG] = unusual_weight * (found[OF_UNUSUAL, TIMED] / span)
