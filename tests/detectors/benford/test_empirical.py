"""The law of the stream's own amounts, cut off at any limit although every amount kept one of its own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.benford.empirical import empirical_law, semi_parametric_law
from detectors.benford.reference import digit_probabilities
from state.log_histogram import LARGEST, histogram_of
from tests import naive
from tests.papers.benford.counted import count_digits

AMOUNTS = st.one_of(st.integers(1, 120), st.integers(1, 10**5))
LIMITS = st.one_of(st.none(), st.sampled_from([99, 999, 1_000, 2_499, 4_999, 123_456]))


def encoded(postings):
    return histogram_of(
        np.array([amount for amount, _ in postings]), np.array([-1 if limit is None else limit for _, limit in postings])
    )  # fmt: skip


@settings(max_examples=200)
@given(
    postings=st.lists(st.tuples(AMOUNTS, LIMITS), min_size=1, max_size=40),
    low=st.sampled_from([1, 1, 7, 15, 1_000]),
    high=st.sampled_from([60, 1_000, 5_000, 2_537, 10**6, LARGEST]),
    places=st.sampled_from([1, 2]),
)
def test_the_law_is_the_slow_product_limit(postings, low, high, places):
    reference = naive.empirical_law(postings, low, high, places)
    computed = np.zeros(9 if places == 1 else 90)
    n = empirical_law(encoded(postings), low, high, computed)
    if n == 0:
        assert (computed == 0.0).all()
        return
    np.testing.assert_allclose(computed, reference, rtol=0, atol=1e-12)
    assert 0 < n <= sum(1 for amount, _ in postings if amount < high)


@given(amounts=st.lists(AMOUNTS, min_size=1, max_size=50), high=st.sampled_from([10, 50, 2_500, 40_000]))
def test_without_limits_it_is_the_plain_count_below_an_edge(amounts, high):
    amounts = np.array(amounts)
    reference = count_digits(amounts[amounts < high])
    computed = np.zeros(9)
    assert empirical_law(encoded([(int(amount), None) for amount in amounts]), 1, high, computed) == reference.sum()
    np.testing.assert_allclose(computed, reference / max(reference.sum(), 1), atol=1e-13)


def test_amounts_cut_off_at_many_limits_tell_the_law_that_was_cut():
    """Nine in ten amounts kept a limit, so a plain count has too few large ones; the product-limit has not."""
    rng = np.random.default_rng(1)
    limits = rng.choice(np.array([49_999, 99_999, 249_999, 499_999, -1]), 400_000, p=[0.3, 0.3, 0.2, 0.1, 0.1])
    amounts = np.floor(10 ** rng.normal(math.log10(350.0) + 2, 0.6, 400_000)).astype(np.int64)
    kept = (limits < 0) | (amounts <= limits)
    amounts, limits = amounts[kept], limits[kept]
    for high in (50_000, 500_000, LARGEST):
        law = digit_probabilities(math.log10(350.0), 0.6, 0.01, high / 100 if high < LARGEST else math.inf)
        computed = np.zeros(9)
        empirical_law(histogram_of(amounts, limits), 1, high, computed)
        assert np.abs(computed - law).max() < 0.004
    plain = count_digits(amounts) / len(amounts)
    assert np.abs(plain - digit_probabilities(math.log10(350.0), 0.6, 0.01)).max() > 0.02


def test_a_gap_that_nobodys_amounts_reach_across_is_not_guessed():
    postings = [(20, 99), (30, 99), (5_000, None)]
    computed = np.zeros(9)
    assert empirical_law(encoded(postings), 1, LARGEST, computed) == 0
    assert (computed == 0.0).all()
    assert empirical_law(encoded(postings), 1, 100, computed) == 2


def test_few_amounts_leave_the_log_normal_in_force_and_many_take_its_place():
    law, out = digit_probabilities(2.5, 0.6, 0.01, 1_000.0), np.zeros(9)
    for n, share in ((0, 0.0), (50, 0.2), (19_800, 0.99)):
        histogram = histogram_of(np.full(n, 42_000))
        assert semi_parametric_law(histogram, 2.5, 0.6, 1, 100_000, 2, 200.0, out) == n
        np.testing.assert_allclose(out, share * np.eye(9)[3] + (1 - share) * law, atol=1e-12)


def test_a_limit_inside_a_cell_takes_its_part_of_it():
    law = np.zeros(9)
    empirical_law(histogram_of(np.array([1_000, 5_050])), 1, 5_025, law)
    assert law[[0, 4]].tolist() == pytest.approx([0.8, 0.2])
