from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.aggregation import recalibration
from detectors.aggregation.recalibration import BINS, CENTRES, Recalibration, bin_of, pooled, recalibrated, reliability
from tests import naive


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 10)), min_size=1, max_size=12))
def test_pooling_neighbours_is_isotonic_regression(pairs):
    values, weights = (np.array(column) for column in zip(*pairs, strict=True))
    reference = naive.isotonic(values.tolist(), weights.tolist())
    computed = pooled(values, weights)
    assert computed == pytest.approx(reference, abs=1e-9)


def test_what_is_said_comes_true():
    """A model ten times too sure of itself, and one that is crooked: afterwards the shares are what is said."""
    rng = np.random.default_rng(5)
    truth = np.exp(rng.normal(-4.0, 1.5, 200_000)).clip(0, 0.9)
    fraud = rng.random(200_000) < truth
    for logits in (np.log(truth / (1 - truth)) * 1.7 + 1.0, np.log(truth) - 2.0):
        found = Recalibration()
        found.count(logits[:100_000], fraud[:100_000])
        curve = found.curve()
        said = np.array([recalibrated(curve, logit) for logit in logits[100_000:]])
        for row in reliability(said, fraud[100_000:]):
            if row["transactions"] > 1000:
                noise = 4.0 * np.sqrt(row["said"] / row["transactions"])
                assert row["found"] == pytest.approx(row["said"], rel=0.08, abs=noise)


@given(st.lists(st.tuples(st.floats(-40, 40), st.booleans()), max_size=60))
def test_the_order_of_transactions_stays(pairs):
    found = Recalibration()
    found.count(np.array([logit for logit, _ in pairs]), np.array([fraud for _, fraud in pairs]))
    curve = found.curve()
    said = [recalibrated(curve, logit) for logit in np.linspace(-15, 15, 200)]
    assert (np.diff(said) > 0.0).all()
    assert 0.0 < min(said)
    assert max(said) < 1.0


def test_where_nothing_has_been_seen_the_model_is_taken_at_its_word():
    curve = Recalibration().curve()
    assert recalibrated(curve, CENTRES[20]) == pytest.approx(1 / (1 + np.exp(-CENTRES[20])))


def test_the_past_fades():
    found = Recalibration(half_life=24.0)
    found.count(np.zeros(1000), np.ones(1000))
    found.fade(240.0)
    found.count(np.zeros(1000), np.zeros(1000))
    assert found.curve()[bin_of(0.0)] < 0.01


def test_logits_beyond_the_ends_belong_to_the_outermost_bins():
    assert bin_of(-1e300) == 0
    assert bin_of(-np.inf) == 0
    assert bin_of(np.inf) == BINS - 1
    assert bin_of(recalibration.LOWEST) == 0
    curve = np.linspace(0.1, 0.9, BINS)
    assert recalibrated(curve, -99.0) == pytest.approx(0.1, abs=1e-6)
    assert recalibrated(curve, 99.0) == pytest.approx(0.9, abs=1e-6)
