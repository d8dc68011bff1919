"""The decision: which rule a transaction falls under, what an alert would save, and whether the day has room for it.

Rules, in this order:

1. **cost**, once a model has learned 200 frauds: alert iff p·loss > review cost, p recalibrated. With the constants of the paper's
   Eq. (6), where a review costs 1 and a missed fraud 100, that is p > .01.
2. **epsilon**, before: alert iff the unusualness has p_value ≤ ε.
3. **cap**, always: at most `alerts_per_day` in any 24 hours, the ones that save most first. One cannot wait for the day to end, so a
   candidate alerts iff fewer than the cap's number of the last day's candidates promised more, and there is room. (On drawn days of
   independent savings that keeps three quarters of what the best alerts of hindsight would have saved.) A stream's partitions decide
   apart and share the cap evenly: partition by partition it is cap / partitions.

What the cap holds back is decided, too, and says so: every transaction ends in one of `DECISIONS`.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from detectors.protocol import Ints

RULES = ("", "cost", "epsilon")
NO_RULE, COST, EPSILON = range(3)
DECISIONS = ("passed", "alert", "held back: the day's alerts go to what saves more")
PASSED, ALERT, HELD_BACK = range(3)

FRAUDS_NEEDED = 200  # matured ones: with fewer a recalibrated probability near 1 % has an error of its own size

SLOTS = 25  # a day of 24 slots and the one that is under way: any 24 hours lie within them
SLOT_SECONDS = 3_600
PRIORITY_BINS = 160  # four to a doubling, from 2⁻²⁰ to 2²⁰
_TIME, _RULE, _SLOT, _ALERTS, _COUNTS = 0, 1, 0, 1, 2


@njit(cache=True)  # type: ignore[untyped-decorator]
def expected_loss(probability, amount, fixed, share):  # type: ignore[no-untyped-def]
    """p·loss: a missed fraud loses `fixed`, and `share` of the amount; refunds lose no amount."""
    return probability * (fixed + share * max(amount, 0.0))


@njit(cache=True)  # type: ignore[untyped-decorator]
def rule_in_force(has_model, frauds):  # type: ignore[no-untyped-def]
    """COST or EPSILON, from what the adopted model has learned."""
    return COST if has_model and frauds >= FRAUDS_NEEDED else EPSILON


@njit(cache=True)  # type: ignore[untyped-decorator]
def priority(rule, loss, review_cost, unusualness, p_value, epsilon):  # type: ignore[no-untyped-def]
    """What a transaction promises under its rule, above 0 iff the rule would alert.

    Under COST the expected saving p·loss − review cost, under EPSILON the unusualness. A p-value that is not there (NaN) is not
    within ε.
    """
    if rule == COST:
        return max(0.0, loss - review_cost)
    if p_value <= epsilon:
        return max(unusualness, 1e-6)
    return 0.0


@njit(cache=True)  # type: ignore[untyped-decorator]
def priority_bin(promised):  # type: ignore[no-untyped-def]
    """Where a promise is counted: steps of 19 %."""
    return min(max(math.floor(4.0 * (math.log2(promised) + 20.0)), 0), PRIORITY_BINS - 1)


@njit(cache=True)  # type: ignore[untyped-decorator]
def within_cap(pace, head, now, rule, promised, cap):  # type: ignore[no-untyped-def]
    """Whether a candidate gets one of the day's alerts; counts it either way.

    Parameters
    ----------
    pace
        Shape (SLOTS, 2 + PRIORITY_BINS), int64: the slot's number, alerts in it, candidates by bin; as `new_pace` makes it.
    head
        int64: the newest time seen, and the rule that the candidates were of.
    now
        Event time, s. Time does not go back: what is late counts at the newest.
    promised
        Above 0, see `priority`.
    cap
        Alerts a day; one below 1 is one in 1 / cap days. 0: no cap.

    Notes
    -----
    Promises are compared in bins of 19 %: of two candidates in one bin, the earlier goes first.
    """
    if cap <= 0.0:
        return True
    now = max(now, head[_TIME])
    head[_TIME] = now
    length = SLOT_SECONDS * max(1.0, 1.0 / cap)
    slot = np.int64(now // length)
    if head[_RULE] != rule:  # unusualness and savings cannot be compared; alerts remain alerts
        pace[:, _COUNTS:] = 0
        head[_RULE] = rule
    here = pace[slot % SLOTS]
    if here[_SLOT] != slot:
        here[:] = 0
        here[_SLOT] = slot
    own = priority_bin(promised)
    alerts, better = 0, 0
    for place in range(SLOTS):
        if pace[place, _SLOT] > slot - SLOTS:
            alerts += pace[place, _ALERTS]
            for other in range(own + 1, PRIORITY_BINS):
                better += pace[place, _COUNTS + other]
    here[_COUNTS + own] += 1
    room = math.floor(max(cap, 1.0))
    if alerts >= room or better >= room:
        return False
    here[_ALERTS] += 1
    return True


@njit(cache=True)  # type: ignore[untyped-decorator]
def decide(pace, head, now, rule, promised, cap):  # type: ignore[no-untyped-def]
    """PASSED, ALERT or HELD_BACK: the policy's last word on a transaction that promises `promised` under `rule`."""
    if promised <= 0.0:
        return PASSED
    return ALERT if within_cap(pace, head, now, rule, promised, cap) else HELD_BACK


def new_pace() -> tuple[Ints, Ints]:
    """`pace` and `head` of a partition that has decided nothing; both belong into its frozen state as they are."""
    pace = np.zeros((SLOTS, _COUNTS + PRIORITY_BINS), np.int64)
    pace[:, _SLOT] = np.iinfo(np.int64).min // 2
    return pace, np.array([np.iinfo(np.int64).min // 2, NO_RULE], np.int64)
