"""Where an employee's numbers stand: one row of eight-byte words, so that a posting finds them side by side in memory.

Whole numbers and floats share the row, seen through two views of the same memory. What every posting touches comes first, in the order
in which the fold goes through it; the amounts remembered and the postings that drive a place, of which a posting touches a word or two,
come last. A row takes 6 KiB at 256 remembered amounts.

    counts 29 · hits 11 · expected 11 · late 22 · window 18 · closed 3 · pad 2 · bets 11 × 12 · marks · recent · drivers 11 × 5 × 4 · pad
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.benford.lanes import BETS, LANES
from detectors.benford.repeats import mark_of
from detectors.benford.years import NO_YEAR

PLACES = 11  # the nine digits, the band, repeated amounts
BAND_PLACE, REPEATS_PLACE = 9, 10
DIGITS, ONSET, BAND_TEST, REPEATS_TEST, PERIOD_TEST = range(5)
NO_LIMIT = -1

# Columns of an employee's whole numbers. OWN_… are what `employee.limits` says of him; they are kept elsewhere and put here.
(
    POSTINGS, YEAR, PERIOD, CLOSED, UNIT, DISTINCT, BAND_TRIALS, TRIALS, HEAD, LEFT_OUT, LIMIT_LOW, LIMIT_HIGH, APPROVAL, FIRST_AT, LAST_AT,
    WINDOW, YEAR_DISTINCT,
) = range(17)  # fmt: skip
ALARMED, RESTARTS = 17, 22  # of each test, five each
COUNTS = 27  # so many are frozen
OWN_LIMIT, OWN_APPROVAL = 27, 28

# Where the rest begins. `late` holds decayed numbers: the digits' counts (9) and what was expected (9), Σ w, Σ w², the band's count and
# what was expected of it. `bets` are evidence and onset of each place (`evidence`). `marks` are two bytes of each amount remembered.
HITS, EXPECTED, LATE, WINDOW_COUNTS, CLOSED_E, BETS_AT, MARKS = 29, 40, 51, 73, 91, 96, 96 + PLACES * LANES
LATE_WEIGHT, LATE_SQUARES, LATE_BAND, LATE_BAND_EXPECTED = range(18, 22)
MARKS_A_WORD = 4
DRIVERS = 5  # postings remembered of each place
ENTRY = 5  # numbers of a posting: amount, the employee's own number of it, event time, 2 · partition + upstream, offset
_PACKED = 4  # words of it: the second and the fourth share one
_LINE = 8  # words of a cache line


@njit(cache=True)  # type: ignore[untyped-decorator]
def recent_at(distinct):  # type: ignore[no-untyped-def]
    """Return the column at which the amounts remembered begin."""
    return MARKS + (distinct + MARKS_A_WORD - 1) // MARKS_A_WORD


@njit(cache=True)  # type: ignore[untyped-decorator]
def driver_at(distinct, place, posting):  # type: ignore[no-untyped-def]
    """Return the column at which the place's posting number `posting` (from 0) is remembered, in place of an older one."""
    return recent_at(distinct) + distinct + _PACKED * (place * DRIVERS + posting % DRIVERS)


@njit(cache=True)  # type: ignore[untyped-decorator]
def remember_driver(whole, column, amount, number, at, record, offset):  # type: ignore[no-untyped-def]
    """Write a posting down at a column of `driver_at`."""
    whole[column], whole[column + 1], whole[column + 2] = amount, at, offset
    whole[column + 3] = ((number & 0xFFFFFFFF) << 32) | (record & 0xFFFFFFFF)


@njit(cache=True)  # type: ignore[untyped-decorator]
def drivers_of(whole, distinct, place, out):  # type: ignore[no-untyped-def]
    """Put the postings remembered of a place into `out`, ENTRY numbers each, the oldest first; return how many there are."""
    many = 0
    for k in range(DRIVERS):
        column = driver_at(distinct, place, whole[HITS + place] + k)
        if whole[column] > 0:
            shared = whole[column + 3]
            out[many * ENTRY], out[many * ENTRY + 1], out[many * ENTRY + 2] = whole[column], (shared >> 32) & 0xFFFFFFFF, whole[column + 1]
            out[many * ENTRY + 3], out[many * ENTRY + 4] = shared & 0xFFFFFFFF, whole[column + 2]
            many += 1
    return many


