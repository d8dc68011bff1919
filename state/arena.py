"""An arena: one growing array from which keys take blocks of their own length (rings, histories, centroids).

Blocks come in size classes of 8 · 2ᶜ elements. A released block goes on its class's free list, whose links stand in the blocks
themselves. Where a block lies is an accident of history: frozen states hold contents only, in the order of their keys.

`allocate` and `release` are kernels: an event in the middle of a batch may need a longer ring. `allocate` returns −1 when the
array itself is used up; the kernel that asked then stops before that event, Python calls `Arena.grow`, and the kernel goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from state.words import in_lines

SMALLEST = 8
CLASSES = 32
NO_ROOM = -1


@njit(cache=True)  # type: ignore[untyped-decorator]
def size_class(length):  # type: ignore[no-untyped-def]
    """The smallest class c with 8 · 2ᶜ ≥ length."""
    c = 0
    while (SMALLEST << c) < length:
        c += 1
    return c


@njit(cache=True)  # type: ignore[untyped-decorator]
def block_size(length):  # type: ignore[no-untyped-def]
    """How many elements a block for `length` elements really has."""
    return SMALLEST << size_class(length)


@njit(cache=True)  # type: ignore[untyped-decorator]
def allocate(data, header, length):  # type: ignore[no-untyped-def]
    """Return the start of a block for `length` elements, NO_ROOM if the arena must grow first. The contents are arbitrary."""
    c = size_class(length)
    start = header[1 + c]
    if start >= 0:
        header[1 + c] = np.int64(data[start])
        return start
    start = header[0]
    if start + (SMALLEST << c) > len(data):
        return NO_ROOM
    header[0] = start + (SMALLEST << c)
    return start


@njit(cache=True)  # type: ignore[untyped-decorator]
def release(data, header, start, length):  # type: ignore[no-untyped-def]
    """Give back a block that was allocated for `length` elements."""
    c = size_class(length)
    data[start] = header[1 + c]
    header[1 + c] = start


class Arena:
    """One array of int64 or float64 (`dtype`) and the bookkeeping of its blocks.

    float32 is for arenas whose blocks are all of one size class: links are starts of blocks, and only multiples of a block's size have
    so few digits that single precision keeps them.

    `header[0]` is the first element never used, `header[1 + c]` the first free block of class c (−1: none).
    """

    def __init__(self, dtype: type[np.int64] | type[np.float64] | type[np.float32] = np.float64, elements: int = 1024) -> None:
        self.data: NDArray[Any] = in_lines((elements,), dtype)
        self.header = np.full(1 + CLASSES, -1, np.int64)
        self.header[0] = 0

    def grow(self, room: int = 0) -> None:
        """At least double the array, and have at least `room` elements never used."""
        size = max(2 * len(self.data), int(self.header[0]) + 2 * room)
        grown = in_lines((size,), self.data.dtype)
        grown[: len(self.data)] = self.data
        self.data = grown

    def allocate(self, length: int) -> int:
        """Like the kernel, from Python: grows when it must."""
        start = int(allocate(self.data, self.header, length))
        if start == NO_ROOM:
            self.grow(int(block_size(length)))
            start = int(allocate(self.data, self.header, length))
        return start

    def release(self, start: int, length: int) -> None:
        release(self.data, self.header, start, length)

    def store(self, values: NDArray[Any]) -> int:
        """Allocate a block for these values and copy them in; return its start."""
        start = self.allocate(len(values))
        self.data[start : start + len(values)] = values
        return start

    def gather(self, starts: Sequence[int] | NDArray[np.int64], lengths: Sequence[int] | NDArray[np.int64]) -> NDArray[Any]:
        """The contents of these blocks, one after another: what a frozen state holds of an arena."""
        parts = [self.data[a : a + n] for a, n in zip(starts, lengths, strict=True) if n > 0]
        return np.concatenate(parts) if parts else np.zeros(0, self.data.dtype)

    def scatter(self, values: NDArray[Any], lengths: NDArray[np.int64], sizes: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Store gathered contents again; return the blocks' starts (−1 where the length is 0 and no size is asked for).

        `sizes`, if given, is how long each block must be able to become (at least its length).
        """
        starts = np.full(len(lengths), -1, np.int64)
        place = 0
        for row, length in enumerate(lengths.tolist()):
            size = length if sizes is None else max(length, int(sizes[row]))
            if size > 0:
                starts[row] = self.allocate(size)
                self.data[starts[row] : starts[row] + length] = values[place : place + length]
            place += length
        return starts
