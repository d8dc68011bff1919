"""Calibration that learns while it runs: curves by the pinball loss, ranks among recent scores of the same hardness, an adaptive level.

Of one calibration key, after its warm-up:

1. curves q̂_τ(h) of y = log(e + t), τ in `LEVELS`, straight between knots at quantiles of the recent hardness; each event moves them
   by lr · S · B_j(h) · (τ − [y < q̂_τ]), the subgradient of the pinball loss. In logarithms a drift of scale is a shift; t, a millionth
   of the warm-up's median error, keeps an error of 0 finite;
2. score s = (y − q̂_.95(h)) / max(q̂_.75 − q̂_.25, .05 S), with the four values sorted where they are read (curves may cross);
3. p = (1 + #{s_i > s} + ⌊U · (#{s_i = s} + 1)⌋) / (n + 1) among the recent scores of the same bin of hardness, U the event's own draw:
   a rank with ties broken at random, so that a source that stands still alerts as often as any; where nothing ties nothing is drawn
   (`ties = "never"` counts every tie against the event, as the paper's rule does). The ring holds `bins · width` events, its bins
   follow the quantiles of its hardness, anew after every `width` events; a bin too small for the level in force borrows all of them;
4. alert iff p ≤ ε·max(f, 1/4), with f ≤ 4 of the bin moved by γ/ε · (ε − alert) after each event (adaptive conformal inference, Gibbs
   and Candès 2021). What was alerted beyond the budget while the level stood at ε/4 is owed (f falls below 1/4) and repaid by staying
   there, up to `DEEPEST`: a model that breaks for days must not silence the weeks after. What was not spent is not saved up beyond 4;
5. every event enters the ring, alerted or not: dropping the flagged ones truncates it, and the false-alarm rate runs away. Only what
   people have confirmed is taken out.

S is the median inter-quartile range at warm-up; from then on it follows how far the outer curves lie from what comes, r = max(q̂_.95 − y,
y − q̂_.25): S += (.658 r − S) / width. So a source that stood still while it warmed up, or that jumps by many times its usual spread, is
learned at its own pace, and S does not shrink before the curves have come back. With lr = γ = 0 curves, S and level are frozen, and
P(alert | normal, bin) ≤ ε for exchangeable events: the exact epoch. What is kept of an event is its hardness and score in single
precision.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from detectors.hardness.curves import LEVELS
from state.sorted_window import below

KNOTS = 6
CLAMP = 0.95  # the last knot's place among the recent hardness: whatever is harder is read there
LARGEST = 1e30  # hardness and scores are held within ± this: single precision keeps them
SPREAD_FLOOR = 0.05  # the inter-quartile range is taken as at least this share of S
LEAST_SPREAD = 1e-3  # S is at least this, a thousandth of the error; where it is no more, errors do not vary and the curves stay
LOWEST, HIGHEST = 0.25, 4.0  # between which the adapted level acts, as factors of ε
DEEPEST = -10.0  # debt is repaid within two thousand events at γ/ε = .1, whatever it was made of
REACH = 0.658  # inter-quartile range of a normal distribution in units of the mean of r, which is 2.05 standard deviations


@njit(cache=True)  # type: ignore[untyped-decorator]
def rank_from(values, low, high, value):  # type: ignore[no-untyped-def]
    """The first place in the ascending values[low:high] that holds at least `value`."""
    return low + below(values[low:high], high - low, value)


@njit(cache=True)  # type: ignore[untyped-decorator]
def rank_after(values, low, high, value):  # type: ignore[no-untyped-def]
    """The first place in the ascending values[low:high] that holds more than `value`."""
    while low < high:
        middle = (low + high) >> 1
        if values[middle] <= value:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True)  # type: ignore[untyped-decorator]
def put(values, place, held, value):  # type: ignore[no-untyped-def]
    """Insert before `place` among `held` values; there is room for one more."""
    part = values[place : held + 1]
    for i in range(len(part) - 1, 0, -1):
        part[i] = part[i - 1]
    part[0] = value


@njit(cache=True)  # type: ignore[untyped-decorator]
def take_out(values, place, held):  # type: ignore[no-untyped-def]
    """Close the gap that the value at `place` leaves among `held`."""
    part = values[place:held]
    for i in range(len(part) - 1):
        part[i] = part[i + 1]


@njit(cache=True)  # type: ignore[untyped-decorator]
def bin_of(edges, hardness):  # type: ignore[no-untyped-def]
    """The bin of a hardness: how many of the ascending edges it has reached."""
    found = 0
    while found < len(edges) and hardness >= edges[found]:
        found += 1
    return found


@njit(cache=True)  # type: ignore[untyped-decorator]
def read(knots, theta, hardness, quantiles, weights):  # type: ignore[no-untyped-def]
    """Write the four quantiles at a hardness, ascending; weights = [left knot, its share, the right one's]."""
    h = min(max(hardness, knots[0]), knots[-1])
    left = 0
    while left < len(knots) - 2 and knots[left + 1] <= h:
        left += 1
    gap = knots[left + 1] - knots[left]
    share = (h - knots[left]) / gap if gap > 0.0 else 0.0
    weights[0], weights[1], weights[2] = left, 1.0 - share, share
    for level in range(4):
        value = theta[level, left] * (1.0 - share) + theta[level, left + 1] * share
        place = level
        while place > 0 and quantiles[place - 1] > value:
            quantiles[place] = quantiles[place - 1]
            place -= 1
        quantiles[place] = value


@njit(cache=True)  # type: ignore[untyped-decorator]
def learn(theta, weights, y, step):  # type: ignore[no-untyped-def]
    """One step along the pinball loss's subgradient at an event with log error y; weights as `read` left them."""
    left = np.int64(weights[0])
    for level in range(4):
        curve = theta[level, left] * weights[1] + theta[level, left + 1] * weights[2]
        move = step * (LEVELS[level] - (1.0 if y < curve else 0.0))
        theta[level, left] += move * weights[1]
        theta[level, left + 1] += move * weights[2]


@njit(cache=True)  # type: ignore[untyped-decorator]
def spread_after(spread, quantiles, y, share):  # type: ignore[no-untyped-def]
    """S after an event with log error y at the four quantiles, the event being the `share` of what S remembers."""
    reach = max(quantiles[3] - y, y - quantiles[0])
    return max(spread + share * (REACH * reach - spread), LEAST_SPREAD)


@njit(cache=True)  # type: ignore[untyped-decorator]
def reedge(ring_h, ring_s, held, ordered, ordered_h, stops, edges, knots, theta):  # type: ignore[no-untyped-def]
    """Put edges and knots at quantiles of the ring's hardness, and its scores into their bins; the curves stay where they were."""
    n = stops[-1]
    for k in range(len(edges)):
        edges[k] = ordered_h[((k + 1) * n) // (len(edges) + 1)]
    moved = np.empty_like(knots)
    last = 0.0
    for j in range(len(knots)):
        place = min(n - 1, np.int64(CLAMP * j / (len(knots) - 1) * n))
        moved[j] = max(np.float64(ordered_h[place]), last) if j else np.float64(ordered_h[place])
        last = moved[j]
    if moved[-1] > moved[0]:
        scratch, weights = np.empty(4), np.empty(3)
        values = np.empty_like(theta)
        for j in range(len(knots)):
            read(knots, theta, moved[j], scratch, weights)
            values[:, j] = scratch
        theta[:] = values
        knots[:] = moved
    fill_bins(ring_h, ring_s, held, ordered, stops, edges)


@njit(cache=True)  # type: ignore[untyped-decorator]
def fill_bins(ring_h, ring_s, held, ordered, stops, edges):  # type: ignore[no-untyped-def]
    """Sort the ring's scores, bin by bin; what has been taken out of the ring is NaN there."""
    counts = np.zeros(len(stops), np.int64)
    for i in range(held):
        if ring_s[i] == ring_s[i]:
            counts[bin_of(edges, ring_h[i])] += 1
    total = 0
    for k in range(len(stops)):
        total += counts[k]
        stops[k] = total
        counts[k] = total - counts[k]
    for i in range(held):
        if ring_s[i] == ring_s[i]:
            k = bin_of(edges, ring_h[i])
            ordered[counts[k]] = ring_s[i]
            counts[k] += 1
    first = 0
    for k in range(len(stops)):
        ordered[first : stops[k]].sort()
        first = stops[k]


@njit(cache=True)  # type: ignore[untyped-decorator]
def forget(place, ring_h, ring_s, ordered, ordered_h, stops, edges):  # type: ignore[no-untyped-def]
    """Take the event at a place of the ring out of the ranks; nothing where it has been taken out already."""
    h, s = ring_h[place], ring_s[place]
    if s != s:
        return
    total = stops[-1]
    k = bin_of(edges, h)
    first = stops[k - 1] if k > 0 else 0
    take_out(ordered, rank_from(ordered, first, stops[k], s), total)
    take_out(ordered_h, rank_from(ordered_h, 0, total, h), total)
    for j in range(k, len(stops)):
        stops[j] -= 1


@njit(cache=True)  # type: ignore[untyped-decorator]
def as_high(ordered, stops, value):  # type: ignore[no-untyped-def]
    """How many scores of all bins are at least this, and how many are more."""
    found, more, first = 0, 0, 0
    for stop in stops:
        found += stop - rank_from(ordered, first, stop, value)
        more += stop - rank_after(ordered, first, stop, value)
        first = stop
    return found, more


@njit(cache=True)  # type: ignore[untyped-decorator]
def largest(ordered, stops, number):  # type: ignore[no-untyped-def]
    """The number-th largest score of all bins, number ≥ 1."""
    left = stops.copy()
    found = np.float32(0.0)
    for _ in range(number):
        best, first = -1, 0
        for k in range(len(stops)):
            if left[k] > first and (best < 0 or ordered[left[k] - 1] > found):
                best, found = k, ordered[left[k] - 1]
            first = stops[k]
        left[best] -= 1
    return found


@njit(cache=True)  # type: ignore[untyped-decorator]
def admit(place, h, s, ring_h, ring_s, ordered, ordered_h, stops, edges):  # type: ignore[no-untyped-def]
    """Put an event into a place of the ring, which is free, and into its ranks."""
    total = stops[-1]
    k = bin_of(edges, h)
    first = stops[k - 1] if k > 0 else 0
    put(ordered, rank_from(ordered, first, stops[k], s), total, s)
    put(ordered_h, rank_from(ordered_h, 0, total, h), total, h)
    ring_h[place], ring_s[place] = h, s
    for j in range(k, len(stops)):
        stops[j] += 1
