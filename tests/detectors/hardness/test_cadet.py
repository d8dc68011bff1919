"""The calibrated score, the conformal rule and the library on arrays; Theorem 1 over many draws; real data."""

from __future__ import annotations

import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.hardness.cadet import Cadet, CalibrationWarning
from detectors.hardness.conformal import conformal_threshold, p_values, promised
from detectors.hardness.curves import QuantileCurves
from detectors.hardness.null_models import TabularNull
from detectors.hardness.score import Prior, calibrated_score
from tests import naive


def heteroscedastic(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Errors that grow, and scatter more, with hardness: no fixed threshold is fair to them."""
    hardness = np.exp(0.5 * rng.normal(size=n))
    return (0.1 + 0.5 * hardness) * np.exp(0.3 * (0.5 + 0.5 * np.minimum(hardness, 2)) * rng.normal(size=n)), hardness


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), lambda_=st.sampled_from([0.0, 0.5, 2.0]))
def test_the_calibrated_score_is_equation_10(seed: int, lambda_: float) -> None:
    rng = np.random.default_rng(seed)
    error, hardness = heteroscedastic(rng, 60)
    curves, prior = QuantileCurves.fit(hardness[:40], error[:40]), Prior.fit(hardness[:40])
    reference = [
        naive.cadet_score(e, h, quantiles, curves.floor, prior.mean, prior.std, lambda_)
        for e, h, quantiles in zip(error.tolist(), hardness.tolist(), curves.at(hardness).tolist(), strict=True)
    ]
    np.testing.assert_allclose(calibrated_score(error, hardness, curves, prior, lambda_), reference, rtol=1e-9, atol=1e-9)


def test_the_prior_of_a_constant_hardness_is_nothing() -> None:
    for constant in (0.0, 0.1, 1e308):
        prior = Prior.fit(np.full(7, constant))
        assert prior.std == 0.0
        np.testing.assert_array_equal(prior.at([0.0, 5.0, 1e308]), [0.0, 0.0, 0.0])


EPSILONS = st.integers(1, 999).map(lambda k: f"0.{k:03d}")


@settings(max_examples=200, deadline=None)
@given(m=st.integers(1, 400), epsilon=EPSILONS)
def test_what_is_promised_is_the_whole_part_of_m_plus_one_epsilon_without_rounding(m: int, epsilon: str) -> None:
    assert promised(m, float(epsilon)) == int((m + 1) * Fraction(epsilon))


@settings(max_examples=100, deadline=None)
@given(scores=st.lists(st.integers(0, 12).map(float), min_size=1, max_size=60), epsilon=EPSILONS)
def test_the_threshold_is_equation_11_and_says_the_same_as_the_p_value(scores: list[float], epsilon: str) -> None:
    ordered = np.sort(scores)
    threshold = conformal_threshold(ordered, float(epsilon))
    assert threshold == naive.conformal_quantile(scores, epsilon)
    probes = np.arange(-1.0, 14.0)
    computed = p_values(ordered, probes)
    np.testing.assert_array_equal(computed, [naive.conformal_p_value(scores, probe) for probe in probes.tolist()])
    np.testing.assert_array_equal(computed <= float(epsilon), probes > threshold)


@pytest.mark.parametrize(("m", "finite"), [(4, False), (18, False), (19, True), (20, True)])
def test_too_few_calibration_scores_promise_nothing(m: int, finite: bool) -> None:
    assert np.isfinite(conformal_threshold(np.arange(m, dtype=float), 0.05)) == finite


def test_theorem_1_holds_over_many_calibration_sets() -> None:
    m, tested, replicates = 99, 200, 400
    rng = np.random.default_rng(11)
    curves_e, curves_h = heteroscedastic(rng, 300)
    cadet = Cadet().fit(curves_e, curves_h)
    for epsilon in (0.05, 0.125):
        rates = []
        for _ in range(replicates):
            error, hardness = heteroscedastic(rng, m + tested)
            cadet.calibrate(error[:m], hardness[:m])
            rates.append(cadet.decide(error[m:], hardness[m:], epsilon=epsilon).mean())
        standard_error = np.std(rates) / np.sqrt(replicates)
        assert abs(np.mean(rates) - promised(m, epsilon) / (m + 1)) < 3 * standard_error
        assert np.mean(rates) <= epsilon + 3 * standard_error


def test_the_promise_fails_where_the_curves_calibrate_on_their_own_fit_and_a_warning_says_so() -> None:
    rng = np.random.default_rng(12)
    rates = []
    for _ in range(300):
        error, hardness = heteroscedastic(rng, 519)
        cadet = Cadet(degree=3).fit(error[:19], hardness[:19])
        with pytest.warns(CalibrationWarning, match="19 of 19"):
            cadet.calibrate(error[:19], hardness[:19])
        rates.append(cadet.decide(error[19:], hardness[19:], epsilon=0.1).mean())
    assert np.mean(rates) > 0.1 + 3 * np.std(rates) / np.sqrt(300)


def test_held_out_events_calibrate_without_a_warning() -> None:
    error, hardness = heteroscedastic(np.random.default_rng(0), 400)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Cadet().fit(error[:200], hardness[:200]).calibrate(error[200:], hardness[200:])


def test_ties_make_fewer_alerts_never_more() -> None:
    error, hardness = np.ones(300), np.ones(300)
    cadet = Cadet().fit(error[:100], hardness[:100]).calibrate(error[100:140] * 1.0 + 1e-9, hardness[100:140])
    assert not cadet.decide(error[200:] + 1e-9, hardness[200:], epsilon=0.2).any()


def test_steps_out_of_order_say_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="call fit"):
        Cadet().score([1.0], [1.0])
    with pytest.raises(RuntimeError, match="call calibrate"):
        Cadet().fit([1.0, 2.0], [1.0, 2.0]).p_value([1.0], [1.0])
    with pytest.raises(ValueError, match=r"epsilon = 1.5: wanted a probability strictly between 0 and 1"):
        Cadet().fit([1.0, 2.0], [1.0, 2.0]).calibrate([3.0], [3.0]).threshold(1.5)
    with pytest.raises(ValueError, match="lambda_ = -1"):
        Cadet(lambda_=-1.0)


def test_on_handwritten_digits_calibration_spreads_false_alarms_over_hardness(data: Path) -> None:
    table = np.load(data / "calibration" / "26_optdigits.npz")
    rows, anomalous = table["X"].astype(float), table["y"].astype(bool)
    raw, calibrated = [], []
    for seed in range(4):
        normal = np.random.default_rng(seed).permutation(np.flatnonzero(~anomalous))
        base, curves, calibration, test = np.split(normal, [1200, 2200, 3600])
        means = rows[base].mean(axis=0)
        axes = np.linalg.svd(rows[base] - means, full_matrices=False)[2][:10]
        error = np.linalg.norm(rows - means - (rows - means) @ axes.T @ axes, axis=1)
        hardness = TabularNull.fit(rows[base]).hardness(rows)
        cadet = Cadet().fit(error[curves], hardness[curves]).calibrate(error[calibration], hardness[calibration])
        quartile = np.searchsorted(np.quantile(hardness[test], [0.25, 0.5, 0.75]), hardness[test])
        alerts = cadet.decide(error[test], hardness[test], epsilon=0.05)
        bare = error[test] > conformal_threshold(np.sort(error[calibration]), 0.05)
        calibrated.append([alerts[quartile == q].mean() for q in range(4)])
        raw.append([bare[quartile == q].mean() for q in range(4)])
    raw_rates, rates = np.mean(raw, axis=0), np.mean(calibrated, axis=0)
    assert raw_rates[3] > 0.13, "without calibration the hardest quartile bears nearly all false alarms"
    assert rates.max() < 0.075
    assert rates.min() > 0.025
    assert rates.mean() == pytest.approx(0.05, abs=0.012)
