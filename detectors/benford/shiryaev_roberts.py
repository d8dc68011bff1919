"""When fraud begins late: the Shiryaev–Roberts statistic and the boundary that it must cross.

A bet held from the first posting has lost too much on thousands of honest ones to win it back in time. The sum of bets that began at
every posting, S ← (S + 1) · factor (Shiryaev, 1963; Roberts, 1966), forgets: a late start costs only what it costs the one bet that
began right then. At 5 % of fraud from posting 8,000 it alarms 480 postings later (the median, at 5 %, on digits alone) and in 96 of
100 cases within a thousand; the growing evidence does so in 7.

S is no e-value: honest, its mean after t postings is t. So it is held against a boundary

    b(t) = κ T max(1, (t / T)²),   T = 10,000 postings of an accounting year,

flat for as long as almost everybody's year, rising beyond. Since S is a submartingale with mean t, the chance of ever crossing is
Σ 1 / b(t) = 2 / κ at most, whatever the law (Chow, 1960; Hájek and Rényi, 1955). The bound counts every crossing of a heap once per
posting; simulated, the chance is 0.6 to 0.9 over κ at every level from 10 % to 0.2 %. `CROSSING` is the largest, rounded up, of
three laws; `python -m tests.papers.benford_stream threshold` draws it again.
"""

from __future__ import annotations

from numba import njit

POSTINGS = 10_000.0  # [T] of one employee in a year, up to which the boundary is flat
CROSSING = 1.0  # [C] κ = C / α


@njit(cache=True)  # type: ignore[untyped-decorator]
def boundary(alpha, t):  # type: ignore[no-untyped-def]
    """Return what S after t postings of the accounting year is held against at level α."""
    late = t / POSTINGS
    return CROSSING / alpha * POSTINGS * max(1.0, late * late)
