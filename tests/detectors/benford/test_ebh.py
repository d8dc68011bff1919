"""The e-BH procedure over partitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.benford.ebh import e_bh_threshold, merge_periods, period_record
from tests import naive

values = st.lists(st.one_of(st.floats(0.0, 30.0), st.floats(30.0, 1e6)), min_size=1, max_size=60)


@given(e_values=values, q=st.sampled_from([0.01, 0.05, 0.2, 0.5]))
def test_those_above_the_threshold_are_those_of_the_definition(e_values, q):
    threshold = e_bh_threshold(e_values, len(e_values), q)
    assert [e for e in e_values if e >= threshold] == naive.e_bh(e_values, q)


@given(e_values=values, q=st.sampled_from([0.05, 0.2]), places=st.lists(st.integers(0, 60), max_size=4))
def test_over_how_many_partitions_employees_are_spread_changes_nothing(e_values, q, places):
    reference = naive.e_bh(e_values, q)
    parts = np.split(np.array(e_values), sorted(min(place, len(e_values)) for place in places))
    computed = merge_periods([period_record(7, part, q) for part in parts], q)
    if computed is None:
        assert reference == []
    else:
        assert [e for e in e_values if e >= computed["threshold"]] == reference
        assert (computed["period"], computed["employees"], computed["taken"]) == (7, len(e_values), len(reference))


def test_nothing_is_said_until_every_partition_is_through():
    rows = [period_record(period, np.array([1e6]), 0.05) for period in (7, 8)]
    assert merge_periods(rows, 0.05) is None
    assert merge_periods([], 0.05) is None


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="q = 1"):
        e_bh_threshold([], 0, 1.0)
    with pytest.raises(ValueError, match="2 e-values of 1 employees"):
        e_bh_threshold([1.0, 2.0], 1, 0.1)
    assert e_bh_threshold([], 5, 0.1) == math.inf