class Rows:
    """A row per slot, as `whole` numbers (int64) and as `real` ones (float64): shape (capacity, width), in one piece.

    By name each part is an array with a row per slot, a view of the same memory:

    >>> rows = Rows(256)
    >>> rows.fit(4)
    >>> rows["hits"].shape, rows["evidence"].shape, rows.whole[0].nbytes
    ((4, 11), (4, 6, 11), 6144)
    """

    def __init__(self, distinct: int) -> None:
        self.distinct = distinct
        width = recent_at(distinct) + distinct + PLACES * DRIVERS * _PACKED
        self._fresh = np.zeros(-(-width // _LINE) * _LINE, np.int64)
        self._fresh[[LIMIT_LOW, LIMIT_HIGH, APPROVAL, OWN_LIMIT, OWN_APPROVAL]] = NO_LIMIT
        self._fresh[[YEAR, PERIOD, CLOSED, UNIT]] = NO_YEAR
        self._fresh[ALARMED : ALARMED + 5] = NO_YEAR
        self._fresh.view(np.float64)[BETS_AT:MARKS].reshape(PLACES, LANES)[:, :BETS] = 1.0
        self.capacity = 0
        self.whole: NDArray[np.int64] = np.empty((0, len(self._fresh)), np.int64)
        self.real: NDArray[np.float64] = self.whole.view(np.float64)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._parts(self.whole)[name]

    def fit(self, capacity: int) -> None:
        """Have at least `capacity` rows; new rows are fresh."""
        if capacity <= self.capacity:
            return
        width = len(self._fresh)
        memory = np.empty(capacity * width + _LINE, np.int64)
        first = -(memory.ctypes.data // 8) % _LINE  # a row begins where a cache line does
        grown = memory[first : first + capacity * width].reshape(capacity, width)
        grown[: self.capacity], grown[self.capacity :] = self.whole, self._fresh
        self.whole, self.real, self.capacity = grown, grown.view(np.float64), capacity

    def clear(self, slots: NDArray[np.int64]) -> None:
        """Make these rows fresh again."""
        self.whole[slots] = self._fresh

    def freeze(self, order: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """The rows of these slots, in this order, part by part."""
        frozen = {name: np.ascontiguousarray(part) for name, part in self._parts(self.whole[order]).items()}
        packed = frozen["drivers"]
        drivers = np.zeros((*packed.shape[:3], ENTRY), np.int64)
        drivers[..., 0], drivers[..., 1], drivers[..., 2] = packed[..., 0], (packed[..., 3] >> 32) & 0xFFFFFFFF, packed[..., 1]
        drivers[..., 3], drivers[..., 4] = packed[..., 3] & 0xFFFFFFFF, packed[..., 2]
        return frozen | {"drivers": drivers}

    def thaw(self, frozen: Mapping[str, NDArray[Any]]) -> None:
        """Take frozen rows as the rows 0 … n − 1; all others are fresh."""
        missing = set(self._parts(self.whole)) ^ set(frozen)
        if missing:
            raise ValueError(f"the frozen state and this build differ in the columns {sorted(missing)}")
        many = len(frozen["counts"])
        self.fit(many)
        self.whole[:] = self._fresh
        parts = self._parts(self.whole)
        for name, part in frozen.items():
            if name != "drivers":
                parts[name][:many] = part
        drivers = frozen["drivers"]
        parts["drivers"][:many, ..., 0], parts["drivers"][:many, ..., 1] = drivers[..., 0], drivers[..., 2]
        parts["drivers"][:many, ..., 2], parts["drivers"][:many, ..., 3] = drivers[..., 4], (drivers[..., 1] << 32) | drivers[..., 3]
        marks = np.zeros((many, (recent_at(self.distinct) - MARKS) * MARKS_A_WORD), np.int64)
        marks[:, : self.distinct] = np.where(frozen["recent"] > 0, mark_of(frozen["recent"]), 0)  # type: ignore[no-untyped-call]
        self.whole[:many, MARKS : recent_at(self.distinct)] = sum(marks[:, k::MARKS_A_WORD] << 16 * k for k in range(MARKS_A_WORD))

    def _parts(self, whole: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        real, recent = whole.view(np.float64), recent_at(self.distinct)
        bets = real[:, BETS_AT:MARKS].reshape(len(whole), PLACES, LANES)
        end = recent + self.distinct
        return {
            "counts": whole[:, :COUNTS],
            "hits": whole[:, HITS : HITS + PLACES],
            "evidence": bets[:, :, :BETS].transpose(0, 2, 1),
            "onset": bets[:, :REPEATS_PLACE, BETS:].transpose(0, 2, 1),
            "expected": real[:, EXPECTED : EXPECTED + PLACES],
            "window": real[:, WINDOW_COUNTS : WINDOW_COUNTS + 18],
            "late": real[:, LATE : LATE + 22],
            "closed": real[:, CLOSED_E : CLOSED_E + 3],
            "recent": whole[:, recent:end],
            "drivers": whole[:, end : end + PLACES * DRIVERS * _PACKED].reshape(len(whole), PLACES, DRIVERS, _PACKED),
        }
