from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from detectors.aggregation import unusualness
from tests import naive

logs = st.lists(st.floats(-2, 12), max_size=30)


def moments_of(stream):
    whole, moments = np.zeros(10, np.int64), np.zeros(2)
    for x in stream:
        unusualness.learn_amount(whole, moments, x)
    return whole, moments


def test_the_tail_of_the_normal_is_scipys_far_out_too():
    for z in (-30.0, -3.0, 0.0, 1.0, 8.0, 24.99, 25.01, 40.0, 1e3):
        assert unusualness.log_upper_tail(z) == pytest.approx(norm.logsf(z), rel=1e-7, abs=1e-15)


@given(logs)
def test_running_moments_equal_those_of_the_whole_list(stream):
    whole, moments = moments_of(stream)
    mean, above, squares = naive.mean_and_squares_above(stream)
    assert moments[unusualness.MEAN] == pytest.approx(mean, abs=1e-9)
    if len(set(stream)) == len(stream):  # where an amount equals the mean, the last bit decides which side it is on
        assert abs(whole[unusualness.ABOVE] - above) <= 1
        assert moments[unusualness.SQUARES] == pytest.approx(squares, abs=1e-6)


def test_a_new_card_is_judged_by_the_population():
    mean = unusualness.shrunk_mean(5.0, 3.0, 0, 0.0)
    variance = unusualness.shrunk_variance(5.0, 1_000, 250.0, 0, 0.0)
    assert mean == 3.0
    assert variance == pytest.approx((5.0 + 250.0) / 1_005)


def test_with_history_a_card_is_judged_by_itself():
    assert unusualness.shrunk_mean(5.0, 3.0, 10_000, 6.0) == pytest.approx(6.0, abs=2e-3)
    assert unusualness.shrunk_variance(5.0, 1_000, 250.0, 10_000, 100.0) == pytest.approx(0.01, rel=0.02)


@given(st.lists(st.integers(0, 2), max_size=20), st.lists(st.integers(0, 2), max_size=20), st.integers(0, 3))
def test_mode_share_and_surprise_equal_the_slow_way(population, own, mode):
    everybody = population + own
    whole, card = (np.zeros(unusualness.MODES + 4, np.int64) for _ in range(2))
    for row, stream in ((whole, everybody), (card, own)):
        for j in stream:
            row[unusualness.MODES + j] += 1
    assert unusualness.mode_share(mode, 4, whole, card, 5.0) == naive.mode_share(mode, 4, everybody, own, 5.0)
    assert unusualness.mode_surprise(mode, 4, whole, card, 5.0) == pytest.approx(naive.mode_surprise(mode, 4, everybody, own, 5.0))


def test_shares_of_all_modes_sum_to_one():
    whole, card = np.arange(unusualness.MODES + 4), np.arange(unusualness.MODES + 4)[::-1].copy()
    assert sum(unusualness.mode_share(j, 4, whole, card, 5.0) for j in range(4)) == pytest.approx(1.0)


def test_the_usual_mode_is_no_surprise():
    whole = np.array([0] * unusualness.MODES + [90, 10])
    assert unusualness.mode_surprise(0, 2, whole, whole, 5.0) == 0.0
    assert unusualness.mode_surprise(1, 2, whole, whole, 5.0) == pytest.approx(math.log(10), abs=0.1)


@given(st.integers(0, 10**7), st.floats(0.5, 10**7))
def test_a_gap_is_the_more_surprising_the_shorter_it_is(gap, usual):
    assert unusualness.gap_surprise(gap, usual) == pytest.approx(-math.log(-math.expm1(-(gap + 1) / usual)), abs=1e-12)
    assert unusualness.gap_surprise(gap, usual) >= unusualness.gap_surprise(gap + 1, usual) >= 0.0


def test_where_there_is_no_gap_there_is_no_surprise():
    assert unusualness.gap_surprise(-1, 100.0) == 0.0
    assert unusualness.gap_surprise(5, 0.0) == 0.0


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
