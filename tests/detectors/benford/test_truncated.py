"""The truncated fit is the maximum of the likelihood, from three numbers a stratum, and says when there is none."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detectors.benford.truncated import fit_truncated
from tests import naive

EVERYWHERE = {"mu": -1.0, "sigma": 9.0}  # a population's parameters that no fit gives


def cut(rng, n, mu, sigma, low, high):
    kept = np.zeros(0)
    while len(kept) < n:
        drawn = rng.normal(mu, sigma, 20 * n)
        kept = np.concatenate([kept, drawn[(drawn >= math.log10(low or 1e-300)) & (drawn < math.log10(min(high, 1e300)))]])
    return kept[:n]


def triple(logs):
    return [len(logs), logs.mean(), ((logs - logs.mean()) ** 2).sum()]


STRATA = st.lists(
    st.sampled_from([(0.0, math.inf), (0.0, 5_000.0), (0.0, 500.0), (100.0, math.inf), (50.0, 2_000.0), (0.01, 1_000.0)]),
    min_size=1, max_size=3,
)  # fmt: skip


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), strata=STRATA, mu=st.floats(1.8, 3.2), sigma=st.floats(0.3, 0.8))
def test_no_other_parameters_are_likelier(seed, strata, mu, sigma):
    rng = np.random.default_rng(seed)
    parts = [cut(rng, 40, mu, sigma, low, high) for low, high in strata]
    fit = fit_truncated([triple(part) for part in parts], strata, **EVERYWHERE)
    amounts = [(10**y, low, high) for part, (low, high) in zip(parts, strata, strict=True) for y in part.tolist()]
    if fit.reason != "found":
        # then the likelihood rises, for ever flatter laws, towards that of an exponential one
        assert fit.reason == "no maximum exists"
        assert (fit.mu, fit.sigma) == (-1.0, 9.0)
        return
    assert 1 <= fit.steps <= 30
    if fit.sigma > 5.0:
        return  # nearly flat: scipy's density has no digits left there
    best = naive.truncated_log_likelihood(amounts, fit.mu, fit.sigma)
    for angle in np.linspace(0.0, 2 * math.pi, 5, endpoint=False).tolist():
        for step in (1e-3, 0.1):
            other = (fit.mu + step * math.cos(angle) * fit.sigma, fit.sigma * math.exp(step * math.sin(angle)))
            assert naive.truncated_log_likelihood(amounts, *other) <= best + 1e-9


def test_strata_of_one_limit_are_one():
    rng = np.random.default_rng(2)
    logs = cut(rng, 400, 2.5, 0.6, 0.0, 1_000.0)
    whole = fit_truncated([triple(logs)], [(0.0, 1_000.0)], **EVERYWHERE)
    parts = fit_truncated([triple(logs[:100]), triple(logs[100:]), [0, 0, 0]], [(0.0, 1_000.0)] * 2 + [(0.0, 7.0)], **EVERYWHERE)
    assert (parts.mu, parts.sigma) == (pytest.approx(whole.mu, rel=1e-10), pytest.approx(whole.sigma, rel=1e-10))


def test_without_limits_it_is_the_mean_and_standard_deviation():
    logs = np.random.default_rng(3).normal(2.5, 0.6, 500)
    fit = fit_truncated([triple(logs)], [(0.0, math.inf)], **EVERYWHERE)
    assert (fit.mu, fit.sigma) == (pytest.approx(logs.mean(), rel=1e-9), pytest.approx(logs.std(), rel=1e-9))


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), n=st.sampled_from([30, 100]), mu=st.floats(3.0, 6.0))
def test_a_maximum_exists_below_an_upper_limit_when_distances_to_it_vary_less_than_an_exponential_laws(seed, n, mu):
    logs = cut(np.random.default_rng(seed), n, mu, 0.6, 0.0, 5_000.0) if mu < 4.5 else 3.6 - np.random.default_rng(seed).exponential(0.1, n)
    distance = math.log10(5_000.0) - logs
    fit = fit_truncated([triple(logs)], [(0.0, 5_000.0)], **EVERYWHERE)
    assert (fit.reason == "found") == (distance.std() < distance.mean())


def test_many_amounts_find_the_law_that_was_cut():
    logs = cut(np.random.default_rng(4), 9_000, math.log10(1_800.0), 0.6, 0.0, 5_000.0)
    fit = fit_truncated([triple(logs)], [(0.0, 5_000.0)], **EVERYWHERE)
    assert fit.mu == pytest.approx(math.log10(1_800.0), abs=0.045)  # three standard errors
    assert fit.sigma == pytest.approx(0.6, abs=0.03)
    assert abs(logs.mean() - math.log10(1_800.0)) > 0.2  # what the paper warns of


@settings(max_examples=100)
@given(
    n=st.integers(0, 10**9), mean=st.floats(-1.0, 3.5), m2=st.floats(0.0, 1e12), low=st.sampled_from([0.0, 0.01]),
    high=st.sampled_from([math.inf, 5_000.0]),
)  # fmt: skip
@example(n=30, mean=0.0, m2=5e-324, low=0.0, high=math.inf)
def test_no_moments_do_harm(n, mean, m2, low, high):
    fit = fit_truncated([[n, mean, m2]], [(low, high)], **EVERYWHERE)
    assert math.isfinite(fit.mu)
    assert fit.sigma > 0.0
    assert n >= 30 or fit.reason == "too few amounts, or all alike"


@pytest.mark.parametrize(
    ("moments", "bounds", "message"),
    [
        ([[50, 2.0, 9.0]], [(10.0, 5.0)], "below their upper limits"),
        ([[50, 2.0, 9.0]], [(-1.0, 5_000.0)], "lower limits of 0 or more"),
        ([[50, 4.0, 9.0]], [(0.0, 5_000.0)], "outside its own limits"),
        ([[50, math.nan, 9.0]], [(0.0, 5_000.0)], "finite moments"),
        ([[50, 2.0, 9.0]], [(0.0, 1.0), (0.0, 2.0)], "a row of bounds each"),
    ],
)
def test_moments_and_bounds_that_can_not_be_are_refused(moments, bounds, message):
    with pytest.raises(ValueError, match=message):
        fit_truncated(moments, bounds, **EVERYWHERE)


def test_a_fit_takes_less_than_half_a_millisecond():
    logs = cut(np.random.default_rng(5), 9_000, math.log10(1_800.0), 0.6, 0.0, 5_000.0)
    moments, bounds = [triple(logs)], [(0.0, 5_000.0)]
    rounds = []
    for _ in range(30):
        begin = time.perf_counter()
        fit_truncated(moments, bounds, **EVERYWHERE)
        rounds.append(time.perf_counter() - begin)
    assert min(rounds) < 0.5e-3
