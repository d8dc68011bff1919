"""The reference is the paper's: Benford's law, its digit cut-off, the cut-off log-normal."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.benford.reference import benford_probabilities, digit_cut_off, digit_probabilities, possible_digits
from tests import naive


@settings(max_examples=60)
@given(
    mu=st.floats(0.0, 6.0),
    sigma=st.floats(0.1, 2.0),
    below=st.one_of(st.none(), st.floats(0.05, 3.0)),
    above=st.one_of(st.none(), st.floats(0.05, 3.0)),
)
def test_the_law_is_the_slow_sum_over_decades(mu, sigma, below, above):
    low = 0.0 if below is None else 10 ** (mu - below * sigma)
    high = math.inf if above is None else 10 ** (mu + above * sigma)
    reference = naive.digit_law(mu, sigma, low, high)
    computed = digit_probabilities(mu, sigma, low, high)
    np.testing.assert_allclose(computed, reference, rtol=0, atol=1e-13)
    assert abs(computed.sum() - 1.0) < 1e-14


def test_the_first_two_digits_follow_the_same_law():
    reference = naive.digit_law(2.5, 0.6, 10.0, 2_500.0, places=2)
    computed = digit_probabilities(2.5, 0.6, 10.0, 2_500.0, places=2)
    np.testing.assert_allclose(computed, reference, rtol=0, atol=1e-14)
    np.testing.assert_allclose(computed.reshape(9, 10).sum(1), digit_probabilities(2.5, 0.6, 10.0, 2_500.0), rtol=1e-13)


@pytest.mark.parametrize(
    ("median", "law"),
    [
        (350.0, [0.3030, 0.1801, 0.1283, 0.0996, 0.0739, 0.0638, 0.0561, 0.0501, 0.0451]),
        (1_800.0, [0.3029, 0.2029, 0.1511, 0.1200, 0.0500, 0.0472, 0.0445, 0.0419, 0.0396]),
    ],
)
def test_the_settings_of_the_papers_table_1_give_these_laws(median, law):
    assert digit_probabilities(math.log10(median), 0.6, high=5_000.0).round(4).tolist() == law


def test_a_wide_log_normal_is_benfords_law():
    np.testing.assert_allclose(digit_probabilities(3.0, 3.0), benford_probabilities(), atol=1e-12)
    np.testing.assert_allclose(benford_probabilities(), naive.benford_law(), rtol=1e-15)
    assert abs(benford_probabilities(2).sum() - 1.0) < 1e-14


def test_limits_that_are_edges_rule_digits_out_exactly():
    assert (digit_probabilities(4.4, 0.6, 1_000.0, 5_000.0)[4:] == 0.0).all()
    assert (digit_probabilities(4.4, 0.6, 5_000.0, 10_000.0)[:4] == 0.0).all()
    assert digit_probabilities(4.4, 0.6, 10_000.0, 20_000.0).tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert (digit_probabilities(-1.0, 0.6, 0.01, 0.03)[2:] == 0.0).all()


def test_far_in_a_tail_the_law_keeps_its_digits():
    computed = digit_probabilities(3.0, 0.2, 0.5, 1.0)
    # z from −16.5 to −15: masses near 1e−52, of which a difference of distribution functions would keep nothing
    step = 1e-6
    grid = np.arange(math.log10(0.5) + step / 2, 0.0, step)
    density = np.exp(-0.5 * (((grid - 3.0) / 0.2) ** 2 - (3.0 / 0.2) ** 2))
    for d in range(5, 10):
        share = density[(grid >= math.log10(d / 10)) & (grid < math.log10((d + 1) / 10))].sum() / density.sum()
        assert computed[d - 1] == pytest.approx(share, rel=1e-3)


@pytest.mark.parametrize("places", [1, 2])
@pytest.mark.parametrize(("low", "high"), [(1_000, 5_000), (5_000, 20_000), (20_000, 50_000), (200, 1_000), (52, 61), (95, 105), (7, 70)])
def test_the_digit_cut_off_rescales_benfords_law_on_possible_digits(low, high, places):
    low, high = low * 10 ** (places - 1), high * 10 ** (places - 1)  # so that whole numbers reach every pair of digits
    reference = naive.digit_cut_off(low, high, places)
    np.testing.assert_allclose(digit_cut_off(low, high, places=places), reference, rtol=1e-13)
    assert possible_digits(low, high, places=places).tolist() == [p > 0 for p in reference]


@given(low=st.integers(100, 99_999), width=st.integers(1, 99_999), places=st.sampled_from([1, 2]))
def test_the_law_leaves_no_digit_that_the_limits_rule_out(low, width, places):
    possible = possible_digits(low, low + width, places=places)
    reference = naive.digit_cut_off(low, low + width, places)
    assert possible.tolist() == [p > 0 for p in reference]
    law = digit_probabilities(4.0, 0.6, low, low + width, places=places)
    assert ((law > 0.0) == possible).all()


def test_without_limits_the_digit_cut_off_is_benfords_law():
    assert possible_digits().all()
    np.testing.assert_allclose(digit_cut_off(), benford_probabilities(), rtol=1e-14)


@pytest.mark.parametrize(("mu", "sigma", "high"), [(1.0, 0.0, 10.0), (math.nan, 1.0, 10.0), (1.0, -1.0, 10.0), (9.0, 0.1, 1.0)])
def test_a_law_that_does_not_exist_is_refused(mu, sigma, high):
    with pytest.raises(ValueError, match=r"wanted|no amounts"):
        digit_probabilities(mu, sigma, high=high)


def test_absurd_parameters_do_no_harm():
    assert abs(digit_probabilities(100.0, 10.0).sum() - 1.0) < 1e-12
    assert digit_probabilities(2.0, 1e-6).tolist() == pytest.approx([0.5, 0, 0, 0, 0, 0, 0, 0, 0.5])
