from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import measures

labelled = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=40)


@given(labelled)
def test_roc_auc_is_the_chance_that_a_positive_outranks_a_negative(rows):
    score, label = np.array([s for s, _ in rows], float), np.array([y for _, y in rows])
    pairs = [(a > b) + 0.5 * (a == b) for a in score[label] for b in score[~label]]
    computed = measures.roc_auc(score, label)
    assert computed is None if not pairs else computed == pytest.approx(np.mean(pairs))


@given(labelled)
def test_average_precision_is_the_sum_over_thresholds(rows):
    score, label = np.array([s for s, _ in rows], float), np.array([y for _, y in rows])
    if not label.any():
        assert measures.average_precision(score, label) is None
        return
    reference, before = 0.0, 0.0
    for threshold in sorted(set(score.tolist()), reverse=True):
        taken = score >= threshold
        recall = label[taken].sum() / label.sum()
        reference += (recall - before) * label[taken].mean()
        before = recall
    assert measures.average_precision(score, label) == pytest.approx(reference)


def test_windows_are_taken_greedily_and_never_overlap():
    score = np.array([np.nan, 1, 9, 8, 7, 2, 6, 0], float)
    assert measures.top_windows(score, 2, 3).tolist() == [2, 4, 6]
    assert measures.top_windows(score, 100, 3).tolist() == [2]


def test_an_anomaly_hit_twice_counts_once_in_distinct_recall():
    label = np.zeros(100, bool)
    label[10:30] = label[70:72] = True
    score = np.zeros(100)
    score[[15, 25]] = 5
    found = measures.window_measures(score, label, 5, np.ones(100, bool))
    assert found == {"precision_at_k": 1.0, "distinct_recall": 0.5, "k": 2}


def test_a_card_caught_yesterday_is_not_caught_again():
    card, day = np.array(["a", "b", "a", "c"]), np.array([0, 0, 1, 1])
    score, label = np.array([9.0, 1, 9, 5]), np.array([True, False, True, True])
    assert measures.card_precision(score, label, card, day, top=1) == 1.0
    assert measures.card_precision(score, label, card, day, top=2) == 0.5


def test_the_cost_has_the_floor_of_the_paper():
    label = np.array([True, False])
    assert measures.weighted_cost(label, label) == pytest.approx(1 / 101)
    assert measures.weighted_cost(~label, label) == pytest.approx(1.0)
