"""The answers made of distances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import detectors.normal_model as normal_model
from detectors.normal_model.answers import above, centred, point_scores, top_k
from tests import naive

numbers = st.lists(st.floats(0.0, 100.0), min_size=1, max_size=50)


@given(numbers, st.integers(1, 10), st.floats(0.0, 100.0))
def test_answers_to_a_threshold_are_the_top_windows_that_lie_above_it(distances, exclusion, threshold):
    d = np.array(distances)
    answers = above(d, threshold, exclusion)
    assert (d[answers] > threshold).all()
    assert (np.abs(np.subtract.outer(answers, answers)) + exclusion * np.eye(len(answers)) >= exclusion).all()
    assert answers.tolist() == top_k(d, len(answers), exclusion).tolist()
    for start in np.flatnonzero(d > threshold):  # none is left out but for one as far within its reach
        assert any(abs(start - other) < exclusion and d[other] >= d[start] for other in answers)


def test_what_is_no_number_is_no_answer():
    assert top_k(np.array([np.nan, 1.0, np.inf, 2.0]), k=4, exclusion=1).tolist() == [3, 1]


@given(numbers, st.integers(1, 12))
def test_centred_distances_equal_their_definition(distances, reach):
    reference = [naive.centred_distance(distances, j, reach) for j in range(len(distances))]
    np.testing.assert_allclose(centred(np.array(distances), reach), reference, atol=1e-10)


@given(numbers, st.integers(1, 12))
def test_a_trailing_mean_knows_nothing_of_what_comes(distances, reach):
    whole = centred(np.array(distances), reach, trailing=True)
    for stop in range(1, len(distances)):
        before = distances[max(stop - reach, 0) : stop]
        assert whole[stop] == pytest.approx(distances[stop] - sum(before) / len(before), abs=1e-10)
    assert whole[0] == 0.0


def test_two_normals_are_level_once_centred():
    distances = np.concatenate([np.full(500, 1.0), np.full(500, 6.0)])
    distances[200:210], distances[800:810] = 4.0, 9.0
    assert 200 not in top_k(distances, 2, 10)
    assert sorted(top_k(centred(distances, 100), 2, 10).tolist()) == [200, 800]


@given(numbers, st.integers(1, 12))
def test_point_scores_equal_their_definition(distances, length):
    scores = point_scores(np.array(distances), length)
    assert len(scores) == len(distances) + length - 1
    reference = [naive.point_score(distances, length, p) for p in range(len(scores))]
    np.testing.assert_allclose(scores, reference, atol=1e-10)


def test_a_reach_of_nothing_is_refused():
    with pytest.raises(ValueError, match="reach = 0"):
        centred(np.zeros(3), 0)


def test_what_is_offered_is_there():
    assert all(hasattr(normal_model, name) for name in normal_model.__all__)
