"""The band just below an approval limit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from detectors.benford.band import INSIDE, NEIGHBOUR, OUTSIDE, band_of, band_share, next_limit
from tests import naive


@given(
    mu=st.floats(1.0, 7.0), sigma=st.floats(0.2, 2.0), approval=st.integers(100, 10_000_000), width=st.sampled_from([0.02, 0.05, 0.1]),
    end=st.sampled_from([math.inf, 1e6, 1e8]), local=st.booleans(),
)  # fmt: skip
def test_the_band_s_share_is_the_cut_log_normal_s(mu, sigma, approval, width, end, local):
    assume(approval <= end)
    assume(abs(math.log10(approval) - mu) < 4 * sigma)
    reference = naive.band_share(mu, sigma, approval, width, end, local)
    assert band_share(mu, sigma, approval, 0, width, end, local) == pytest.approx(reference, rel=1e-6, abs=1e-12)


def test_the_band_ends_just_below_its_limit():
    assert [band_of(amount, 10_000, 0, 0.1) for amount in (6_999, 7_000, 8_999, 9_000, 9_999, 10_000)] == [
        OUTSIDE, NEIGHBOUR, NEIGHBOUR, INSIDE, INSIDE, OUTSIDE,
    ]  # fmt: skip
    assert band_of(1, 1, 0, 0.1) == OUTSIDE


@given(amount=st.integers(-(2**63), 2**63 - 1), approval=st.integers(-1, 2**63 - 1))
def test_every_amount_and_limit_of_64_bits_has_a_place(amount, approval):
    assert band_of(amount, approval, 0, 0.1) in (OUTSIDE, NEIGHBOUR, INSIDE)


def test_a_band_beyond_the_accounting_limit_has_no_share():
    assert band_share(4.5, 0.6, 1_000_000, 0, 0.1, 500_000.0, False) == 0.0
    assert band_share(4.5, 0.6, 1_000_000, 0, 0.1, 500_000.0, True) == 0.0


def test_where_the_law_says_nothing_the_bands_are_taken_as_even():
    assert band_share(0.0, 0.01, 10**9, 0, 0.1, math.inf, True) == pytest.approx(1 / 3)


def test_of_several_limits_the_next_one_counts_and_no_band_reaches_below_the_one_before():
    limits = np.array([10_000, 10_500])
    assert [next_limit(amount, limits) for amount in (1, 9_999, 10_000, 10_499, 10_500, 10**9)] == [0, 0, 1, 1, 1, 1]
    assert [band_of(amount, 10_500, 10_000, 0.1) for amount in (9_999, 10_000, 10_499)] == [OUTSIDE, INSIDE, INSIDE]
    apart = band_share(4.5, 0.6, 10_000, 0, 0.1, math.inf, False) + band_share(4.5, 0.6, 10_500, 10_000, 0.1, math.inf, False)
    assert apart == pytest.approx(
        naive.cut_distribution(10_500, 4.5, 0.6, 1, math.inf) - naive.cut_distribution(9_000, 4.5, 0.6, 1, math.inf)
    )
