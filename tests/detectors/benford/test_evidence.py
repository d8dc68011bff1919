"""Bets on a place, and what they win."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.benford.evidence import bet, bet_without_onset, follow, mean_of, no_bets, slope_of
from detectors.benford.lanes import BETS, LANES, LARGEST, SIZES, SMALLEST
from detectors.benford.reference import digit_probabilities
from tests import naive

shares = st.floats(0.001, 0.9)
correlations = st.sampled_from([0.0, 1e-4, 0.002, 0.1])
sequences = st.lists(st.booleans(), min_size=1, max_size=60)


def fresh(places):
    bets = np.empty(places * LANES)
    no_bets(bets)
    return bets


def products(hits, share, rho):
    bets = fresh(1)
    for i, hit in enumerate(hits):
        bet(bets, 0, slope_of(share, sum(hits[:i]), i - sum(hits[:i]), hit, rho))
    return bets[:BETS], bets[BETS:]


@given(numbers=st.lists(st.floats(0.0, LARGEST), min_size=3 * LANES, max_size=3 * LANES), slope=st.floats(-1.0, 1e6))
def test_lanes_at_once_are_the_lanes_one_by_one_to_the_bit(numbers, slope):
    def kept(x):
        return min(x if x > SMALLEST else 0.0, LARGEST)

    sums = np.repeat([0.0, float(slope != 0.0)], BETS)
    sizes = np.concatenate([SIZES, SIZES])
    reference, computed, without = np.array(numbers), np.array(numbers), np.array(numbers)
    for k in range(LANES):
        reference[LANES + k] = kept((reference[LANES + k] + sums[k]) * (1.0 + sizes[k] * slope))
    bet(computed, LANES, slope)
    bet_without_onset(without, LANES, slope)
    assert computed.tobytes() == reference.tobytes()
    assert without[LANES : LANES + BETS].tobytes() == reference[LANES : LANES + BETS].tobytes()
    for first in (0, BETS):
        total = 0.0
        for k in range(first, first + BETS):
            total += ((0.0 + reference[k]) + reference[LANES + k]) + reference[2 * LANES + k]
        assert mean_of(computed, first, 3) == total / (3 * BETS)


@given(hits=sequences, share=shares, rho=correlations)
def test_what_a_bet_wins_is_a_ratio_of_two_probabilities(hits, share, rho):
    reference = [naive.spike_evidence(hits, share, size, rho) for size in SIZES]
    computed, _ = products(hits, share, rho)
    assert computed == pytest.approx(reference, rel=1e-7)


@given(hits=sequences, share=shares, rho=correlations)
def test_the_onset_sums_the_products_that_began_at_every_posting(hits, share, rho):
    factors = np.array([products(hits[: i + 1], share, rho)[0] for i in range(len(hits))])
    factors[1:] /= factors[:-1].copy()
    reference = [naive.shiryaev_roberts(factors[:, e].tolist()) for e in range(BETS)]
    _, computed = products(hits, share, rho)
    assert computed == pytest.approx(reference, rel=1e-9)


@given(share=shares, truth=shares, hits=st.integers(0, 500), others=st.integers(0, 500), rho=correlations)
def test_a_bet_is_no_better_than_fair_under_any_honest_share(share, truth, hits, others, rho):
    """The mean of the next factor, given all that went before, is 1 at p̄ itself and no more below it."""
    means = []
    for p in (share, min(truth, share)):
        chance = (p * (1 - rho) + rho * hits) / (1 - rho + rho * (hits + others))
        won = [1 + np.array(SIZES) * slope_of(share, hits, others, hit, rho) for hit in (False, True)]
        means.append(chance * won[True] + (1 - chance) * won[False])
    assert means[0] == pytest.approx(np.ones(BETS), rel=1e-9)
    assert (means[1] <= 1 + 1e-9).all()


@given(seed=st.integers(0, 2**32 - 1), rho=correlations)
def test_the_e_value_is_the_mean_over_digits_and_sizes(seed, rho):
    rng = np.random.default_rng(seed)
    law = digit_probabilities(2.5, 0.6)
    digits = rng.integers(-1, 9, 40)
    each = [naive.spike_evidence([d == place for d in digits], law[place], size, rho) for place in range(9) for size in SIZES]
    assert follow(law, digits, rho)[0, -1] == pytest.approx(math.fsum(each) / len(each), rel=1e-7)


def test_no_length_of_stream_makes_evidence_overflow_or_creep():
    won, late = follow(np.array([0.01]), np.zeros(5_000, np.int64))
    assert np.isfinite(won).all()
    assert np.isfinite(late).all()
    lost, idle = follow(np.array([0.5]), np.full(5_000, -1))
    assert 0.0 <= lost[-1] < 1e-10
    assert 0.0 < idle[-1] < 250.0  # of 1 / ε − 1 at most, where nothing ever falls


def test_nothing_is_bet_on_what_is_certain_or_impossible():
    slopes = [slope_of(share, 3, 4, True, 0.0) for share in (0.0, 1.0, math.nan)] + [slope_of(0.5, 0, 0, True, 1.0)]
    bets = fresh(4)
    for place, slope in enumerate(slopes):
        bet(bets, place * LANES, slope)
    assert mean_of(bets, 0, 4) == 1.0
    assert mean_of(bets, BETS, 4) == 0.0


def test_honest_employees_are_ever_alarmed_no_more_often_than_promised():
    rng = np.random.default_rng(5)
    law = digit_probabilities(math.log10(350), 0.6, 0, 5_000)
    ever = np.mean([follow(law, rng.choice(9, 2_000, p=law))[0].max() >= 20 for _ in range(300)])
    assert ever <= 0.05


def test_a_correlation_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"rho = 1.0: wanted a correlation"):
        follow(np.array([0.1]), np.array([0]), 1.0)
