"""Block maxima of all sensors of a class in one pool, each in units of its own sensor: ranks for budgets that no single ring can serve.

A sensor's maxima are brought to z = (log m − median) / (IQR · (1 + 9/n)), median and inter-quartile range being those of log m over the n
blocks that its own ring holds; from n = 32 on, each block enters the pool of its sensor's class as it is before the ring has seen it, so
that what is in the pool and what is ranked among it have come about alike. A quartile of 32 blocks is a guess: without 9/n a sensor that
has just come would alarm 2 to 19 times as often as a fleet that is long there (level 5·10⁻⁵, maxima normal, Gumbel or Student's t₆ in the
logarithm), with it .6 to 2.5 times, from 64 blocks on .75 to 1.6 times.

p = (#{z_i ≥ z} + U) / (n + 1), U the block's own draw from (0, 1]: smoothed, so that the rate is kept for any n, and not only just where
(n + 1)·ε_b/2 is whole. What is promised is the fleet's mean: a sensor whose maxima have a longer tail than the others' has more of it.

A pool holds the last 32,768 blocks of a class within a partition (a level ε_b/2 of 3·10⁻⁵), and of each whose it is: 768 KiB.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.normal_model.ranking import smaller
from state.draws import BREAK_TIES_OF_BLOCKS, uniform
from state.sorted_window import push

MOST_POOLED = 32_768  # blocks
LEAST_OWN = 32  # blocks of a sensor from which on it has a median and quartiles to be measured by,
UNSURE = 9.0  # and by how much the quartiles are widened, over their number
LEAST_WIDTH = 1e-3  # inter-quartile range, a thousandth of the score: maxima that never vary
LEAST_SCORE = 1e-12  # whose logarithm is the least
FARTHEST = 1e6


@njit(cache=True)  # type: ignore[untyped-decorator]
def measure_of(maxima, n):  # type: ignore[no-untyped-def]
    """Median and widened inter-quartile range of the logarithms of n ascending maxima; a range of 0 where they are too few."""
    if n < LEAST_OWN:
        return 0.0, 0.0
    low, high = np.log(max(np.float64(maxima[n // 4]), LEAST_SCORE)), np.log(max(np.float64(maxima[3 * n // 4]), LEAST_SCORE))
    middle = np.log(max(np.float64(maxima[n // 2]), LEAST_SCORE))
    return middle, max(high - low, LEAST_WIDTH) * (1.0 + UNSURE / n)


@njit(cache=True)  # type: ignore[untyped-decorator]
def standardised(score, middle, width):  # type: ignore[no-untyped-def]
    """z of a score, in single precision, as the pool holds it."""
    z = (np.log(max(score, LEAST_SCORE)) - middle) / width
    return np.float32(min(max(z, -FARTHEST), FARTHEST))


@njit(cache=True)  # type: ignore[untyped-decorator]
def lot(key_hash, number, channel):  # type: ignore[no-untyped-def]
    """U in (0, 1] of a sensor's block."""
    return 1.0 - uniform(key_hash, 2 * number + channel, BREAK_TIES_OF_BLOCKS)


@njit(cache=True)  # type: ignore[untyped-decorator]
def pooled_p_value(ordered, count, n, z, drawn):  # type: ignore[no-untyped-def]
    """(#{z_i ≥ z} + U) / (n + 1) among `count` ascending ones, of which the uppermost count − n are set aside."""
    higher = count - smaller(ordered, 0, count, z)
    return (max(higher - (count - n), 0) + drawn) / (n + 1)


@njit(cache=True)  # type: ignore[untyped-decorator]
def pooled_threshold(ordered, n, level, drawn):  # type: ignore[no-untyped-def]
    """The greatest z that does not alert: as many are above it as p ≤ level leaves room for."""
    return np.float64(ordered[n - 1 - min(max(np.int64(level * (n + 1) - drawn), 0), n - 1)])


@njit(cache=True)  # type: ignore[untyped-decorator]
def enter_pool(ring, ordered, counts, names, name, shape, amplitude):  # type: ignore[no-untyped-def]
    """Let a block's two maxima into the pool of its class, in place of the oldest's where it is full."""
    names[counts[0, 1]] = name
    push(ring[0], ordered[0], counts[0], shape)
    push(ring[1], ordered[1], counts[1], amplitude)


@njit(cache=True)  # type: ignore[untyped-decorator]
def name_of(key_hash, number):  # type: ignore[no-untyped-def]
    """A block's name: half of its sensor's hash, and the lower half of its number."""
    return (key_hash << np.uint64(32)) | (np.uint64(number) & np.uint64(0xFFFFFFFF))


class Pools:
    """The pools of a partition, one a class of sensors (the first: those without one).

    Attributes
    ----------
    ring, ordered
        Shape (classes, 2 channels, MOST_POOLED), float32: in order of time, and in order of size.
    counts
        Shape (classes, 2, 2): how many there are, and the place of the next.
    names
        Shape (classes, MOST_POOLED), uint64: whose block stands at a place of the ring.
    """

    def __init__(self, classes: int) -> None:
        self.ring = np.zeros((classes, 2, MOST_POOLED), np.float32)  # memory comes when it is written to
        self.ordered = np.zeros_like(self.ring)
        self.counts = np.zeros((classes, 2, 2), np.int64)
        self.names = np.zeros((classes, MOST_POOLED), np.uint64)

    def leave_out(self, kind: int, key_hash: int, first: int, last: int) -> None:
        """Take a sensor's blocks first … last out."""
        count = int(self.counts[kind, 0, 0])
        values, names = self._unrolled(kind)
        number = names & np.uint64(0xFFFFFFFF)
        gone = (names >> np.uint64(32) == key_hash & 0xFFFFFFFF) & (number >= max(first, 0)) & (number <= max(last, 0))
        if count and gone.any():
            self._lay_out(kind, values[:, ~gone], names[~gone])

    def freeze(self) -> dict[str, NDArray[np.generic]]:
        """From the oldest block to the latest, class after class."""
        parts = [self._unrolled(kind) for kind in range(len(self.counts))]
        return {
            "pooled": np.concatenate([values.ravel() for values, _ in parts]),
            "pooled_names": np.concatenate([names for _, names in parts]),
            "pooled_counts": self.counts[:, 0, 0].copy(),
        }

    @classmethod
    def thaw(cls, values: NDArray[np.float32], names: NDArray[np.uint64], counts: NDArray[np.int64]) -> Pools:
        """The pools of a frozen state."""
        pools, first = cls(len(counts)), 0
        for kind, count in enumerate(counts.tolist()):
            pools._lay_out(kind, values[2 * first : 2 * (first + count)].reshape(2, count), names[first : first + count])
            first += count
        return pools

    def _unrolled(self, kind: int) -> tuple[NDArray[np.float32], NDArray[np.uint64]]:
        count, place = self.counts[kind, 0].tolist()
        turned = -place if count == MOST_POOLED else 0
        return np.roll(self.ring[kind, :, :count], turned, axis=1), np.roll(self.names[kind, :count], turned)

    def _lay_out(self, kind: int, values: NDArray[np.float32], names: NDArray[np.uint64]) -> None:
        count = len(names)
        self.ring[kind, :, :count], self.ordered[kind, :, :count] = values, np.sort(values, axis=1)
        self.names[kind, :count], self.counts[kind] = names, (count, count % MOST_POOLED)
