"""The boundary of late fraud."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.benford.evidence import follow
from detectors.benford.reference import digit_probabilities
from detectors.benford.shiryaev_roberts import CROSSING, POSTINGS, boundary
from tests.papers.benford_stream.crossing import simulated_crossing

LAW = digit_probabilities(np.log10(1_800.0), 0.6, 0, 5_000)


def test_the_boundary_is_flat_for_most_years_and_rises_beyond():
    assert boundary(0.05, 1) == boundary(0.05, 10_000) == CROSSING / 0.05 * POSTINGS
    assert boundary(0.05, 20_000) == 4 * boundary(0.05, 1)
    assert boundary(0.005, 1) == pytest.approx(10 * boundary(0.05, 1))


def test_the_constant_lies_below_what_is_proved():
    assert CROSSING <= 2.0


def test_the_statistic_s_mean_is_the_number_of_postings():
    """What the proved bound rests on; a heavy tail, so a short stretch and a wide tolerance."""
    rng = np.random.default_rng(0)
    ends = [follow(LAW, rng.choice(9, 50, p=LAW))[1, -1] for _ in range(4_000)]
    assert np.mean(ends) == pytest.approx(50.0, rel=0.05)


def test_the_simulation_follows_the_offline_statistic():
    law = np.full(9, 1 / 9)
    draws = np.random.default_rng(3).random((2, 400))
    digits = np.minimum((draws * 9).astype(np.int64), 8)
    reference = sorted(follow(law, row)[1].max() / POSTINGS for row in digits)
    computed = simulated_crossing(law, employees=2, postings=400, seed=3)
    assert computed == pytest.approx(reference, rel=1e-9)


def test_few_honest_employees_cross_the_boundary():
    reached = simulated_crossing(LAW, employees=300, postings=4_000, seed=9)
    assert np.mean(reached >= CROSSING / 0.05) <= 0.05
