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
from detectors.aggregation.features import MERCHANT, MERCHANT_DAYS
from detectors.aggregation.fold import FLOATS, INTEGERS
from detectors.aggregation.logistic import scaled, standardised
from detectors.aggregation.model import ActingModel
from detectors.aggregation.policy import COST
from detectors.protocol import Floats, Ints

WEIGHTY = 8  # contributions that stand in the evidence
DIGITS, DIGITS_OF_WEIGHT, DIGITS_OF_SHARE = 6, 4, 3  # significant ones in the evidence

# Places in a row: these; the fold's floats and integers; the subjects' shares of what speaks for a fraud, and these as the evidence has
# them; the weightiest features' places, and their contributions as the evidence has them; then two stretches of a number a feature:
# the vector, and the vector as the evidence has it.
RULE, VERSION, PROBABILITY, LOSS, THRESHOLD, WINDOW = range(6)  # WINDOW: which of the merchant's shares speaks most for a fraud
OF_FOLD = 6
SHARES = OF_FOLD + FLOATS + INTEGERS
PLAIN_SHARES = SHARES + len(SUBJECTS)
WEIGHTIEST = PLAIN_SHARES + len(SUBJECTS)
PLAIN_WEIGHTS = WEIGHTIEST + WEIGHTY
VECTOR = PLAIN_WEIGHTS + WEIGHTY

_POWERS = np.array([float(f"1e{power}") for power in range(310)])  # the last is beyond all numbers


def noted(
    names: Sequence[str], model: ActingModel, rows: Ints, decided: Ints, said: Floats, threshold: Floats, floats: Floats, integers: Ints,
    vectors: Floats,
) -> Floats:  # fmt: skip
    """What is noted of these rows, shape (rows, …); shares and contributions are NaN where no model decided or there are no more."""
    out = np.full((len(rows), VECTOR + 2 * len(names)), np.nan)
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
    adds = np.empty(features)
    for place in range(len(rows)):
        row, line = rows[place], out[place]
        line[RULE], line[VERSION], line[THRESHOLD] = decided[row, 0], version, threshold[row]
        line[PROBABILITY], line[LOSS] = said[row, 0], said[row, 1]
        for i in range(FLOATS):
            line[OF_FOLD + i] = floats[row, i]
        for i in range(INTEGERS):
            line[OF_FOLD + FLOATS + i] = integers[row, i]
        own, plain = line[VECTOR : VECTOR + features], line[VECTOR + features :]
        for f in range(features):
            own[f] = vectors[row, f]
            plain[f] = significant(own[f], DIGITS)
        if decided[row, 0] == COST:
            shares, weightiest = line[SHARES:PLAIN_SHARES], line[WEIGHTIEST:PLAIN_WEIGHTS]
            shares[:] = 0.0
            for f in range(features):
                adds[f] = weights[f] * standardised(scaled(own[f], logs[f]), mean[f], inverse[f], clip)
                shares[subjects[f]] += adds[f]
            _divide(shares)
            for subject in range(len(shares)):
                line[PLAIN_SHARES + subject] = significant(shares[subject], DIGITS_OF_SHARE)
            _weightiest(adds, weightiest)
            for i in range(WEIGHTY):
                if not math.isnan(weightiest[i]):
                    line[PLAIN_WEIGHTS + i] = significant(adds[int(weightiest[i])], DIGITS_OF_WEIGHT)
            window = 0
            for i in range(1, len(MERCHANT_DAYS)):
                if adds[MERCHANT + i] > adds[MERCHANT + window]:
                    window = i
            line[WINDOW] = window


@njit(cache=True)  # type: ignore[untyped-decorator]
def _divide(shares):  # type: ignore[no-untyped-def]
    """What subjects add to the logit, as their shares of all that is added; what speaks against it has none. Eight subjects."""
    for subject in range(len(shares)):
        shares[subject] = max(shares[subject], 0.0)
    a, b, c, d, e, f, g, h = shares[0], shares[1], shares[2], shares[3], shares[4], shares[5], shares[6], shares[7]
    whole = ((a + b) + (c + d)) + ((e + f) + (g + h))
    if whole > 0.0:
        shares /= whole


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
