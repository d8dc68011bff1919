"""Accounting years, the periods they are divided into, and days, by whole-number arithmetic on event times.

A level is one per employee and accounting year, so the year is where evidence begins anew. Its first day and the offset of its clock
from UTC are settings; within it the year is divided into periods of equal months, at whose ends all employees are compared.
"""

from __future__ import annotations

import datetime
import re

from numba import njit

MINUTE, MINUTES_A_DAY = 60_000_000, 1_440  # microseconds; minutes
NO_YEAR = -(2**62)  # an employee who has not been heard of
UNITS_A_YEAR = 1_000_000  # units of one accounting year are numbered from 1,000,000 · year: two years are never one episode


@njit(cache=True)  # type: ignore[untyped-decorator]
def calendar(day, start, months):  # type: ignore[no-untyped-def]
    """Return (accounting year, period, unit) of a day, counted from 1970-01-01.

    `start` = 100 · month + day of the year's first day; the year is the (proleptic Gregorian) one in which it began. Period and unit
    are 1,000,000 · year plus the number of the period (from 1, each of `months`) or of the day, both rising within a year. The
    calendar by whole-number arithmetic over eras of 400 years that begin on 1 March.
    """
    days = day + 719_468  # since 0000-03-01
    era = days // 146_097
    day_of_era = days - era * 146_097
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    date = day_of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    calendar_year = year_of_era + 400 * era + (1 if month <= 2 else 0)
    year = calendar_year if 100 * month + date >= start else calendar_year - 1
    since = 12 * (calendar_year - year) + month - start // 100  # months since the one in which the year began
    elapsed = since - (1 if date < start % 100 else 0)
    return year, UNITS_A_YEAR * year + 1 + elapsed // months, UNITS_A_YEAR * year + 31 * since + date


def accounting_year(at: int, start: int) -> int:
    """Return the accounting year of an event time, microseconds since 1970."""
    return int(calendar(at // (MINUTE * MINUTES_A_DAY), start, 12)[0])


def period_before(period: int, months: int) -> int:
    """Return the period before one."""
    return period - 1 if period % UNITS_A_YEAR > 1 else period - UNITS_A_YEAR - 1 + 12 // months


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
