"""How much honest employees' digits differ from one another, beyond chance.

If everybody's digits followed one law, chi-square of n amounts would have mean k − 1. Where everybody has a law of his own, scattered
around the common one like a Dirichlet law with intraclass correlation ρ = 1 / (κ + 1), it grows to (k − 1) (1 + (n − 1) ρ): at κ = 600
a chi-square test at 5 % condemns 68 % of the honest after 1,000 amounts. Each employee's own estimate

    ρᵢ = (chi²ᵢ / m − 1) / (nᵢ − 1),   m the median of the chi-square law,

lies above ρ as often as below, so the median over employees is an estimate that a few fraudsters cannot move far. Estimates are
counted in cells, weighted by their nᵢ in whole numbers, so that partitions' counts add up in any order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

SMALLEST_EXPECTED = 5.0  # postings that each cell of an employee who tells must be expected to hold (Cochran)
SMALLEST_GROUP = 20  # employees: from fewer no scatter is estimated
_LOWEST, _PER_DECADE, _DECADES = 1e-5, 20, 5  # cells of ρ: a twentieth of a decade wide, from 10⁻⁵ to 1; the first: all below
CELLS = 2 + _PER_DECADE * _DECADES  # the last of the list: how many employees tell
# Medians of the chi-square law with 1, 2, … 8 degrees of freedom.
_MEDIANS = np.array([0.454936, 1.386294, 2.365974, 3.356694, 4.351460, 5.348121, 6.345811, 7.344121])


def dispersion_counts(observed: NDArray[np.int64], expected: NDArray[np.float64]) -> list[int]:
    """Return the cells that employees' estimates fall in, of counts (employees, k cells, k ≤ 9): CELLS whole numbers.

    A band is two cells: in it and elsewhere. Counts of partitions add up.
    """
    chi_square, possible, n = np.zeros(len(observed)), np.zeros(len(observed), np.int64), np.zeros(len(observed), np.int64)
    rarest = np.full(len(observed), np.inf)
    for d in range(observed.shape[1]):  # cell by cell: sums in a fixed order
        can = expected[:, d] > 0.0
        wanted = np.where(can, expected[:, d], 1.0)
        chi_square += np.where(can, (observed[:, d] - wanted) ** 2 / wanted, 0.0)
        possible += can
        rarest = np.where(can, np.minimum(rarest, wanted), rarest)
        n += observed[:, d]
    tells = (rarest >= SMALLEST_EXPECTED) & (possible > 1)
    rho = (chi_square[tells] / _MEDIANS[possible[tells] - 2] - 1.0) / (n[tells] - 1.0)
    cells = np.floor(_PER_DECADE * np.log10(np.maximum(rho, _LOWEST) / _LOWEST)).astype(np.int64)
    cells = np.where(rho < _LOWEST, 0, np.minimum(1 + cells, CELLS - 2))
    counts = np.zeros(CELLS, np.int64)
    np.add.at(counts, cells, n[tells])
    counts[-1] = np.count_nonzero(tells)
    return [int(count) for count in counts]


def dispersion(counts: Sequence[int]) -> float:
    """Return ρ: the lower one-sigma end of the weighted median's interval, 0 where it is no more than chance.

    The lower end, because where everybody is alike a median of pure chance would be taken for scatter half of the time, and every
    trace of ρ costs power.
    """
    total, employees = sum(counts[:-1]), counts[-1]
    if employees < SMALLEST_GROUP:
        return 0.0
    wanted, below = total * (0.5 - 0.5 / math.sqrt(employees)), 0
    for cell, weight in enumerate(counts[:-1]):
        below += weight
        if below > wanted:
            return 0.0 if cell == 0 else min(_LOWEST * 10.0 ** ((cell - 0.5) / _PER_DECADE), 0.99)
    return 0.0


def merge_dispersion(records: Iterable[Sequence[int]]) -> list[int]:
    """Add up partitions' counts."""
    whole = [0] * CELLS
    for record in records:
        whole = [a + int(b) for a, b in zip(whole, record, strict=True)]
    return whole
