"""How large the amounts of a stream are: a histogram of two significant digits and a decade, in whole numbers.

A cell holds the amounts that share their number of digits and their first two: 37 is one cell, 3,700 … 3,799 another. Cells are
at most a tenth wide, know their leading digits exactly, need no logarithm, and add up over partitions in any order to the same
bits. All 64-bit amounts fit 1,710 of them.

Beside each amount stands the limit that it had to keep. From the two, `detectors.benford.empirical` tells the law of the amounts
below any limit, although every employee's amounts are cut off at his own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

DECADES = 19  # 2⁶³ − 1 has 19 digits
CELLS = 90 * DECADES
AMOUNTS, ENDS = range(2)  # rows of a histogram
LARGEST = 2**63 - 1  # minor units: as an end, "no limit"


def no_amounts() -> NDArray[np.int64]:
    """A histogram of nothing, shape (2, 1710): how many amounts lie in a cell, and how many limits end before it."""
    return np.zeros((2, CELLS), np.int64)


@njit(cache=True)  # type: ignore[untyped-decorator]
def cell_of(amount):  # type: ignore[no-untyped-def]
    """Return the cell of a positive int64: 90 · (its digits − 1) + its first two digits − 10; a single digit is followed by a 0."""
    if amount < 10:
        return 10 * amount - 10
    decade = 1
    while amount >= 100:
        amount //= 10
        decade += 1
    return 90 * decade + amount - 10


@njit(cache=True)  # type: ignore[untyped-decorator]
def cell_start(cell):  # type: ignore[no-untyped-def]
    """Return the smallest amount of a cell; of the 81 empty cells of single digits, the next digit; LARGEST behind the last."""
    digits, decade = cell % 90 + 10, cell // 90
    if decade == 0:
        return (digits + 9) // 10
    if decade >= DECADES or (decade == DECADES - 1 and digits > 92):
        return LARGEST
    for _ in range(decade - 1):
        digits *= 10
    return digits


@njit(cache=True)  # type: ignore[untyped-decorator]
def learn_amount(histogram, amount, limit):  # type: ignore[no-untyped-def]
    """Count an amount (minor units) and the limit that it kept (the largest amount allowed; below 0: none); say whether it counted.

    Amounts of 0 or less and those above their limit are not of the law. Nor can an amount count that lies in the very cell which
    its limit cuts through: below other limits that cell holds more.
    """
    if amount <= 0:
        return False
    cell = cell_of(amount)
    if limit >= 0 and limit < LARGEST:
        end = cell_of(limit + 1)
        if amount > limit or cell >= end:
            return False
        histogram[ENDS, end] += 1
    histogram[AMOUNTS, cell] += 1
    return True


@njit(cache=True)  # type: ignore[untyped-decorator]
def _learn_each(histogram, amounts, limits):  # type: ignore[no-untyped-def]
    for i in range(len(amounts)):
        learn_amount(histogram, amounts[i], limits[i])


def histogram_of(amounts: NDArray[np.int64], limits: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """Return the histogram of amounts (n,) under limits (n,), both in minor units; without limits, of amounts that have none.

    Examples
    --------
    >>> histogram_of(np.array([3_700, 3_799, 3_800]))[0, [cell_of(3_700), cell_of(3_800)]].tolist()
    [2, 1]
    """
    histogram = no_amounts()
    amounts = np.array(amounts, np.int64)
    _learn_each(histogram, amounts, np.full(len(amounts), -1, np.int64) if limits is None else np.array(limits, np.int64))
    return histogram


def histogram_record(histogram: NDArray[np.int64]) -> dict[str, list[int]]:
    """A histogram as what travels between partitions: the cells that hold anything, and what they hold."""
    record: dict[str, list[int]] = {}
    for row, name in ((AMOUNTS, "amounts"), (ENDS, "ends")):
        cells = np.flatnonzero(histogram[row])
        record[f"{name}_cells"], record[name] = cells.tolist(), histogram[row, cells].tolist()
    return record


def histogram_from(record: Mapping[str, Any]) -> NDArray[np.int64]:
    """The histogram of a record.

    Raises
    ------
    ValueError
        If it is no record of one.
    """
    histogram = no_amounts()
    try:
        for row, name in ((AMOUNTS, "amounts"), (ENDS, "ends")):
            cells, counts = np.array(record[f"{name}_cells"], np.int64), np.array(record[name], np.int64)
            if np.any(cells < 0) or np.any(counts < 0):
                raise ValueError("a number below 0")
            histogram[row, cells] = counts
    except (KeyError, TypeError, IndexError, OverflowError, ValueError) as error:
        raise ValueError(f"no histogram of amounts: {error!r}") from None
    return histogram


def merge_histograms(records: Iterable[Mapping[str, Any]]) -> dict[str, list[int]]:
    """Add up records; their order does not matter.

    Examples
    --------
    >>> once = histogram_record(histogram_of(np.array([42, 99_000])))
    >>> merge_histograms([once, once])["amounts"]
    [2, 2]
    """
    whole = no_amounts()
    for record in records:
        whole += histogram_from(record)
    return histogram_record(whole)
