"""Moments learnt value by value and merged are those of the whole."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.moments import learn_moment, merge_moments, moments_record, no_moments, standard_deviation

VALUES = st.lists(st.floats(-1e3, 1e3), max_size=60)


def learned(values):
    moments = no_moments()
    for value in values:
        learn_moment(moments, value)
    return moments_record(moments)


@given(values=VALUES, offset=st.sampled_from([0.0, 1e6]))
def test_moments_are_those_of_the_definition(values, offset):
    values = [value + offset for value in values]
    computed = learned(values)
    assert computed["n"] == len(values)
    if values:
        mean = math.fsum(values) / len(values)
        assert computed["mean"] == pytest.approx(mean, rel=1e-12, abs=1e-9)
        assert computed["m2"] == pytest.approx(math.fsum((v - mean) ** 2 for v in values), rel=1e-6, abs=1e-6)


@given(parts=st.lists(VALUES, max_size=6))
def test_merging_parts_is_as_good_as_learning_the_whole(parts):
    reference = learned([value for part in parts for value in part])
    computed = merge_moments([learned(part) for part in parts])
    assert computed["n"] == reference["n"]
    assert computed["mean"] == pytest.approx(reference["mean"], rel=1e-9, abs=1e-9)
    assert computed["m2"] == pytest.approx(reference["m2"], rel=1e-9, abs=1e-6)
    assert merge_moments([learned(part) for part in parts]) == computed


def test_one_part_is_kept_to_the_bit():
    record = learned(np.random.default_rng(0).normal(size=50))
    assert merge_moments([{"n": 0, "mean": 0.0, "m2": 0.0}, record]) == record


def test_a_standard_deviation_needs_two_values():
    assert math.isnan(standard_deviation(1, 0.0))
    assert standard_deviation(3, 8.0) == 2.0
