"""A slab: arrays with a row per slot, grown and cleared together."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from state.snapshot import Later
from state.words import in_lines


class Slab:
    """Named arrays of shape (capacity, …): row `slot` is what one key has.

    Built from the value that a fresh row holds, which gives each array its dtype and the shape of a row:

    >>> slab = Slab(seen=np.int64(0), mean=np.float64(np.nan), digits=np.zeros(9, np.int64))
    >>> slab.fit(4)
    >>> slab["digits"].shape
    (4, 9)
    """

    def __init__(self, **fresh: Any) -> None:
        self._fresh = {name: np.asarray(value) for name, value in fresh.items()}
        self._columns = {name: np.empty((0, *value.shape), value.dtype) for name, value in self._fresh.items()}
        self.capacity = 0

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._columns[name]

    def fit(self, capacity: int) -> None:
        """Have at least `capacity` rows; new rows are fresh."""
        if capacity <= self.capacity:
            return
        for name, fresh in self._fresh.items():
            grown = in_lines((capacity, *fresh.shape), fresh.dtype)
            grown[: self.capacity] = self._columns[name]
            grown[self.capacity :] = fresh
            self._columns[name] = grown
        self.capacity = capacity

    def clear(self, slots: NDArray[np.int64]) -> None:
        """Make these rows fresh again."""
        for name, fresh in self._fresh.items():
            self._columns[name][slots] = fresh

    def freeze(self, order: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """The rows of these slots, in this order (`KeyIndex.order()` for the canonical form)."""
        return {name: column[order] for name, column in self._columns.items()}

    def later(self, order: NDArray[np.int64]) -> dict[str, Later]:
        """The same, made when it is written."""
        return {
            name: Later.of_rows(column.dtype, (len(order), *column.shape[1:]), order, partial(np.take, column, axis=0))
            for name, column in self._columns.items()
        }

    def thaw(self, frozen: Mapping[str, NDArray[Any]]) -> None:
        """Take frozen rows as the rows 0 … n − 1; all others are fresh. An array that fits as it is becomes the slab's own."""
        missing = set(self._fresh) ^ set(frozen)
        if missing:
            raise ValueError(f"the frozen state and this build differ in the columns {sorted(missing)}")
        rows = len(next(iter(frozen.values()), ()))
        self.capacity = max(self.capacity, rows)
        for name, fresh in self._fresh.items():
            column = frozen[name]
            own = column.flags.owndata and column.flags.c_contiguous and column.flags.writeable and column.dtype == fresh.dtype
            if not own or len(column) != self.capacity or column.shape[1:] != fresh.shape:
                column = np.empty((self.capacity, *fresh.shape), fresh.dtype)
                column[:rows] = frozen[name]
                column[rows:] = fresh
            self._columns[name] = column
