"""Amounts seen before, and how employees differ in them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.benford.repeats import FILLS, fill_of, group_sums, mark_of, merge_repeats, remember, repeat_shares, scatter
from tests import naive


@given(amounts=st.lists(st.integers(1, 30), max_size=120), room=st.integers(1, 12))
def test_an_amount_is_remembered_until_as_many_others_have_come(amounts, room):
    marks = (room + 3) // 4
    row, head = np.zeros(marks + room, np.int64), 0
    distinct = []
    for amount in amounts:
        reference = amount in distinct[-room:]
        computed = remember(row, 0, marks, room, head, amount)
        assert computed == reference
        if not computed:
            head += 1
            distinct.append(amount)


def test_amounts_of_one_mark_are_told_apart():
    first = 12_345
    alike = next(amount for amount in range(first + 1, 10**6) if mark_of(amount) == mark_of(first))
    row = np.zeros(3, np.int64)
    assert [remember(row, 0, 1, 2, head, amount) for head, amount in enumerate([first, alike])] == [False, False]
    assert remember(row, 0, 1, 2, 2, first)
    assert not remember(row, 0, 1, 2, 2, alike + 1)  # in place of the first
    assert not remember(row, 0, 1, 2, 3, first)


@given(amounts=st.lists(st.integers(1, 2**63 - 1), max_size=50))
def test_a_mark_is_two_bytes_and_never_that_of_an_empty_cell(amounts):
    marks = mark_of(np.array(amounts, np.int64))
    assert ((marks >= 1) & (marks < 2**16)).all()


def test_how_much_is_remembered_is_told_in_doublings():
    assert [fill_of(n) for n in (0, 1, 2, 3, 4, 255, 256, 10**9)] == [0, 1, 2, 2, 3, 8, 9, FILLS - 1]


@given(employees=st.lists(st.tuples(st.integers(0, 100), st.integers(2, 100)), min_size=20, max_size=60))
def test_how_employees_scatter_is_told_by_whole_sums(employees):
    employees = [(min(x, n), n) for x, n in employees]
    if 0 < sum(x for x, _ in employees) < sum(n for _, n in employees):
        repeats, postings = (np.array(column, np.int64) for column in zip(*employees, strict=True))
        parts = [{"postings": [0], "repeats": [0], "sums": group_sums(repeats[a], postings[a])} for a in (slice(7), slice(7, None))]
        assert scatter(merge_repeats(parts)["sums"]) == pytest.approx(naive.scatter(employees), rel=1e-9, abs=1e-9)


def test_scatter_is_found_again():
    rng = np.random.default_rng(3)
    n = rng.integers(50, 400, 3_000)
    for rho in (0.0, 0.01, 0.1):
        rate = np.full(3_000, 0.2) if rho == 0 else rng.beta(0.2 * (1 - rho) / rho, 0.8 * (1 - rho) / rho, 3_000)
        assert scatter(group_sums(rng.binomial(n, rate), n)) == pytest.approx(rho, rel=0.15, abs=0.001)


def test_few_employees_tell_nothing():
    assert scatter(group_sums(np.full(19, 3), np.full(19, 10))) == 1.0
    shares = repeat_shares(np.array([[99] + [1_000] * 11, [9] + [0] + [100] * 10]))
    assert math.isnan(shares[0])
    assert shares[1:3].tolist() == [1 / 1_001, 101 / 1_001]
