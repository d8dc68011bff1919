"""The last m values in order of arrival and in order of size: ranks and order statistics of a sliding window.

A ring remembers which value leaves next; a sorted array answers "how many are at least this". A search is O(log m), a turn moves at
most m values by one place (m ≤ a few thousand: memory that stays in the first cache).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)  # type: ignore[untyped-decorator]
def below(ordered, count, value):  # type: ignore[no-untyped-def]
    """How many of the first `count` sorted values are less than `value`: also the place of the first that is not."""
    low, high = 0, count
    while low < high:
        middle = (low + high) >> 1
        if ordered[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True)  # type: ignore[untyped-decorator]
def push(ring, ordered, counts, value):  # type: ignore[no-untyped-def]
    """Take in a value that is not NaN; where the ring is full the oldest leaves. counts = [held, place of the next in the ring]."""
    value = value + 0.0  # −0.0 becomes 0.0: equal values must be equal to the bit, or a thawed window could show the other one
    held, place = counts[0], counts[1]
    if held < len(ring):
        hole = held
        counts[0] = held + 1
    else:
        hole = below(ordered, held, ring[place])
    target = below(ordered, held, value)
    if target > hole:
        target -= 1
        part = ordered[hole : target + 1]  # a view whose indices begin at 0: the compiler moves several at a time
        for i in range(len(part) - 1):
            part[i] = part[i + 1]
    else:
        part = ordered[target : hole + 1]
        for i in range(len(part) - 1, 0, -1):
            part[i] = part[i - 1]
    ordered[target] = value
    ring[place] = value
    counts[1] = place + 1 if place + 1 < len(ring) else 0


class SortedWindow:
    """The last `size` values.

    >>> window = SortedWindow(3)
    >>> for value in (5.0, 1.0, 3.0, 2.0):
    ...     window.push(value)
    >>> window.values().tolist(), window.at_least(2.5), len(window)
    ([1.0, 3.0, 2.0], 1, 3)
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"size = {size}: a window must hold at least one value")
        self.ring = np.zeros(size)
        self.ordered = np.zeros(size)
        self.counts = np.zeros(2, np.int64)

    def __len__(self) -> int:
        return int(self.counts[0])

    def push(self, value: float) -> None:
        """Take in a value; where the window is full the oldest leaves."""
        if np.isnan(value):
            raise ValueError("NaN has no place in an order")
        push(self.ring, self.ordered, self.counts, float(value))

    def at_least(self, value: float) -> int:
        """How many of the values are ≥ `value`."""
        return len(self) - int(below(self.ordered, len(self), float(value)))

    def values(self) -> NDArray[np.float64]:
        """The values from the oldest to the newest: the canonical form of the window."""
        if len(self) < len(self.ring):
            return self.ring[: len(self)].copy()
        return np.roll(self.ring, -int(self.counts[1]))

    def freeze(self) -> dict[str, NDArray[np.float64]]:
        """The values from the oldest to the newest."""
        return {"values": self.values()}

    @classmethod
    def thaw(cls, frozen: dict[str, NDArray[np.float64]], size: int) -> SortedWindow:
        """The window of a frozen state; of more than `size` values the newest stay."""
        window = cls(size)
        values = frozen["values"].astype(np.float64)[-size:]
        window.ring[: len(values)] = values
        window.ordered[: len(values)] = np.sort(values)
        window.counts[:] = len(values), len(values) % size
        return window
