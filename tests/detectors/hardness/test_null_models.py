"""Null models against their slow twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.hardness.moving_null import MovingAutoregression, MovingMoments
from detectors.hardness.null_models import SeriesNull, TabularNull, fit_autoregression, image_hardness, image_null
from tests import naive
from tests.papers.hardness.telemetry import window_hardness


def noisy_series(seed: int, n: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = np.zeros(n)
    for t in range(2, n):
        x[t] = 0.4 + 0.6 * x[t - 1] - 0.3 * x[t - 2] + rng.normal()
    return x


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(30, 80), order=st.integers(0, 6))
def test_an_autoregression_solves_the_normal_equations(seed: int, n: int, order: int) -> None:
    series = noisy_series(seed, n)
    reference = naive.autoregression(series.tolist(), order)
    computed = fit_autoregression(series, order)
    np.testing.assert_allclose(computed, reference, rtol=1e-8, atol=1e-9)


def test_an_autoregression_finds_the_coefficients_of_its_process() -> None:
    np.testing.assert_allclose(fit_autoregression(noisy_series(0, 20_000), 2), [0.4, 0.6, -0.3], atol=0.03)


def test_an_autoregression_is_not_disturbed_by_a_large_offset() -> None:
    series = noisy_series(3, 2000)
    plain, moved = fit_autoregression(series, 3), fit_autoregression(series + 1e6, 3)
    np.testing.assert_allclose(moved[1:], plain[1:], atol=1e-8)


@pytest.mark.parametrize("value", [0.0, 7.3, -1e300])
def test_a_constant_series_is_predicted_by_its_own_value(value: float) -> None:
    coefficients = fit_autoregression(np.full(50, value), 4)
    np.testing.assert_allclose(coefficients, [value, 0, 0, 0, 0], rtol=1e-12, atol=0)


def test_lags_that_others_tell_already_are_left_out() -> None:
    sine = np.sin(0.1 * np.arange(500))
    coefficients = fit_autoregression(sine, 6)
    assert not coefficients[3:].any()
    assert SeriesNull(coefficients[None]).hardness(sine[None, :200])[0] < 1e-9


def test_huge_values_give_finite_coefficients() -> None:
    assert np.isfinite(fit_autoregression([1e308, -1e308, 1.0, 2.0, 1e307, 5.0], 2)).all()


@pytest.mark.parametrize(("values", "order"), [([1.0, 2.0], 2), ([1.0, 2.0], -1), ([[1.0, 2.0], [3.0, 4.0]], 0)])
def test_a_series_too_short_or_of_two_dimensions_is_refused(values: list, order: int) -> None:
    with pytest.raises(ValueError, match="an autoregression of order"):
        fit_autoregression(values, order)


def test_hardness_of_windows_equals_the_slow_loop_in_every_dimension() -> None:
    rng = np.random.default_rng(1)
    series = np.column_stack([noisy_series(1, 300), rng.normal(size=300)])
    null = SeriesNull.fit(series, order=3)
    windows = np.stack([series[i : i + 20] for i in range(0, 200, 20)])
    reference = [naive.series_hardness(window.tolist(), null.coefficients.tolist()) for window in windows]
    np.testing.assert_allclose(null.hardness(windows), reference, rtol=1e-12)
    assert null.null(windows).shape == (10, 17, 2)


def test_windows_no_longer_than_the_order_are_refused() -> None:
    with pytest.raises(ValueError, match="w > 3"):
        SeriesNull.fit(noisy_series(0, 50), order=3).hardness(np.zeros((2, 3)))


def test_tabular_hardness_equals_the_slow_loop() -> None:
    rows = np.random.default_rng(2).normal(size=(40, 6))
    reference = [naive.tabular_hardness(rows.tolist(), row) for row in rows.tolist()]
    np.testing.assert_allclose(TabularNull.fit(rows).hardness(rows), reference, rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), height=st.integers(1, 6), width=st.integers(1, 6))
def test_image_hardness_equals_the_slow_loop(seed: int, height: int, width: int) -> None:
    images = np.random.default_rng(seed).normal(size=(3, height, width))
    reference = [naive.image_hardness(image) for image in images.tolist()]
    np.testing.assert_allclose(image_hardness(images), reference, rtol=1e-12, atol=1e-15)


def test_a_flat_image_is_its_own_null() -> None:
    np.testing.assert_array_equal(image_null(np.full((2, 4, 5), 3.0)), np.full((2, 4, 5), 3.0))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), order=st.integers(1, 5), forgetting=st.sampled_from([0.98, 0.999, 1.0]))
def test_recursive_least_squares_is_least_squares_anew_at_every_step(seed: int, order: int, forgetting: float) -> None:
    series = noisy_series(seed, 60)
    reference = naive.recursive_least_squares(series.tolist(), order, forgetting)
    computed = MovingAutoregression(order, forgetting=forgetting).residuals(series)[:, 0]
    np.testing.assert_allclose(computed, reference, rtol=1e-5, atol=1e-6)


def test_a_moving_autoregression_finds_a_process_and_the_one_that_takes_its_place() -> None:
    series = noisy_series(0, 6000)
    null = MovingAutoregression(2)
    null.residuals(series)
    np.testing.assert_allclose(null.coefficients[0], [0.4, 0.6, -0.3], atol=0.1)
    null.residuals(-0.5 * series + 3.0)
    np.testing.assert_allclose(null.coefficients[0], [1.9, 0.6, -0.3], atol=0.3)


def test_a_moving_autoregression_keeps_its_dimensions_apart() -> None:
    series = np.column_stack([noisy_series(1, 200), 0.1 * noisy_series(2, 200)])
    both = MovingAutoregression(3, 2).residuals(series)
    for j in range(2):
        np.testing.assert_array_equal(both[:, j], MovingAutoregression(3).residuals(series[:, j])[:, 0])


def test_years_of_a_constant_leave_an_autoregression_that_can_still_learn() -> None:
    null = MovingAutoregression(5)
    null.residuals(np.full(40_000, 0.7))
    residuals = null.residuals(noisy_series(4, 3000))[:, 0]
    assert np.isfinite(residuals).all()
    assert np.std(residuals[500:]) < 1.2, "the noise of the process has a standard deviation of 1"


def test_windows_of_moving_residuals_have_the_norm_of_what_follows_their_first_values() -> None:
    residuals = np.random.default_rng(3).normal(size=(30, 2))
    reference = [np.sqrt((residuals[i + 4 : i + 10] ** 2).sum()) for i in range(21)]
    np.testing.assert_allclose(window_hardness(residuals, 10, 4), reference, rtol=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(1, 40), forgetting=st.sampled_from([0.8, 0.999, 1.0]))
def test_moving_moments_judge_a_row_by_those_before_it(seed: int, n: int, forgetting: float) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 3)) * [1.0, 100.0, 0.0] + [0.0, 7.0, 2.0]
    rows[rng.random((n, 3)) < 0.1] *= 50.0
    reference = naive.moving_hardness(rows.tolist(), forgetting)
    np.testing.assert_allclose(MovingMoments(3, forgetting).hardness(rows), reference, rtol=1e-6)


def test_moving_nulls_refuse_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="order = 0"):
        MovingAutoregression(0)
    with pytest.raises(ValueError, match="forgetting = 0"):
        MovingMoments(3, 0.0)
