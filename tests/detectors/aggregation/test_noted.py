"""What is noted of alerts in one pass over a batch, against the slow way: one alert and one feature at a time."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.aggregation import noted as notes
from detectors.aggregation.driving import SUBJECTS, subjects_of
from detectors.aggregation.features import FEATURES, MERCHANT, MERCHANT_DAYS, logarithmic
from detectors.aggregation.fold import FLOATS, INTEGERS
from detectors.aggregation.model import ActingModel
from detectors.aggregation.noted import noted, significant
from detectors.aggregation.policy import COST, EPSILON
from detectors.aggregation.recalibration import BINS

F = len(FEATURES)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(7)
    n = 40
    vectors = rng.lognormal(0.0, 4.0, (n, F)) * rng.choice([-1.0, 0.0, 1.0], (n, F), p=[0.1, 0.3, 0.6])
    weights = rng.normal(0.0, 1.0, F + 1)
    weights[rng.random(F + 1) < 0.2] = 0.0
    model = ActingModel(
        400_000, 10_000, 500, np.array(logarithmic(FEATURES)), rng.normal(0, 1, F), rng.random(F), weights, 20.0, np.zeros(BINS)
    )
    decided = np.stack([np.where(np.arange(n) % 3, COST, EPSILON), np.ones(n, np.int64)], axis=1)
    rows = np.flatnonzero(rng.random(n) < 0.7)
    floats, integers = rng.random((n, FLOATS)), rng.integers(0, 99, (n, INTEGERS))
    out = noted(FEATURES, model, rows, decided, rng.random((n, 2)), rng.random(n), floats, integers, vectors)
    return model, rows, decided, vectors, out


def test_features_are_noted_as_they_are_and_to_six_digits(batch):
    _, rows, _, vectors, out = batch
    assert (out[:, notes.VECTOR : notes.VECTOR + F] == vectors[rows]).all()
    reference = [[float(f"{x:.6g}") for x in vector] for vector in vectors[rows].tolist()]
    assert out[:, notes.VECTOR + F :].tolist() == reference


def test_the_weightiest_contributions_come_first_and_to_four_digits(batch):
    model, rows, decided, vectors, out = batch
    for line, row in zip(out, rows.tolist(), strict=True):
        places, weights = line[notes.WEIGHTIEST : notes.PLAIN_WEIGHTS], line[notes.PLAIN_WEIGHTS : notes.VECTOR]
        if decided[row, 0] != COST:
            assert np.isnan(places).all()
            assert np.isnan(weights).all()
            continue
        adds = model.contributions(vectors[row])
        reference = np.argsort(-np.abs(adds), kind="stable")[: notes.WEIGHTY]
        assert places.tolist() == reference.tolist()
        assert weights.tolist() == [float(f"{adds[place]:.4g}") for place in reference]
        assert line[notes.WINDOW] == np.argmax(adds[MERCHANT : MERCHANT + len(MERCHANT_DAYS)])


def test_a_subject_has_the_share_of_its_features_in_what_speaks_for_a_fraud(batch):
    model, rows, decided, vectors, out = batch
    for line, row in zip(out, rows.tolist(), strict=True):
        shares, plain = line[notes.SHARES : notes.PLAIN_SHARES], line[notes.PLAIN_SHARES : notes.WEIGHTIEST]
        if decided[row, 0] != COST:
            assert np.isnan(shares).all()
            continue
        total = np.bincount(subjects_of(FEATURES), model.contributions(vectors[row]), len(SUBJECTS)).clip(0.0)
        assert shares == pytest.approx(total / total.sum(), rel=1e-14)
        assert plain.tolist() == [float(f"{share:.3g}") for share in shares]


def test_where_nothing_speaks_for_a_fraud_no_subject_has_a_share():
    none = ActingModel(1, 1, 1, np.zeros(F, np.bool_), np.zeros(F), np.zeros(F), np.zeros(F + 1), 1.0, np.zeros(BINS))
    decided, one = np.array([[COST, 1]]), np.zeros(1)
    out = noted(FEATURES, none, np.array([0]), decided, np.zeros((1, 2)), one, np.zeros((1, FLOATS)), np.zeros((1, INTEGERS), np.int64),
                np.ones((1, F)))  # fmt: skip
    assert (out[0, notes.SHARES : notes.WEIGHTIEST] == 0.0).all()


def test_significant_digits_of_any_number():
    given = [19733.0, 0.123456789, -2.5e-9, 0.0, 93207123.0, 999999.5, 1e-5, 123456.5, 1e300]
    assert [significant(x, 6) for x in given] == pytest.approx([float(f"{x:.6g}") for x in given], rel=1e-15)
    assert all(np.isnan(significant(x, 6)) for x in (np.nan, np.inf, -np.inf))
