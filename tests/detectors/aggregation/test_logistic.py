from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.aggregation.logistic import OnlineLogistic, sigma
from tests import naive

# wholes: a variance that is 0 is 0 to the bit in both ways of adding it up
numbers = st.integers(-50, 50).map(float)
rows = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.tuples(st.tuples(*[numbers] * width), st.integers(0, 1)), min_size=1, max_size=25)
)


def learned(stream, **settings_):
    model = OnlineLogistic(len(stream[0][0]), **settings_)
    said = model.learn(np.array([x for x, _ in stream], float), np.array([y for _, y in stream]))
    return model, said


@settings(max_examples=60, deadline=None)
@given(rows, st.sampled_from([0.05, 0.5]), st.sampled_from([1.5, 20.0]))
def test_steps_equal_the_slow_ones(stream, rate, clip):
    reference = naive.logistic_steps(stream, rate, clip)
    model, said = learned(stream, rate=rate, clip=clip)
    assert said == pytest.approx(reference[0], abs=1e-6)
    assert model.weights == pytest.approx(reference[1], abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(rows, st.data())
def test_how_vectors_are_cut_into_batches_changes_nothing(stream, data):
    whole, said = learned(stream)
    at = data.draw(st.integers(0, len(stream)))
    x, y = np.array([x for x, _ in stream], float), np.array([y for _, y in stream])
    parts = OnlineLogistic(x.shape[1])
    pieces = np.concatenate([parts.learn(x[:at], y[:at]), parts.learn(x[at:], y[at:])])
    assert pieces.tobytes() == said.tobytes()
    for name in ("mean", "squares", "weights", "gradients"):
        assert getattr(parts, name).tobytes() == getattr(whole, name).tobytes()


def test_each_vector_is_predicted_before_it_is_learned():
    x, y = np.arange(12.0).reshape(6, 2), np.array([0, 1, 0, 1, 1, 0])
    said = OnlineLogistic(2).learn(x, y)
    assert said.tolist() == OnlineLogistic(2).learn(x, np.array([0, 1, 0, 1, 1, 1])).tolist()
    one = OnlineLogistic(2)
    one.learn(x[:5], y[:5])
    assert one.logits(x[5:])[0] == said[-1]


def test_absurd_features_neither_break_the_model_nor_decide_alone():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(500, 3)), rng.random(500) < 0.3
    model = OnlineLogistic(3, clip=20.0)
    x[100], x[200], x[300] = np.inf, np.nan, 1e300
    model.learn(x, y)
    assert np.isfinite(model.weights).all()
    assert np.isfinite(model.mean).all()
    said = model.logits(np.array([[1e308, 0.0, 0.0]]))[0]
    assert abs(said - model.logits(np.array([[0.0, 0.0, 0.0]]))[0]) <= 2 * 20.0 * abs(model.weights[0])


def test_a_feature_that_never_varies_says_nothing():
    model, _ = learned([((3.0, 1.0), 1), ((3.0, 2.0), 0), ((3.0, 3.0), 1)])
    assert model.weights[0] == 0.0
    assert model.inverse[0] == 0.0


def test_frauds_that_become_known_late_are_made_up_for():
    """A third of the frauds are learned as genuine first and come to light later, a few an hour, as the others are learned."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(24_000, 4))
    y = (x @ [1.0, -2.0, 0.5, 0.0] + rng.logistic(size=24_000) > 3.0).astype(int)
    first = y.copy()
    first[np.flatnonzero(y)[::3]] = 0
    right, told, corrected = OnlineLogistic(4), OnlineLogistic(4), OnlineLogistic(4)
    right.learn(x, y)
    told.learn(x, first)
    for hour in range(0, 24_000, 40):
        corrected.learn(x[hour : hour + 40], first[hour : hour + 40])
        late = [row for row in range(max(0, hour - 2000), max(0, hour - 1960)) if first[row] != y[row]]
        corrected.correct(x[late], y[late])
    assert corrected.count == right.count
    assert corrected.mean.tobytes() == right.mean.tobytes()

    def loss(model):
        p = model.probability(x)
        return -np.mean(np.where(y == 1, np.log(p), np.log(1 - p)))

    assert loss(corrected) - loss(right) < 0.33 * (loss(told) - loss(right))


def test_a_correction_goes_the_way_of_the_right_outcome_and_nowhere_where_it_is_known():
    model, _ = learned([((float(n % 7), float(n % 3)), int(n % 7 > 4)) for n in range(60)])
    vector = np.array([[2.0, 2.0]])
    before = model.weights.copy()
    model.correct(vector, np.array([1]))
    z = np.append((vector[0] - model.mean) * model.inverse, 1.0)
    assert (np.sign(model.weights - before) == np.sign(z)).all()
    sure = OnlineLogistic(1)
    sure.weights[:] = 0.0, 800.0
    sure.correct(np.array([[1.0]]), np.array([1]))
    assert sure.weights.tolist() == [0.0, 800.0]


def test_sigma_does_not_overflow():
    assert sigma(1000.0) == 1.0
    assert sigma(-1000.0) == 0.0
    assert sigma(0.0) == 0.5
    assert sigma(-3.0) == pytest.approx(1 / (1 + math.exp(3.0)))


def test_it_finds_the_weights_of_a_logistic_law():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(40_000, 3)) * [1.0, 100.0, 0.01] + [0.0, 5000.0, 7.0]
    logit = x[:, 0] + (x[:, 1] - 5000.0) / 100.0 - 1.0
    y = (rng.random(40_000) < 1 / (1 + np.exp(-logit))).astype(int)
    model = OnlineLogistic(3, rate=0.5)
    model.learn(x, y)
    assert model.weights == pytest.approx([1.0, 1.0, 0.0, -1.0], abs=0.12)


def test_bad_settings_are_refused_by_name():
    with pytest.raises(ValueError, match=r"rate = 0: wanted a number above 0"):
        OnlineLogistic(2, rate=0)
    with pytest.raises(ValueError, match="clip"):
        OnlineLogistic(2, clip=math.inf)


def test_a_feature_that_enters_as_its_logarithm_is_learned_as_one():
    rng = np.random.default_rng(2)
    x = np.round(rng.normal(0.0, 1_000.0, (400, 2)))
    y = (x[:, 0] > 500.0).astype(int)
    plain, own = OnlineLogistic(2), OnlineLogistic(2, logs=(True, False))
    entered = np.column_stack([[math.copysign(math.log1p(abs(value)), value) for value in x[:, 0]], x[:, 1]])
    reference, computed = plain.learn(entered, y), own.learn(x, y)
    assert computed == pytest.approx(reference, rel=1e-9, abs=1e-9)
    plain.correct(entered[:5], 1 - y[:5])
    own.correct(x[:5], 1 - y[:5])
    assert own.logits(x[:50]) == pytest.approx(plain.logits(entered[:50]), rel=1e-9, abs=1e-9)
