from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.aggregation import unusualness
from tests import naive

surprises = st.floats(0.0, 300.0)


def test_a_new_card_is_judged_by_the_population():
    assert unusualness.own_mean(5.0, 3_000.0, 0.0, 0.0, 1.0) == 3_000.0
    assert unusualness.own_spread(5.0, 3_000.0, 0.0, 0.0, 0.0) == 3_000.0
    assert unusualness.usual_gap(5.0, 60.0, 0.0, 0.0) == 60.0


def test_with_history_a_card_is_judged_by_itself():
    assert unusualness.own_mean(5.0, 3_000.0, 1e6, 1e6 * 50.0, 1.0) == pytest.approx(50.0, rel=1e-3)
    squares = 1e6 * (50.0**2 + 7.0**2)
    assert unusualness.own_spread(5.0, 50.0, 1e6, 1e6 * 50.0, squares) == pytest.approx(7.0, rel=1e-3)
    assert unusualness.usual_gap(5.0, 60.0, 1e6, 1e6 * 10.0) == pytest.approx(10.0, rel=1e-3)


def test_before_any_population_there_is_only_the_card_and_before_that_nothing():
    assert unusualness.own_mean(5.0, 0.0, 2.0, 30.0, 1.0) == 15.0
    assert unusualness.own_mean(5.0, 0.0, 0.0, 0.0, 70.0) == 70.0
    assert unusualness.own_mean(5.0, 0.0, 0.0, 0.0, -70.0) == 1.0
    assert unusualness.usual_gap(5.0, 0.0, 0.0, 0.0) == 0.0


@given(surprises, surprises)
def test_an_amount_is_as_surprising_as_the_harmonic_mean_of_its_two_tails(one, other):
    computed = unusualness.amount_surprise(one, other)
    assert computed == pytest.approx(-math.log(2.0 / (math.exp(one) + math.exp(other))), abs=1e-9)
    assert max(one, other) - math.log(2.0) - 1e-9 <= computed <= max(one, other) + 1e-9


def test_the_usual_mode_is_no_surprise():
    assert unusualness.mode_surprise(0, np.array([0.9, 0.1])) == 0.0
    assert unusualness.mode_surprise(1, np.array([0.9, 0.1])) == pytest.approx(math.log(10))


@given(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=5), st.integers(0, 4))
def test_a_mode_is_as_surprising_as_all_that_are_as_rare(weights, mode):
    shares = np.array(weights) / sum(weights)
    mode = mode % len(shares)
    tail = sum(share for share in shares if share <= shares[mode])
    assert unusualness.mode_surprise(mode, shares) == pytest.approx(max(0.0, -math.log(tail)), abs=1e-12)


def test_a_gap_counts_only_beyond_one_in_a_hundred():
    assert unusualness.unusualness(2.0, 1.0, math.log(100.0)) == 3.0
    assert unusualness.unusualness(2.0, 1.0, math.log(1000.0)) == pytest.approx(3.0 + math.log(10.0))


@given(st.floats(1e-4, 0.9))
def test_as_many_scores_are_needed_as_a_rank_can_be_rare(epsilon):
    needed = unusualness.needed_scores(epsilon)
    assert 1 / (needed + 1) <= epsilon
    assert needed == 1 or 1 / needed > epsilon


@given(st.lists(st.integers(0, 9).map(float), min_size=19, max_size=60), st.integers(0, 10).map(float))
def test_above_the_threshold_and_only_there_the_p_value_is_within_epsilon(scores, score):
    ordered = np.array(sorted(scores))
    p_value = unusualness.rank_p_value(sum(other >= score for other in scores), len(scores))
    assert p_value == naive.conformal_p_value(scores, score)
    assert (p_value <= 0.05) == (score > unusualness.rank_threshold(ordered, len(scores), 0.05))
