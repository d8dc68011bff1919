"""The year's level is spent look by look, and never more than all of it."""

from __future__ import annotations

import datetime
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.benford.looks import accounting_year, first_day, level_of_look
from tests import naive


def test_the_levels_of_all_looks_add_up_to_alpha():
    spent = sum(level_of_look(0.005, k) for k in range(1, 100_001))
    rest = 0.005 * 6 / math.pi**2 / 100_000  # Σ 1/k² beyond K is 1/K to first order
    assert spent + rest == pytest.approx(0.005, rel=1e-9)
    assert spent < 0.005


@given(
    at=st.datetimes(datetime.datetime(1, 1, 2), datetime.datetime(9998, 12, 31)),  # noqa: DTZ001 — read as UTC below
    start=st.dates(datetime.date(2000, 1, 1), datetime.date(2000, 12, 31)),
)
def test_the_accounting_year_is_the_calendars(at, start):
    instant = (at - datetime.datetime(1970, 1, 1)) // datetime.timedelta(microseconds=1)  # noqa: DTZ001
    computed = accounting_year(instant, first_day(f"{start.month:02}-{start.day:02}"))
    assert computed == naive.accounting_year(instant, start.month, start.day)


@pytest.mark.parametrize("wrong", ["", "1-1", "13-01", "02-30", "January", "2026-01-01", "00-00"])
def test_a_day_that_no_year_begins_with_is_refused(wrong):
    with pytest.raises(ValueError, match=r"year_start = .*: wanted the first day of the accounting year as MM-DD"):
        first_day(wrong)
