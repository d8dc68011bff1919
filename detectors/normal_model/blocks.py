"""Budgets in a person's units: a reading's score ranked among the maxima of the sensor's own earlier blocks.

A block is a unit of b = ℓ_NM readings, every one of them judged. F false alarms a sensor-day leave each block, of readings Δ seconds
apart, the chance ε_b = 1 − exp(−F·b·Δ/86,400). A reading alerts if p ≤ ε_b / 2 (the two channels, shape and amplitude, have half
each), p = (1 + #{maxima ≥ score}) / (n + 1), where the maxima are those of the latest n = ⌈2/ε_b⌉ − 1 blocks and stand still until a
block ends. So a block alerts if and only if its own maximum is above all of them, and for exchangeable blocks the chance is 1/(n + 1):
ε_b / 2, or less by no more than one part in n. No draw is needed to make it exact, as it is where n is whatever there happens to be
(⌊(n + 1)·ε_b/2⌋/(n + 1), a half of what was asked for just before the next step); and no more history is looked at than the budget
asks for, since sensors drift: among all its earlier blocks, 805 has three times as many beyond as it should.

Where there are fewer blocks, the rank among the blocks of all sensors of the class decides, each in units of its own sensor (`pool`). Where
these are too few, too, a generalised Pareto tail of the uppermost tenth (at least 50 of at least 500 blocks) reaches one decade
below 1/n, by probability-weighted moments (Hosking and Wallis, 1987): approximate. Where that does not reach either, the paper's own
rule decides (`ranking`).

The ring: per channel the maxima of the last 1,024 blocks, ascending, float32, and beside each the number of its block, uint32; half an
element of the arena each, 16 KiB in all.

A fault that stays gains evidence without any tail: e = ½·p^(−1/2) of a block's maximum among the latest 64 has mean 1 at most, and the
products E ← max(E, 1)·e start wherever the evidence did. The mean time until they reach c is c blocks at least (an e-detector: Shin,
Ramdas and Rinaldo, 2024), so at c = 200/ε_b an alarm is critical about a hundredth as often as the channel alarms.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from detectors.normal_model.conditioning import LENGTH as MOMENTS
from detectors.normal_model.pool import measure_of
from detectors.normal_model.ranking import smaller

MOST_BLOCKS = 1024  # of a ring: 16 KiB with both channels
FIRST_BLOCKS = 64  # for which there is room at first; it doubles
TAIL_BLOCKS = 500  # blocks from which on a tail is fitted,
TAIL_SHARE = 10  # one in so many of them,
TAIL_REACH = 10.0  # and trusted down to a p-value of 1/n over this
MICROSECONDS_A_DAY = 86_400e6
EVIDENCE_BLOCKS = 64  # that evidence is ranked among: no budget's, so that the state knows none
LARGEST_EVIDENCE = 1e12

PAPER, OWN, TAIL, POOLED = range(4)  # what decides: the paper's rule, the rank, the tail, the rank among all sensors of the class

# Of a sensor, at the end of its live block: the maxima of the block so far, the evidence of those before it, the tails (scale 0: none
# is fitted), and what its maxima are measured by in a pool (width 0: they are too few), a pair for the channels each; at last how its
# distances hang together with hardness (`conditioning`).
MAXIMUM, EVIDENCE, TAIL_SHAPE, TAIL_SCALE, MIDDLE, WIDTH, CONDITIONING = 0, 2, 4, 6, 8, 10, 12
BLOCK_HEAD = CONDITIONING + MOMENTS


@njit(cache=True)  # type: ignore[untyped-decorator]
def block_level(false_alarms, readings, interval):  # type: ignore[no-untyped-def]
    """ε_b of a block of so many readings, `interval` microseconds apart, at so many false alarms a day."""
    return -np.expm1(-false_alarms * readings * interval / MICROSECONDS_A_DAY)


@njit(cache=True)  # type: ignore[untyped-decorator]
def maxima_of(data, ring, room, channel):  # type: ignore[no-untyped-def]
    """The maxima of a channel, ascending, as a view of the arena; only as many as the sensor has blocks mean anything."""
    return data[ring + channel * room : ring + channel * room + room // 2].view(np.float32)


@njit(cache=True)  # type: ignore[untyped-decorator]
def numbers_of(data, ring, room, channel):  # type: ignore[no-untyped-def]
    """The numbers of the blocks whose maxima these are."""
    return data[ring + channel * room + room // 2 : ring + (channel + 1) * room].view(np.uint32)


@njit(cache=True)  # type: ignore[untyped-decorator]
def ranked_of(count, share):  # type: ignore[no-untyped-def]
    """How many of the maxima scores are ranked among: the uppermost, as many as anomalies are expected, are set aside."""
    return count - np.int64(share * count)


@njit(cache=True)  # type: ignore[untyped-decorator]
def wanted_of(level, share):  # type: ignore[no-untyped-def]
    """How many of the latest blocks a channel's level asks for: ⌈1/level⌉ − 1 beside those set aside."""
    return np.int64(np.ceil(max(np.ceil(1.0 / level) - 1.0, 1.0) / (1.0 - share)))


