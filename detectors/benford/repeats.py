"""Amounts seen before: remembered in a bounded set, kept out of the digits, and a test of their own.

The same fee every month says one thing a hundred times. Of real purchasing cards 22 % break the law of the digits and 5 % once every
amount of a card counts once. So digits are counted of *distinct* amounts, those not among the employee's last few hundred distinct ones.

How often an amount comes again is evidence, too: invoices paid twice, invented amounts used again. No law says how often honest ones
do, so everybody is compared with everybody: the population's share of repeats, by how many amounts were remembered (with more, more
come again), scattering from employee to employee as they are seen to scatter (the beta law of `evidence`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

FILLS = 12  # remembered amounts are told apart as 0, 1, 2–3, 4–7, …, 1,024 and more
SMALLEST_GROUP = 20  # employees: how they scatter cannot be told from fewer
_MIX = -7046029254386353131  # 2⁶⁴ / golden ratio, odd, as an int64: it mixes every bit into the uppermost
_EACH, _TOPS = 0x0001000100010001, np.int64(0x8000800080008000 - 2**64)  # the lowest and the highest bit of each quarter of a word
SMALLEST_FILL = 100  # postings of a fill before its share is used


def mark_of(amount):  # type: ignore[no-untyped-def]
    """Return an amount's mark, 1 … 65,535: two bytes by which nearly all amounts that differ are told apart. Of an array, too."""
    mark = ((amount * _MIX) >> 48) & 0xFFFF
    return mark + (mark == 0)


_mark_of = njit(cache=True)(mark_of)


@njit(cache=True)  # type: ignore[untyped-decorator]
def remember(row, marks, amounts, room, head, amount):  # type: ignore[no-untyped-def]
    """Return whether `amount` (above 0) is among those remembered; if not, remember it, in place of the oldest where all are full.

    The amounts are a ring of `room` words of an employee's row from the column `amounts` on, 0 where empty; `head` counts those ever
    put in. Their marks stand from the column `marks` on, four a word: only where one is found are the amounts themselves looked at.
    """
    mark = _mark_of(amount)
    wanted, found = mark * _EACH, 0
    for k in range(marks, marks + (room + 3) // 4):  # without a way out, so that many are compared at a time
        differs = row[k] ^ wanted
        found |= (differs - _EACH) & ~differs  # the top bit of a quarter: it is 0, or a lower one was
    if found & _TOPS != 0:
        for k in range(amounts, amounts + min(head, room)):
            if row[k] == amount:
                return True
    cell = head % room
    row[amounts + cell] = amount
    shift = 16 * (cell % 4)
    row[marks + cell // 4] = (row[marks + cell // 4] & ~(0xFFFF << shift)) | (mark << shift)
    return False


@njit(cache=True)  # type: ignore[untyped-decorator]
def fill_of(remembered):  # type: ignore[no-untyped-def]
    """Return the cell of how many amounts are remembered: 0 for none, else 1 + ⌊log₂⌋, at most FILLS − 1."""
    fill = 0
    while remembered > 0 and fill < FILLS - 1:
        remembered >>= 1
        fill += 1
    return fill


def group_sums(repeats: NDArray[np.int64], postings: NDArray[np.int64]) -> list[int]:
    """Whole-number sums over employees from which `scatter` tells how they differ: they add up over partitions, in any order."""
    tested = postings > 1
    x, n = repeats[tested], postings[tested]
    return [int(np.sum(each)) for each in (x, n, n * n, x * x, x * n)] + [len(x)]


def scatter(sums: Sequence[int]) -> float:
    """Return the intraclass correlation ρ of employees' repeats, by moments.

    Var(xᵢ) = nᵢ r (1 − r) (1 + (nᵢ − 1) ρ), so Σ (xᵢ − nᵢ r)² − Σ nᵢ r (1 − r) estimates ρ r (1 − r) Σ nᵢ (nᵢ − 1). Where there is
    none ρ comes out with standard deviation √(2 / Σ nᵢ (nᵢ − 1)): so much is taken off. At least 0; 1 where too few employees tell.

    Examples
    --------
    Two hundred employees of ten postings, of whom half repeat all and half nothing, are as different as can be, ρ = 1; √(2 / 18,000) is
    taken off:

    >>> round(scatter([100 * 10, 200 * 10, 200 * 10**2, 100 * 10**2, 100 * 10 * 10, 200]), 3)
    0.989
    """
    x, n, nn, xx, xn, employees = sums
    if employees < SMALLEST_GROUP or n == 0:
        return 1.0
    r = x / n
    within = r * (1.0 - r)
    if within == 0.0 or nn == n:
        return 0.0
    between = xx - 2.0 * r * xn + r * r * nn - n * within
    return min(max(between / ((nn - n) * within) - math.sqrt(2.0 / (nn - n)), 0.0), 1.0)


def repeat_shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the share of repeats at each fill, shape (FILLS,), of counts (2, FILLS): postings, repeats; NaN where too few tell.

    A share is (repeats + 1) / (postings + 1): never 0, and above what was seen rather than below.
    """
    postings, repeats = counts
    return np.where(postings >= SMALLEST_FILL, (repeats + 1.0) / (postings + 1.0), np.nan)


def merge_repeats(records: Iterable[Mapping[str, Any]]) -> dict[str, list[int]]:
    """Add up what partitions know of repeats: ``{"postings", "repeats", "sums"}``.

    Examples
    --------
    >>> merge_repeats([{"postings": [5], "repeats": [1], "sums": [1, 5, 25, 1, 5, 1]}] * 2)["sums"]
    [2, 10, 50, 2, 10, 2]
    """
    whole: dict[str, list[int]] = {}
    for record in records:
        for name in ("postings", "repeats", "sums"):
            values = [int(value) for value in record[name]]
            whole[name] = [a + b for a, b in zip(whole.get(name, [0] * len(values)), values, strict=True)]
    return whole
