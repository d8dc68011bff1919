"""NAB's own scoring, standard profile: Lavin and Ahmad, *Evaluating Real-time Anomaly Detection Algorithms*, ICMLA 2015; NAB's sweeper.py.

Within a labelled window only the best detection counts, the earlier the better; a false one costs the more, the longer the last window
is over; a window without a detection costs 1. One threshold serves all streams: the one with which the whole scores best.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TRUE, FALSE, MISSED = 1.0, 0.11, 1.0  # weights of the standard profile
PROBATION = 0.15  # of a stream, of 5,000 readings at most: not judged


@dataclass(frozen=True)
class Scored:
    """Scores of a stream, larger is stranger, NaN where there is none, and its windows (first, last reading), both shape-checked by use."""

    score: NDArray[np.float64]
    windows: Sequence[tuple[int, int]]


def sigmoid(position: float) -> float:
    """The scaled sigmoid 2 / (1 + e^5y) − 1: 1 far before a window's end, 0 at it, −1 from three windows behind it."""
    return -1.0 if position > 3.0 else 2.0 / (1.0 + math.exp(5.0 * position)) - 1.0


def probation(readings: int) -> int:
    return min(math.floor(PROBATION * readings), int(PROBATION * 5000))


def weights(readings: int, windows: Sequence[tuple[int, int]]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What a detection at each reading is worth, and the number of the window it lies in (−1: outside, −2: probation)."""
    worth, place = np.full(readings, -FALSE), np.full(readings, -1)
    for number, (first, last) in enumerate(windows):
        width = last - first + 1
        for i in range(first, last + 1):
            worth[i] = TRUE * sigmoid(-(last - i + 1) / width) / sigmoid(-1.0)
            place[i] = number
        until = windows[number + 1][0] if number + 1 < len(windows) else readings
        for i in range(last + 1, until):
            worth[i] = FALSE * sigmoid((i - last) / max(width - 1, 1))
    place[: probation(readings)] = -2
    return worth, place


def benchmark(streams: Sequence[Scored]) -> tuple[float, float]:
    """Return the score, 0 for silence and 100 for perfection, and the threshold that it takes (a reading alarms from there on)."""
    every: list[tuple[float, float, int]] = []  # score, worth, window counted over all streams
    number = 0
    for stream in streams:
        worth, place = weights(len(stream.score), stream.windows)
        judged = np.flatnonzero((place > -2) & ~np.isnan(stream.score))
        every += [(float(stream.score[i]), float(worth[i]), number + int(place[i]) if place[i] >= 0 else -1) for i in judged]
        number += len(stream.windows)
    every.sort(key=lambda reading: -reading[0])
    silence, perfection = -MISSED * number, TRUE * number
    best, threshold, total = silence, math.inf, silence
    caught = [-MISSED] * number
    for i, (score, worth, window) in enumerate(every):
        if window < 0:
            total += worth
        elif worth > caught[window]:
            total += worth - caught[window]
            caught[window] = worth
        if (i + 1 == len(every) or every[i + 1][0] < score) and total > best:
            best, threshold = total, score
    return 100.0 * (best - silence) / (perfection - silence) if number else 0.0, threshold