@njit(cache=True)  # type: ignore[untyped-decorator]
def basis_of(count, level, share, scale, width, pooled):  # type: ignore[no-untyped-def]
    """What the maxima of so many blocks, and of so many in the pool of the class, can promise at this level of a channel."""
    if MOST_BLOCKS * level >= 1.0 - level and count >= wanted_of(level, share):
        return OWN
    if width > 0.0 and (ranked_of(pooled, share) + 1) * level >= 1.0:
        return POOLED
    n = ranked_of(count, share)
    return TAIL if n >= TAIL_BLOCKS and scale > 0.0 and TAIL_REACH * n * level >= 1.0 else PAPER


@njit(cache=True)  # type: ignore[untyped-decorator]
def later(numbers, count, first):  # type: ignore[no-untyped-def]
    """How many of the blocks are `first` or later."""
    many, cut = 0, np.uint32(max(first, 0))
    for number in numbers[:count]:
        many += number >= cut
    return many


@njit(cache=True)  # type: ignore[untyped-decorator]
def since(numbers, count, many):  # type: ignore[no-untyped-def]
    """The number from which on blocks are the latest `many`; 0 where there are no more."""
    if count <= many:
        return 0
    high = np.int64(0)
    for number in numbers[:count]:
        high = max(high, np.int64(number) + 1)
    low = high - many  # it is this one unless blocks are missing
    while later(numbers, count, low) < many:
        high, low = low, low - (high - low)
    while high - low > 1:
        middle = (low + high) // 2
        if later(numbers, count, middle) >= many:
            low = middle
        else:
            high = middle
    return max(low, 0)


@njit(cache=True)  # type: ignore[untyped-decorator]
def as_high(maxima, numbers, count, first, score, known):  # type: ignore[no-untyped-def]
    """How many maxima of the blocks from `first` on are at least the score.

    `known` = [a place in the ring, how many from there on are of those blocks] of an earlier score, [count, 0] of none: scores move little
    from reading to reading, so little is counted again.
    """
    place = smaller(maxima, 0, count, np.float32(score))
    many, cut = known[1], np.uint32(first)
    for number in numbers[place : known[0]]:
        many += number >= cut
    for number in numbers[known[0] : place]:
        many -= number >= cut
    known[0], known[1] = place, many
    return many


@njit(cache=True)  # type: ignore[untyped-decorator]
def rank_p_value(higher, count, share):  # type: ignore[no-untyped-def]
    """(1 + #{maxima ≥ score}) / (n + 1), the uppermost of the `count` set aside."""
    n = ranked_of(count, share)
    return (1 + max(higher - (count - n), 0)) / (n + 1)


@njit(cache=True)  # type: ignore[untyped-decorator]
def rank_threshold(maxima, numbers, count, first, aside):  # type: ignore[no-untyped-def]
    """The greatest maximum of the blocks from `first` on, those set aside passed over: what alerts is above it."""
    for i in range(count - 1, -1, -1):
        if numbers[i] >= first:
            if aside == 0:
                return np.float64(maxima[i])
            aside -= 1
    return np.inf


