"""Quantile curves: optimal by the pinball loss, ascending when read, safe outside what they were fit on."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.hardness.curves import LEVELS, QuantileCurves, regress
from tests import naive


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(5, 11), knots=st.integers(2, 3), level=st.sampled_from(LEVELS))
def test_the_linear_programme_finds_the_smallest_pinball_loss(seed: int, n: int, knots: int, level: float) -> None:
    rng = np.random.default_rng(seed)
    hardness, error = rng.lognormal(size=n), rng.lognormal(size=n)
    design = QuantileCurves(np.unique(np.quantile(hardness, np.linspace(0, 1, knots))), np.zeros((4, 1)), 1, 1.0).design(hardness)
    reference = naive.smallest_pinball_sum(design.tolist(), error.tolist(), level)
    computed = naive.pinball_sum(error.tolist(), (design @ regress(design, error, level)).tolist(), level)
    assert computed == pytest.approx(reference, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_the_basis_is_the_one_of_cox_and_de_boor(degree: int) -> None:
    knots = np.array([0.5, 1.0, 2.5, 4.0])
    hardness = np.concatenate([np.linspace(0.5, 4.0, 15), knots])
    padded = [0.5] * degree + knots.tolist() + [4.0] * degree
    reference = [[naive.b_spline(padded, degree, j, h) for j in range(len(knots) + degree - 1)] for h in hardness.tolist()]
    computed = QuantileCurves(knots, np.zeros((4, 1)), degree, 1.0).design(hardness)
    np.testing.assert_allclose(computed, reference, atol=1e-12)


def test_curves_at_degree_one_are_straight_between_the_knots() -> None:
    rng = np.random.default_rng(5)
    curves = QuantileCurves.fit(rng.lognormal(size=500), rng.lognormal(size=500))
    assert len(curves.knots) == 5
    probes = np.concatenate([[0.0, 1e9], curves.knots, rng.lognormal(size=50)])
    reference = [naive.curve_values(curves.knots.tolist(), curves.coefficients.tolist(), h) for h in probes.tolist()]
    np.testing.assert_allclose(curves.at(probes), reference, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 19, 20, 101])
def test_where_hardness_is_constant_the_curves_are_the_sample_quantiles(n: int) -> None:
    error = np.random.default_rng(n).lognormal(size=n)
    curves = QuantileCurves.fit(np.full(n, 2.0), error)
    reference = [sorted(error.tolist())[int(np.ceil(n * level - 1e-9)) - 1] for level in LEVELS]
    np.testing.assert_allclose(curves.at([0.0, 2.0, 9.0]), [reference] * 3, rtol=1e-12)


def test_the_curves_hold_their_share_of_the_errors_below_them_at_every_hardness() -> None:
    rng = np.random.default_rng(0)
    hardness = rng.lognormal(0, 0.5, 6000)
    error = (0.1 + 0.5 * hardness) * np.exp(0.3 * rng.normal(size=6000))
    curves = QuantileCurves.fit(hardness[:2000], error[:2000])
    quartile = np.searchsorted(np.quantile(hardness, [0.25, 0.5, 0.75]), hardness[2000:])
    under = error[2000:, None] < curves.at(hardness[2000:])
    for q in range(4):
        np.testing.assert_allclose(under[quartile == q].mean(axis=0), LEVELS, atol=0.06)


@pytest.mark.parametrize(("n", "knots"), [(1, 1), (2, 2), (150, 2), (250, 3), (400, 5), (2000, 5)])
def test_few_events_get_few_knots(n: int, knots: int) -> None:
    hardness = np.random.default_rng(n).permutation(n) + 1.0
    assert len(QuantileCurves.fit(hardness, hardness).knots) == knots


def pinball(error: np.ndarray, quantile: np.ndarray, level: float) -> float:
    """The mean of ρ_τ(e − q̂)."""
    rest = error - quantile
    return float(np.where(rest < 0.0, (level - 1.0) * rest, level * rest).mean())


def test_more_knots_never_raise_the_loss_on_the_fit() -> None:
    rng = np.random.default_rng(7)
    hardness, error = rng.lognormal(size=400), rng.lognormal(size=400)
    constant = QuantileCurves.fit(np.zeros(400), error)
    curved = QuantileCurves.fit(hardness, error)
    design = curved.design(hardness)
    for i, level in enumerate(LEVELS):
        assert pinball(error, design @ curved.coefficients[i], level) <= pinball(error, constant.at(np.zeros(400))[:, i], level) + 1e-9


def test_crossing_curves_are_sorted_where_they_are_read() -> None:
    crossing = QuantileCurves(np.array([0.0, 1.0]), np.array([[0.0, 4.0], [1.0, 3.0], [2.0, 2.0], [3.0, 1.0]]), 1, 0.1)
    np.testing.assert_allclose(crossing.at([0.0, 1.0]), [[0, 1, 2, 3], [1, 2, 3, 4]])
    assert (np.diff(crossing.at(np.linspace(-1, 2, 50)), axis=1) >= 0).all()


def test_hardness_beyond_the_knots_is_read_at_the_last_knot() -> None:
    rng = np.random.default_rng(1)
    hardness = rng.lognormal(size=500)
    curves = QuantileCurves.fit(hardness, hardness * rng.lognormal(size=500), clamp=0.9)
    np.testing.assert_array_equal(curves.at([curves.knots[-1] * 1.001, 1e300]), curves.at([curves.knots[-1]] * 2))
    np.testing.assert_array_equal(curves.at([0.0]), curves.at([curves.knots[0]]))
    assert (hardness > curves.knots[-1]).mean() == pytest.approx(0.1, abs=0.01)


FREAKS = {
    "zero": np.zeros(60),
    "one value": np.full(60, 3.0),
    "two values": np.repeat([1.0, 2.0], 30),
    "one huge among zeros": np.r_[np.zeros(59), 1e308],
    "tiny and huge": np.r_[np.full(59, 5e-324), 1e308],
    "huge": np.full(60, 1e308),
}


@pytest.mark.parametrize("error", FREAKS.values(), ids=FREAKS.keys())
@pytest.mark.parametrize("hardness", [np.zeros(60), np.arange(60.0) % 3, np.linspace(0, 1e308, 60)], ids=["constant", "ties", "huge"])
def test_freak_errors_and_hardness_give_finite_curves_and_a_spread_above_zero(error: np.ndarray, hardness: np.ndarray) -> None:
    curves = QuantileCurves.fit(hardness, error)
    quantiles = curves.at(np.concatenate([hardness, [0.0, 1.7e308]]))
    assert np.isfinite(quantiles).all()
    assert (curves.spread(quantiles) > 0.0).all()


def test_the_floor_of_the_spread_follows_the_unit_of_the_error() -> None:
    rng = np.random.default_rng(4)
    hardness, error = rng.lognormal(size=300), rng.lognormal(size=300)
    plain, scaled = QuantileCurves.fit(hardness, error), QuantileCurves.fit(hardness, 1024.0 * error)
    assert scaled.floor == pytest.approx(1024.0 * plain.floor, rel=1e-9)
    np.testing.assert_allclose(scaled.coefficients, 1024.0 * plain.coefficients, rtol=1e-9)


def test_a_fit_of_a_thousand_events_takes_less_than_a_second() -> None:
    rng = np.random.default_rng(9)
    hardness, error = rng.lognormal(size=1000), rng.lognormal(size=1000)
    begun = time.perf_counter()
    QuantileCurves.fit(hardness, error)
    assert time.perf_counter() - begun < 1.0


@pytest.mark.parametrize("wrong", [{"knots": 0}, {"degree": 4}, {"clamp": 0.0}])
def test_settings_that_make_no_sense_are_refused_by_name(wrong: dict) -> None:
    name, value = next(iter(wrong.items()))
    with pytest.raises(ValueError, match=f"{name} = {value}"):
        QuantileCurves.fit([1.0, 2.0], [1.0, 2.0], **wrong)


def test_pairs_of_two_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="of one shape"):
        QuantileCurves.fit([1.0, 2.0], [1.0])
