"""What is decided of each transaction: the model in force gives a probability, the policy the rule, and the day's room the rest.

Nothing that is learned from the stream depends on it; the aggregates go on the same with any model or with none.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from detectors.aggregation.fold import P_VALUE, REASON, SCORE
from detectors.aggregation.logistic import logit_of
from detectors.aggregation.model import ActingModel
from detectors.aggregation.policy import COST, NO_RULE, decide, expected_loss, priority, rule_in_force
from detectors.aggregation.recalibration import BINS, recalibrated
from detectors.protocol import JUDGED, MICROSECONDS, Floats

# Places of `terms`.
EPSILON, REVIEW_COST, FRAUD_LOSS, FRAUD_LOSS_SHARE, CAP = range(5)
# Columns of what is said of a transaction.
PROBABILITY, LOSS = range(2)
RULE, DECISION = range(2)


def no_model(features: int) -> ActingModel:
    """What is applied while no version has been adopted: it is never asked."""
    return ActingModel(
        -1, 0, 0, np.zeros(features, np.bool_), np.zeros(features), np.zeros(features), np.zeros(features + 1), 1.0, np.zeros(BINS)
    )


@njit(cache=True)  # type: ignore[untyped-decorator]
def decide_each(  # type: ignore[no-untyped-def]
    at, amount, vectors, floats, integers, terms, version, frauds, logs, mean, inverse, weights, clip, curve, pace, head, said, decided
):
    """Fill said (n, 2) and decided (n, 2); a transaction without a verdict falls under no rule.

    Parameters
    ----------
    vectors, floats, integers
        What `fold.score_then_learn` said.
    terms
        ε; the cost of a review, what a missed fraud loses outright and the share of its amount that it loses besides, all in the unit
        of the first; alerts a day (0: no cap).
    version, frauds, logs, mean, inverse, weights, clip, curve
        The `ActingModel`; version −1: none.
    pace, head
        The policy's memory of the last day.
    """
    rule = rule_in_force(version >= 0, frauds)
    for row in range(len(at)):
        said[row, PROBABILITY] = math.nan
        said[row, LOSS] = math.nan
        if integers[row, REASON] != JUDGED:
            decided[row, RULE] = NO_RULE
            continue
        if version >= 0:
            said[row, PROBABILITY] = recalibrated(curve, logit_of(vectors[row], logs, mean, inverse, weights, clip))
            said[row, LOSS] = expected_loss(said[row, PROBABILITY], float(amount[row]), terms[FRAUD_LOSS], terms[FRAUD_LOSS_SHARE])
        promised = priority(rule, said[row, LOSS], terms[REVIEW_COST], floats[row, SCORE], floats[row, P_VALUE], terms[EPSILON])
        decided[row, RULE] = rule
        decided[row, DECISION] = decide(pace, head, at[row] // MICROSECONDS, rule, promised, terms[CAP])


def threshold_of(amount: Floats, review_cost: float, fraud_loss: float, fraud_loss_share: float) -> Floats:
    """The probability above which an alert pays: review cost over what the fraud would lose; inf where nothing is to be lost.

    >>> threshold_of(np.array([5_000, -100]), 1.0, 100.0, 0.0).tolist()
    [0.01, 0.01]
    """
    loss = fraud_loss + fraud_loss_share * np.maximum(amount, 0.0)
    pays: Floats = np.divide(review_cost, loss, out=np.full(len(loss), np.inf), where=loss > 0.0)
    return pays


__all__ = ["COST", "decide_each", "no_model", "threshold_of"]
