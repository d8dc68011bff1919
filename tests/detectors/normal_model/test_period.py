"""A proposed length is the period one sees."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.normal_model.period import autocorrelation, propose_length
from tests import naive


@given(seed=st.integers(0, 2**32 - 1), points=st.integers(8, 60), longest=st.integers(1, 7))
def test_autocorrelation_equals_its_definition(seed, points, longest):
    values = np.random.default_rng(seed).integers(-5, 6, points).astype(float)
    reference = [naive.autocorrelation(values.tolist(), lag) for lag in range(longest + 1)]
    np.testing.assert_allclose(autocorrelation(values, longest), reference, atol=1e-12)


def beats(rng, period, points, spread=0.0):
    """Sharp beats, whose spectrum has its largest lines anywhere but at the period."""
    values = 0.05 * rng.standard_normal(points)
    at = 0.0
    while at < points - period:
        values[int(at) : int(at) + 6] += (1, 4, 9, -5, -2, 1)
        values[int(at) + period // 3 : int(at) + period // 3 + 12] += 1.5
        at += period * (1 + spread * rng.standard_normal())
    return values


@given(seed=st.integers(0, 2**32 - 1), period=st.integers(30, 200), offset=st.sampled_from([0.0, 1e6, -3e3]))
def test_the_period_of_beats_is_found(seed, period, offset):
    proposal = propose_length(beats(np.random.default_rng(seed), period, 4000) + offset, 20, 1000)
    assert proposal.length is not None
    assert abs(proposal.length - period) <= 1
    assert proposal.strength > 0.7


def test_beats_that_come_a_little_early_or_late_have_a_period_all_the_same():
    proposal = propose_length(beats(np.random.default_rng(2), 90, 5000, spread=0.05), 20, 1000)
    assert proposal.length is not None
    assert abs(proposal.length - 90) <= 4
    assert proposal.others[0][1] >= proposal.strength


@pytest.mark.parametrize("spoil", ["spike", "walk", "missing"])
def test_a_spike_a_drift_or_missing_readings_change_nothing(spoil):
    rng = np.random.default_rng(1)
    values = beats(rng, 80, 4000)
    if spoil == "spike":
        values[1234] = 1e9
    elif spoil == "walk":
        values += np.cumsum(0.1 * rng.standard_normal(4000))
    else:
        values[100:140] = np.nan
    assert propose_length(values, 20, 400).length == 80


@pytest.mark.parametrize("values", [
    np.zeros(3000), np.full(3000, 1e6), np.arange(3000.0), np.full(3000, np.nan), np.where(np.arange(3000) == 5, 1e9, 0.0),
    np.random.default_rng(0).standard_normal(3000), np.random.default_rng(0).standard_normal(3000) * 1e300, np.zeros(10), np.zeros(0),
])  # fmt: skip
def test_what_has_no_period_gets_no_length(values):
    proposal = propose_length(values, 20, 400)
    assert proposal.length is None
    assert np.isfinite(proposal.strength)


def test_the_same_readings_give_the_same_proposal():
    values = beats(np.random.default_rng(0), 90, 5000, spread=0.05)
    assert propose_length(values, 20, 1000) == propose_length(values.copy(), 20, 1000)


@pytest.mark.parametrize(("shortest", "longest"), [(1, 20), (30, 20)])
def test_bounds_that_make_no_sense_are_refused(shortest, longest):
    with pytest.raises(ValueError, match=f"shortest = {shortest}, longest = {longest}"):
        propose_length(np.zeros(100), shortest, longest)


@pytest.mark.parametrize(("name", "readings", "low", "high"), [
    ("mba_803", 10_000, 105, 116), ("mba_805", 5_000, 97, 101), ("mba_14046_13", 5_000, 83, 87), ("mba_14046_21", 10_000, 94, 99),
    ("dutch_power_demand", 10_000, 672, 672), ("respiration_nprs44", 5_000, 36, 45), ("ecg_chfdbchf15", 5_000, 152, 157),
    ("marotta_tek16", 5_000, 940, 1010),
])  # fmt: skip
def test_heartbeats_breaths_weeks_and_valves_are_seen_from_any_start(data, name, readings, low, high):
    values = pq.read_table(data / "sensors" / f"{name}.parquet")["value"].to_numpy().astype(np.float64)
    for start in (0, 613, 1709, 2903, 4211):
        if start + readings <= len(values):
            proposal = propose_length(values[start : start + readings], 20, 1000)
            assert proposal.length is not None
            assert low <= proposal.length <= high


def test_bounds_between_two_lines_of_the_periodogram_hold_no_period():
    assert propose_length(np.sin(np.arange(170) / 5), 22, 22).length is None
    for n in range(8, 200):
        for length in range(2, n // 4):
            propose_length(np.sin(np.arange(n) / 5), length, length)
