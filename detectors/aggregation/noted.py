"""What is noted of a transaction as it alerts: every number that its explanation is made of, for all alerts of a batch in one pass.

An explanation is made of these alone, whenever it is asked for. So they hold the contributions by the model that was in force, and
what takes arithmetic on every feature (sums by subject, which weigh most, features as they stand in the evidence) is done here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numba import njit

from detectors.aggregation.driving import SUBJECTS, subjects_of
from detectors.aggregation.fold import FLOATS, INTEGERS
from detectors.aggregation.logistic import scaled, standardised
from detectors.aggregation.model import ActingModel
from detectors.aggregation.policy import COST
from detectors.protocol import Floats, Ints

WEIGHTY = 8  # contributions that stand in the evidence
DIGITS = 6  # significant ones of a feature in the evidence

# Places in a row: these; the fold's floats and integers; what speaks for a fraud, by subject; the weightiest features' places; and
# then three stretches of a number a feature: the vector, the contributions, the vector to DIGITS digits.
RULE, VERSION, PROBABILITY, LOSS, THRESHOLD = range(5)
OF_FOLD = 5
OF_SUBJECTS = OF_FOLD + FLOATS + INTEGERS
OF_WEIGHTY = OF_SUBJECTS + len(SUBJECTS)
VECTOR = OF_WEIGHTY + WEIGHTY

_POWERS = np.array([float(f"1e{power}") for power in range(310)])  # the last is beyond all numbers


def noted(
    names: Sequence[str], model: ActingModel, rows: Ints, decided: Ints, said: Floats, threshold: Floats, floats: Floats, integers: Ints,
    vectors: Floats,
) -> Floats:  # fmt: skip
    """What is noted of these rows, shape (rows, …); contributions and sums by subject are NaN where no model decided."""
    out = np.full((len(rows), VECTOR + 3 * len(names)), np.nan)
    _note(
        rows, decided, said, threshold, floats, integers, vectors, subjects_of(tuple(names)), model.version, model.logs, model.mean,
        model.inverse, model.weights, model.clip, out,
    )  # fmt: skip
    return out


@njit(cache=True)  # type: ignore[untyped-decorator]
def significant(x, digits):  # type: ignore[no-untyped-def]
    """A number to so many significant digits, as its decimals would be read.

    >>> [significant(x, 6) for x in (19733.0, 0.123456789, -2.5e-9, 0.0, 93207123.0)]
    [19733.0, 0.123457, -2.5e-09, 0.0, 93207100.0]
    """
    if not math.isfinite(x):
        return math.nan
    more = digits - 1 - (math.floor(math.log10(abs(x))) if x != 0.0 else 0)
    power = _POWERS[min(abs(more), len(_POWERS) - 1)]
    return np.rint(x * power) / power if more >= 0 else np.rint(x / power) * power


@njit(cache=True)  # type: ignore[untyped-decorator]
def _note(  # type: ignore[no-untyped-def]
    rows, decided, said, threshold, floats, integers, vectors, subjects, version, logs, mean, inverse, weights, clip, out
):
    features = vectors.shape[1]
    for place in range(len(rows)):
        row, line = rows[place], out[place]
        line[RULE], line[VERSION], line[THRESHOLD] = decided[row, 0], version, threshold[row]
        line[PROBABILITY], line[LOSS] = said[row, 0], said[row, 1]
        for i in range(FLOATS):
            line[OF_FOLD + i] = floats[row, i]
        for i in range(INTEGERS):
            line[OF_FOLD + FLOATS + i] = integers[row, i]
        own, adds, plain = line[VECTOR : VECTOR + features], line[VECTOR + features : VECTOR + 2 * features], line[VECTOR + 2 * features :]
        for f in range(features):
            own[f] = vectors[row, f]
            plain[f] = significant(own[f], DIGITS)
        if decided[row, 0] == COST:
            line[OF_SUBJECTS:OF_WEIGHTY] = 0.0
            for f in range(features):
                adds[f] = weights[f] * standardised(scaled(own[f], logs[f]), mean[f], inverse[f], clip)
                line[OF_SUBJECTS + subjects[f]] += adds[f]
            _weightiest(adds, line[OF_WEIGHTY:VECTOR])


@njit(cache=True)  # type: ignore[untyped-decorator]
def _weightiest(adds, out):  # type: ignore[no-untyped-def]
    """The places of the numbers that are farthest from 0, the farthest first and of equal ones the first; NaN where there are no more."""
    held = 0
    for f in range(len(adds)):
        at = held
        while at > 0 and abs(adds[f]) > abs(adds[int(out[at - 1])]):
            at -= 1
        if at == len(out):
            continue
        held = min(held + 1, len(out))
        for later in range(held - 1, at, -1):
            out[later] = out[later - 1]
        out[at] = f
