"""The fit check says for how many postings the log-normal may serve, and is right about it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import chi2, ncx2

from detectors.benford.fit_check import TOLERATED, check_log_normal, law_distance, most_telling
from detectors.benford.reference import benford_probabilities, digit_probabilities
from state.log_histogram import LARGEST, histogram_of, no_amounts

MU = math.log10(350.0)


def drawn(n, mu=MU, sigma=0.6, top=math.inf, seed=0):
    amounts = np.floor(10 ** np.random.default_rng(seed).normal(mu + 2, sigma, n))
    return amounts[(amounts >= 1) & (amounts <= top)].astype(np.int64)


def test_the_tolerated_non_centrality_lets_five_per_cent_become_seven():
    for df, tolerated in enumerate(TOLERATED, 1):
        reference = brentq(lambda x, df=df: ncx2.sf(chi2.isf(0.05, df), df, x) - 0.07, 1e-6, 10)
        assert tolerated == pytest.approx(reference, abs=5e-5)


def test_the_distance_is_what_it_is_and_not_what_chance_adds():
    law, true = digit_probabilities(MU, 0.6, 0.01, 5_000.0), benford_probabilities()
    reference = ((true - law) ** 2 / law).sum()
    draws = np.random.default_rng(3).multinomial(20_000, true, 400) / 20_000
    computed = [law_distance(found, law, 20_000)[0] for found in draws]
    assert np.mean(computed) == pytest.approx(reference, rel=0.05)


def test_log_normal_amounts_pass_and_honest_employees_would_seldom_be_rejected():
    amounts = drawn(200_000, top=500_000)
    check = check_log_normal(histogram_of(amounts, np.full(len(amounts), 500_000)), MU, 0.6, high=500_000)
    assert check.p_value > 0.01
    assert check.holds(1e9)
    assert check.holds_for > 9_000
    assert check.deviation < 0.001


@pytest.mark.parametrize("step", [0.1, 0.2])
def test_so_many_postings_are_rejected_seven_times_in_a_hundred(step):
    """Where mu is off, exactly `holds_for` postings bring the false alarms of a 5 % test to 7 %."""
    amounts = drawn(1_000_000, top=500_000)
    check = check_log_normal(histogram_of(amounts), MU + step, 0.6, high=500_000)
    n = int(check.holds_for)
    assert not check.holds(2 * n)
    assert check.holds(n)
    law, true = digit_probabilities(MU + step, 0.6, 0.01, 5_000.0), digit_probabilities(MU, 0.6, 0.01, 5_000.0)
    counts = np.random.default_rng(5).multinomial(n, true, 40_000)
    rejected = (((counts - n * law) ** 2 / (n * law)).sum(1) > chi2.isf(0.05, 8)).mean()
    assert rejected == pytest.approx(0.07, abs=0.005)


@given(
    postings=st.lists(st.tuples(st.integers(1, 5_000), st.sampled_from([-1, 99, 999, 2_499])).filter(lambda p: p[1] < 0 or p[0] <= p[1])),
)
def test_the_most_telling_limit_has_the_most_amounts_that_could_have_been_higher(postings):
    amounts, limits = (np.array([posting[i] for posting in postings], np.int64) for i in range(2))
    tops = np.where(limits < 0, LARGEST, limits + 1)

    def tells(high):
        return int(((amounts < high) & (tops >= high)).sum())

    computed = most_telling(histogram_of(amounts, limits))
    assert tells(computed) == max(tells(high) for high in (100, 1_000, 2_500, LARGEST))


def test_where_everybody_has_a_limit_the_law_is_checked_below_it():
    amounts = drawn(20_000, top=499_999)
    histogram = histogram_of(np.concatenate([amounts, np.full(5_000, 7_777)]), np.full(len(amounts) + 5_000, 499_999))
    check = check_log_normal(histogram, MU, 0.6)
    assert check.high == 500_000
    assert check.amounts == len(amounts) + 5_000
    assert not check.holds(20)
    assert check_log_normal(histogram_of(amounts, np.full(len(amounts), 499_999)), MU, 0.6).holds(1_000)


def test_few_amounts_contradict_nothing():
    assert check_log_normal(no_amounts(), MU, 0.6).holds(1e9)
    assert check_log_normal(histogram_of(np.full(50, 99)), MU, 0.6).holds(1e9)


def test_amounts_where_the_log_normal_has_none_contradict_it():
    check = check_log_normal(histogram_of(np.full(200, 99)), mu=50.0, sigma=0.1, high=200)
    assert not check.holds(1)


@pytest.mark.parametrize(("mu", "sigma"), [(math.nan, 0.6), (2.5, 0.0), (2.5, math.inf)])
def test_a_law_that_does_not_exist_is_refused(mu, sigma):
    with pytest.raises(ValueError, match="wanted finite numbers"):
        check_log_normal(no_amounts(), mu, sigma)
