"""When an employee is looked at, and what a look may cost.

A chi-square test looked at again and again rejects honest people: at 5 % a look, 40 % of them in 90 looks. So the level
`alpha` is one per employee and accounting year, and the k-th look of the year spends α · 6 / (π² k²) of it: these add up to
α over any number of looks, and by Bonferroni's inequality an honest employee is ever alerted in the year with probability α
at most, as far as the p-values hold (which is what `minimum_expected` and `fit.look_tail` are for) and the reference is the
employee's own law.
"""

from __future__ import annotations

import datetime
import math
import re

import numpy as np
from numba import njit

_SPENT_FIRST = 6.0 / math.pi**2  # Σ 1/k² = π²/6
_DAY = 86_400_000_000  # microseconds
NO_YEAR = -(2**62)  # an employee who has not been looked at


@njit(cache=True)  # type: ignore[untyped-decorator]
def level_of_look(alpha, k):  # type: ignore[no-untyped-def]
    """Return what the k-th look (1, 2, …) of an accounting year is held against: α · 6 / (π² k²)."""
    return alpha * _SPENT_FIRST / (np.float64(k) * np.float64(k))


@njit(cache=True)  # type: ignore[untyped-decorator]
def accounting_year(at, start):  # type: ignore[no-untyped-def]
    """Return the accounting year of an event time: the (proleptic Gregorian) year in which it began.

    `at` in microseconds since 1970 UTC, `start` = 100 · month + day of the year's first day. The calendar by whole-number
    arithmetic over eras of 400 years that begin on 1 March.
    """
    days = at // _DAY + 719_468  # since 0000-03-01
    era = days // 146_097
    day_of_era = days - era * 146_097
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = year_of_era + 400 * era + (1 if month <= 2 else 0)
    return year if 100 * month + day >= start else year - 1


def first_day(year_start: str) -> int:
    """Return 100 · month + day of a setting such as ``"04-01"``.

    Raises
    ------
    ValueError
        If it is no day of a leap year as MM-DD.
    """
    found = re.fullmatch(r"(\d\d)-(\d\d)", year_start)
    try:
        month, day = (int(part) for part in found.groups()) if found else (0, 0)
        datetime.date(2000, month, day)
    except ValueError:
        raise ValueError(f"year_start = {year_start!r}: wanted the first day of the accounting year as MM-DD, such as 01-01") from None
    return 100 * month + day
