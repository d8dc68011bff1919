"""How employees' digit laws differ."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.benford.dispersion import CELLS, dispersion, dispersion_counts, merge_dispersion
from detectors.benford.reference import digit_probabilities

LAW = digit_probabilities(2.5, 0.6)


def drawn(rng, employees, rho):
    n = rng.integers(120, 1_500, employees)
    own = np.tile(LAW, (employees, 1)) if rho == 0 else rng.dirichlet(LAW * (1 - rho) / rho, employees)
    return np.array([rng.multinomial(a, p) for a, p in zip(n, own, strict=True)]), n[:, None] * LAW


@pytest.mark.parametrize("rho", [0.001, 0.005, 0.03])
def test_scatter_is_found_again(rho):
    observed, expected = drawn(np.random.default_rng(1), 2_000, rho)
    assert dispersion(dispersion_counts(observed, expected)) == pytest.approx(rho, rel=0.25)


def test_where_everybody_is_alike_there_is_none():
    found = [dispersion(dispersion_counts(*drawn(np.random.default_rng(seed), 300, 0.0))) for seed in range(20)]
    assert sum(rho == 0.0 for rho in found) >= 14
    assert max(found) < 3e-4


def test_a_few_fraudsters_hardly_move_it():
    observed, expected = drawn(np.random.default_rng(2), 1_000, 0.002)
    before = dispersion(dispersion_counts(observed, expected))
    observed[:20, 8] += observed[:20].sum(axis=1)  # half of their postings are nines
    assert dispersion(dispersion_counts(observed, expected)) <= 1.2 * before


def test_partitions_counts_add_up():
    observed, expected = drawn(np.random.default_rng(3), 60, 0.01)
    parts = [dispersion_counts(observed[a], expected[a]) for a in (slice(10), slice(10, 45), slice(45, None))]
    assert merge_dispersion(parts) == dispersion_counts(observed, expected)
    assert len(parts[0]) == CELLS


def test_few_employees_or_amounts_tell_nothing():
    observed, expected = drawn(np.random.default_rng(4), 19, 0.1)
    assert dispersion(dispersion_counts(observed, expected)) == 0.0
    assert sum(dispersion_counts(np.full((5, 9), 4), np.full((5, 9), 4.0))) == 0