@njit(cache=True)  # type: ignore[untyped-decorator]
def fit_tail(maxima, n):  # type: ignore[no-untyped-def]
    """Return shape ξ and scale σ of a generalised Pareto distribution of the excesses of the uppermost tenth; σ = 0 where there is none.

    With a₀ their mean and a₁ that of excess · (1 − F): ξ = 2 − a₀/(a₀ − 2a₁), σ = 2a₀a₁/(a₀ − 2a₁).
    """
    many = n // TAIL_SHARE
    if n < TAIL_BLOCKS:
        return 0.0, 0.0
    start = np.float64(maxima[n - many - 1])
    a0, a1 = 0.0, 0.0
    for i in range(many):
        excess = np.float64(maxima[n - many + i]) - start
        a0 += excess
        a1 += excess * (many - 1 - i) / (many - 1)
    a0, a1 = a0 / many, a1 / many
    if a0 - 2.0 * a1 <= 1e-9 * a0:  # all alike, or so nearly that nothing follows from them
        return 0.0, 0.0
    return 2.0 - a0 / (a0 - 2.0 * a1), 2.0 * a0 * a1 / (a0 - 2.0 * a1)


@njit(cache=True)  # type: ignore[untyped-decorator]
def tail_p_value(maxima, n, score, shape, scale):  # type: ignore[no-untyped-def]
    """The chance of a maximum above the score by the tail, where the score is in it; never below a tenth of 1/n."""
    many = n // TAIL_SHARE
    excess = score - np.float64(maxima[n - many - 1])
    if excess <= 0.0:
        return (1 + n - smaller(maxima, 0, n, np.float32(score))) / (n + 1)
    if abs(shape) < 1e-9:
        beyond = np.exp(-excess / scale)
    else:
        beyond = max(1.0 + shape * excess / scale, 0.0) ** (-1.0 / shape)
    return max(beyond * many / n, 1.0 / (TAIL_REACH * n))


@njit(cache=True)  # type: ignore[untyped-decorator]
def tail_threshold(maxima, n, level, shape, scale):  # type: ignore[no-untyped-def]
    """The score from which on `tail_p_value` is at most `level`, itself within the tail."""
    many = n // TAIL_SHARE
    times = -np.log(level * n / many)
    return np.float64(maxima[n - many - 1]) + (scale * times if abs(shape) < 1e-9 else scale * np.expm1(shape * times) / shape)


@njit(cache=True)  # type: ignore[untyped-decorator]
def gained(evidence, p):  # type: ignore[no-untyped-def]
    """E after a block with this p-value."""
    return min(max(evidence, 1.0) * 0.5 / np.sqrt(p), LARGEST_EVIDENCE)


@njit(cache=True)  # type: ignore[untyped-decorator]
def enter(data, ring, room, count, number, head):  # type: ignore[no-untyped-def]
    """Enter a block's maxima, in place of the oldest block's where the ring is full; return how many there are now."""
    for channel in range(2):
        maxima, numbers = maxima_of(data, ring, room, channel), numbers_of(data, ring, room, channel)
        held = count
        if count == MOST_BLOCKS:
            oldest = 0
            for i in range(count):
                if numbers[i] < numbers[oldest]:
                    oldest = i
            for i in range(oldest, count - 1):
                maxima[i], numbers[i] = maxima[i + 1], numbers[i + 1]
            held = count - 1
        x = np.float32(data[head + MAXIMUM + channel])
        place = smaller(maxima, 0, held, x)
        for i in range(held, place, -1):
            maxima[i], numbers[i] = maxima[i - 1], numbers[i - 1]
        maxima[place], numbers[place] = x, np.uint32(number)
    return min(count + 1, MOST_BLOCKS)


@njit(cache=True)  # type: ignore[untyped-decorator]
def leave_out(data, ring, room, count, first, last):  # type: ignore[no-untyped-def]
    """Take the blocks first … last out of the ring; return how many there are now."""
    kept = count
    for channel in range(2):
        maxima, numbers = maxima_of(data, ring, room, channel), numbers_of(data, ring, room, channel)
        kept = 0
        for i in range(count):
            if numbers[i] < first or numbers[i] > last:
                maxima[kept], numbers[kept] = maxima[i], numbers[i]
                kept += 1
    return kept


@njit(cache=True)  # type: ignore[untyped-decorator]
def describe_ring(data, ring, room, n, head):  # type: ignore[no-untyped-def]
    """Fit both channels' tails anew, and find what a pool measures their maxima by."""
    for channel in range(2):
        maxima = maxima_of(data, ring, room, channel)
        data[head + TAIL_SHAPE + channel], data[head + TAIL_SCALE + channel] = fit_tail(maxima, n)
        data[head + MIDDLE + channel], data[head + WIDTH + channel] = measure_of(maxima, n)
