"""Chi-square, its p-values, and the descriptions beside it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from detectors.benford.fit import (
    chi_square_tail,
    cramers_v,
    deviations,
    goodness_of_fit,
    look_tail,
)
from detectors.benford.reference import benford_probabilities, digit_probabilities
from tests import naive


@given(x=st.floats(0.0, 1_300.0), df=st.integers(1, 12))
def test_the_tail_of_chi_square_is_scipys(x, df):
    assert chi_square_tail(x, df) == pytest.approx(chi2.sf(x, df), rel=1e-12)


@given(x=st.floats(0.0, 300.0), n=st.integers(50, 5_000), k=st.integers(2, 9), rarest=st.floats(5.0, 8.0))
def test_the_p_value_of_a_look_is_the_expansions(x, n, k, rarest):
    p = np.full(k, (1.0 - rarest / n) / (k - 1))
    p[0] = rarest / n
    rarity = float((1.0 / p).sum())
    assert look_tail(x, k - 1, n, rarity) == pytest.approx(naive.look_p_value(x, k, n, rarity), rel=1e-10)
    assert look_tail(x, k - 1, n, rarity) >= chi_square_tail(x, k - 1)


@pytest.mark.parametrize("mu", [math.log10(350.0), math.log10(1_800.0)])
def test_the_p_value_of_a_look_keeps_its_level_where_chi_squares_own_does_not(mu):
    law = digit_probabilities(mu, 0.6, high=5_000.0)
    n, level, draws = math.ceil(5.0 / law.min()), 0.003, 100_000
    counts = np.random.default_rng(17).multinomial(n, law, size=draws)
    x = ((counts - n * law) ** 2 / (n * law)).sum(1)
    error = 3 * math.sqrt(level / draws)
    kept = np.mean([look_tail(value, 8, n, float((1.0 / law).sum())) <= level for value in x.tolist()])
    assert abs(kept - level) < error + 0.1 * level
    assert (chi2.sf(x, 8) <= level).mean() > level + error


@given(x=st.floats(0.0, 200.0), more=st.floats(0.0, 50.0), n=st.integers(110, 2_000), df=st.integers(1, 8))
def test_the_p_value_of_a_look_never_rises_with_the_statistic(x, more, n, df):
    assert look_tail(x + more, df, n, 113.5) <= look_tail(x, df, n, 113.5) * (1 + 1e-9)


def test_one_possible_digit_is_not_testable():
    assert chi_square_tail(0.0, 0) == 1.0
    assert goodness_of_fit(np.array([70, 0, 0, 0, 0, 0, 0, 0, 0]), np.eye(9)[0]) == (0.0, 0, 1.0)
    assert cramers_v(0.0, 70, 0) == 0.0


def test_impossible_digits_are_left_out_and_may_not_be_observed():
    law = digit_probabilities(4.4, 0.6, 1_000.0, 5_000.0)
    observed = np.array([80, 70, 60, 50, 0, 0, 0, 0, 0])
    x, df, p = goodness_of_fit(observed, law)
    reference, cells = naive.chi_square(observed.tolist(), (260 * law).tolist())
    assert (x, df) == (pytest.approx(reference), cells)
    assert df == 3
    assert p == pytest.approx(chi2.sf(x, 3))
    with pytest.raises(ValueError, match="rules out"):
        goodness_of_fit(observed + 1, law)


@given(
    observed=st.lists(st.integers(0, 500), min_size=9, max_size=9).filter(any),
    weights=st.lists(st.floats(0.0, 1.0), min_size=9, max_size=9).filter(lambda w: sum(w) > 0.1),
)
def test_descriptions_are_the_slow_ways(observed, weights):
    law = np.array(weights) / sum(weights)
    found, usual = deviations(np.array(observed), law * sum(observed), sum(observed))
    assert (found, found - usual) == pytest.approx(naive.excess_deviation(observed, law.tolist()), abs=1e-14)
    x, df = naive.chi_square([5.0, 3.0], [4.0, 4.0])
    assert cramers_v(x, 8, df) == pytest.approx(math.sqrt(x / 8))


def test_the_excess_deviation_of_honest_amounts_is_zero_on_average():
    law = benford_probabilities()
    draws = np.random.default_rng(5).multinomial(150, law, size=2_000)
    found, usual = np.array([deviations(row, 150 * law, 150) for row in draws]).T
    # Nigrini's limit of .015 would condemn most of them
    assert (found > 0.015).mean() > 0.6
    # the normal approximation of E|O/n − p| is 1 % off at 150 amounts
    assert abs((found - usual).mean()) < 4 * found.std() / math.sqrt(2_000) + 0.01 * found.mean()
