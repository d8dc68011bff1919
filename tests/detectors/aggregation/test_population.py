from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.aggregation import population as module
from detectors.aggregation.population import AMOUNT, GAP, GAP_COUNT, GAP_SECONDS, MEDIAN, RATIO, USUAL_GAP, Population, merge, surprise
from tests import naive

KINDS = {AMOUNT: (0.0, naive.amount_start, True), RATIO: (-22.0, naive.ratio_start, True), GAP: (-22.0, naive.gap_start, False)}
values = st.lists(st.floats(-21.0, 21.0), max_size=40)


def adopted(which, seen):
    people = Population(2, 6)
    for x in seen:
        people.seen[which, module.bin_of(which, x, people.low)] += 1
    people.adopt(merge([people.record(np.zeros(6, np.int64))]))
    return people


@given(st.sampled_from(list(KINDS)), values, st.floats(-21.0, 21.0))
def test_a_surprise_is_the_share_of_values_as_extreme(which, seen, x):
    low, start, upper = KINDS[which]
    seen = [abs(v) if which == AMOUNT else v for v in seen]
    x = abs(x) if which == AMOUNT else x
    people = adopted(which, seen)
    expected = naive.tail_surprise(seen, x, low, start, upper)
    assert surprise(people.curves, which, x, people.low) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(st.sampled_from(list(KINDS)), values)
def test_what_is_more_extreme_is_no_less_surprising_and_all_surprises_are_finite(which, seen):
    people = adopted(which, seen)
    steps = np.diff(people.curves[which])
    assert ((steps <= 1e-12) if which == GAP else (steps >= -1e-12)).all()
    assert np.isfinite(people.curves).all()
    assert (people.curves >= 0.0).all()


def test_beyond_the_outermost_edges_a_surprise_is_constant():
    people = Population(1, 5)
    for which in KINDS:
        assert surprise(people.curves, which, -1e9, people.low) == people.curves[which, 0]
        assert surprise(people.curves, which, 1e9, people.low) == people.curves[which, -1]


@given(st.lists(st.floats(0.0, 40.0), min_size=1, max_size=50))
def test_the_median_is_the_middle_of_the_step_that_it_lies_in(logs):
    assert adopted(AMOUNT, logs).numbers[MEDIAN] == pytest.approx(naive.median_step(logs))


def test_partitions_add_up_in_any_order():
    rng = np.random.default_rng(0)
    records = []
    for _ in range(3):
        people = Population(2, 6)
        people.seen[:] = rng.integers(0, 9, people.seen.shape)
        people.counts[:] = rng.integers(0, 9, people.counts.shape)
        records.append(people.record(rng.integers(0, 9, 6)))
    one, other = Population(2, 6), Population(2, 6)
    one.adopt(merge(records))
    other.adopt(merge([merge(records[::-1][:2]), records[0]]))
    assert one.curves.tobytes() == other.curves.tobytes()
    assert one.numbers.tobytes() == other.numbers.tobytes()
    assert one.numbers[USUAL_GAP] == one.adopted_counts[GAP_SECONDS] / one.adopted_counts[GAP_COUNT]


def test_nothing_is_used_before_it_is_adopted():
    people = Population(2, 6)
    before = people.curves.copy()
    people.seen += 5
    assert (people.curves == before).all()
    assert surprise(before, RATIO, 0.0, people.low) == pytest.approx(math.log(2.0))


def test_a_thawed_population_is_the_same():
    one = adopted(RATIO, [0.0, 1.0, 5.0])
    other = Population(2, 6)
    other.thaw(one.freeze())
    assert other.curves.tobytes() == one.curves.tobytes()
    assert (other.seen == one.seen).all()


@pytest.mark.parametrize("record", [{}, {"histograms": [[1]], "counts": [1]}, {"histograms": "x", "counts": None}])
def test_a_population_of_other_settings_is_refused(record):
    with pytest.raises(ValueError, match="population"):
        Population(2, 6).adopt(record)
