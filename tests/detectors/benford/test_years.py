"""Accounting years, their periods and days."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.benford.years import UNITS_A_YEAR, accounting_year, calendar, first_day, period_before
from tests import naive


@given(
    at=st.datetimes(datetime.datetime(1, 1, 2), datetime.datetime(9998, 12, 31)),  # noqa: DTZ001 — read as UTC below
    start=st.dates(datetime.date(2000, 1, 1), datetime.date(2000, 12, 31)),
)
def test_the_accounting_year_is_the_calendars(at, start):
    instant = (at - datetime.datetime(1970, 1, 1)) // datetime.timedelta(microseconds=1)  # noqa: DTZ001
    computed = accounting_year(instant, first_day(f"{start.month:02}-{start.day:02}"))
    assert computed == naive.accounting_year(instant, start.month, start.day)


@given(
    day=st.dates(datetime.date(1, 1, 2), datetime.date(9998, 12, 31)),
    start=st.dates(datetime.date(2000, 1, 1), datetime.date(2000, 12, 31)),
    months=st.sampled_from([1, 2, 3, 4, 6, 12]),
)
def test_periods_and_days_rise_through_the_year_and_stay_within_it(day, start, months):
    first = first_day(f"{start.month:02}-{start.day:02}")
    since_1970 = (day - datetime.date(1970, 1, 1)).days
    year, period, unit = calendar(since_1970, first, months)
    later = calendar(since_1970 + 1, first, months)
    assert later[0] in (year, year + 1)
    if later[0] == year:
        assert later[1] == period or period_before(later[1], months) == period
    assert later[2] > unit
    assert 1 <= period - UNITS_A_YEAR * year <= 12 // months
    if later[0] > year:
        assert period_before(later[1], months) == period == UNITS_A_YEAR * year + 12 // months


def test_periods_are_those_of_the_calendar():
    day = (datetime.date(2026, 7, 5) - datetime.date(1970, 1, 1)).days
    assert calendar(day, first_day("01-01"), 3)[:2] == (2026, 2026 * UNITS_A_YEAR + 3)
    assert calendar(day, first_day("04-06"), 3)[:2] == (2026, 2026 * UNITS_A_YEAR + 1)
    assert calendar(day + 1, first_day("04-06"), 3)[:2] == (2026, 2026 * UNITS_A_YEAR + 2)
    assert period_before(2026 * UNITS_A_YEAR + 1, 3) == 2025 * UNITS_A_YEAR + 4


@pytest.mark.parametrize("wrong", ["", "1-1", "13-01", "02-30", "January", "2026-01-01", "00-00"])
def test_a_day_that_no_year_begins_with_is_refused(wrong):
    with pytest.raises(ValueError, match=r"year_start = .*: wanted the first day of the accounting year as MM-DD"):
        first_day(wrong)
