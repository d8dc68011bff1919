from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from state import decay
from tests import naive

DAY = 86_400
RATE = decay.rate_of(30.0)
events = st.lists(st.tuples(st.integers(0, 200 * DAY), st.integers(1, 10**6)), min_size=1, max_size=40)


def fed(stream):
    sums = decay.no_sums()
    for t, a in stream:
        if sums[decay.WEIGHT] == 0.0 or t >= sums[decay.AT]:
            decay.decay_to(sums, t, RATE)
            decay.add_value(sums, float(a), 1.0)
        else:
            decay.add_value(sums, float(a), decay.weight_of(sums, t, RATE))
    return sums


@given(events)
def test_decayed_sums_equal_those_over_all_that_ever_came_in_any_order(stream):
    sums, now = fed(stream), max(t for t, _ in stream)
    assert sums[decay.AT] == now
    weight, total = naive.decayed(stream, now, 30.0)
    _, squares = naive.decayed([(t, a * a) for t, a in stream], now, 30.0)
    assert sums[[decay.WEIGHT, decay.VALUES, decay.SQUARES]] == pytest.approx([weight, total, squares], rel=1e-9)


def test_the_mean_age_of_the_weights_is_a_third_of_the_window():
    ages = np.arange(0, 400, 0.01)
    weights = np.exp(-RATE * DAY * ages)
    assert (weights * ages).sum() / weights.sum() == pytest.approx(10.0, rel=1e-2)


def test_an_empty_row_has_no_time_and_a_century_leaves_nothing():
    sums = decay.no_sums()
    decay.decay_to(sums, -(10**12), RATE)
    assert sums.tolist() == [-(10.0**12), 0, 0, 0, 0, 0]
    decay.add_value(sums, 5.0, 1.0)
    decay.add_gap(sums, 7.0)
    decay.decay_to(sums, 10**12, RATE)
    assert sums[1:].tolist() == [0.0] * 5
