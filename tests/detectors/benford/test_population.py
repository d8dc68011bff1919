"""The population's law is found although nobody's amounts were left uncut."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.benford.fit import goodness_of_fit
from detectors.benford.population import population_parameters
from detectors.benford.reference import digit_probabilities
from detectors.benford.truncated import fit_truncated
from state.log_histogram import histogram_of, learn_amount, no_amounts
from state.moments import learn_moment, no_moments
from tests.papers.benford.counted import count_digits


def learnt(amounts, limits):
    """Moments and histogram as a fold makes them: of the same amounts."""
    moments, histogram = no_moments(), no_amounts()
    for amount, limit in zip(amounts.tolist(), limits.tolist(), strict=True):
        if learn_amount(histogram, amount, limit):
            learn_moment(moments, math.log10(amount) - 2)
    return moments, histogram


def fleet(rng, n, mu, sigma, limits):
    limits = rng.choice(np.array(limits), n)
    amounts = np.floor(10 ** rng.normal(mu + 2, sigma, n)).astype(np.int64)
    kept = (amounts > 0) & ((limits < 0) | (amounts <= limits))
    return amounts[kept], limits[kept]


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), limits=st.lists(st.sampled_from([49_999, 99_999, 199_999, -1]), min_size=1, max_size=4, unique=True))
def test_it_is_the_truncated_fit_to_every_limits_amounts(seed, limits):
    amounts, limit = fleet(np.random.default_rng(seed), 500, 2.5, 0.6, limits)
    strata, bounds = [], []
    for value in set(limit.tolist()):
        logs = np.log10(amounts[limit == value]) - 2
        strata.append([len(logs), logs.mean(), ((logs - logs.mean()) ** 2).sum()])
        bounds.append((0.0, math.inf if value < 0 else (value + 1) / 100))
    reference = fit_truncated(strata, bounds, mu=math.nan, sigma=math.nan)
    computed = population_parameters(*learnt(amounts, limit))
    if reference.reason != "found":
        assert computed.reason == reference.reason
        return
    if limits == [-1]:
        assert computed.reason == "no limits"
        assert computed.sigma == pytest.approx(reference.sigma * math.sqrt(len(amounts) / (len(amounts) - 1)), rel=1e-9)
        return
    assert computed.mu == pytest.approx(reference.mu, rel=1e-7)
    assert computed.sigma == pytest.approx(reference.sigma, rel=1e-7)


def test_under_limits_of_their_own_plain_moments_condemn_the_honest_and_the_populations_law_does_not():
    """Median 1,800 under limits of 5,000 and 2,000: 1,000 postings of every honest employee, tested at 5 %."""
    rng = np.random.default_rng(8)
    amounts, limits = fleet(rng, 200_000, math.log10(1_800.0), 0.6, [499_999, 199_999])
    moments, histogram = learnt(amounts, limits)
    fit = population_parameters(moments, histogram)
    assert fit.reason == "found"
    assert fit.mu == pytest.approx(math.log10(1_800.0), abs=0.05)
    assert fit.sigma == pytest.approx(0.6, abs=0.02)
    plain_sigma = math.sqrt(moments[2] / (moments[0] - 1))
    own = amounts[limits == 499_999]
    rejected = np.zeros(2)
    for i in range(80):
        counts = count_digits(own[1_000 * i : 1_000 * (i + 1)])
        for j, (mu, sigma) in enumerate(((fit.mu, fit.sigma), (moments[1], plain_sigma))):
            rejected[j] += goodness_of_fit(counts, digit_probabilities(mu, sigma, 0.01, 5_000.0))[2] <= 0.05
    assert rejected[0] <= 10
    assert rejected[1] >= 70


def test_moments_of_other_amounts_are_refused():
    with pytest.raises(ValueError, match="of the same amounts"):
        population_parameters(np.array([3.0, 2.5, 1.0]), histogram_of(np.array([500])))
