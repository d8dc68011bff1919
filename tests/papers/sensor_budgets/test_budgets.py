"""The bars of budgets: two starts in the fast suite, five in the slow one."""

from __future__ import annotations

import pytest

from tests.papers.sensor_budgets import bars, cost, fleet


def test_two_starts_keep_the_budget_and_find_the_anomalies(data):
    lines, held = bars.table(data, (0, 2903))
    assert all(held.values()), lines


def test_alarms_at_random_miss_a_bar(data):
    lines, held = bars.control(data, (0, 2903))
    assert all(held.values()), lines


@pytest.mark.slow
def test_five_starts_keep_the_budget_and_find_the_anomalies(data):
    lines, held = bars.table(data)
    assert all(held.values()), lines


@pytest.mark.slow
def test_a_fleet_keeps_a_budget_that_no_ring_serves():
    lines, held = fleet.report()
    assert all(held.values()), lines


@pytest.mark.slow
def test_block_maxima_cost_half_a_microsecond_at_most():
    lines, held = cost.report()
    assert all(held.values()), lines
