"""NAB's scoring, by its own rules."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.papers.normal_model.nab import windowed_gaussian
from tests.papers.normal_model.nab_scoring import Scored, benchmark, probation, sigmoid, weights


def silent(readings=1000):
    return np.zeros(readings)


def slow_sigmoid(y):
    return -1.0 if y > 3 else 2 / (1 + math.exp(5 * y)) - 1


def slow_benchmark(streams):
    """Every threshold tried, every window looked through: the definition."""
    best = -math.inf
    count = sum(len(windows) for _, windows in streams)
    for threshold in [math.inf, *{x for score, _ in streams for x in score}]:
        total = 0.0
        for score, windows in streams:
            hits = [i for i, x in enumerate(score) if x >= threshold and i >= probation(len(score))]
            for first, last in windows:
                inside = [slow_sigmoid(-(last - i + 1) / (last - first + 1)) for i in hits if first <= i <= last]
                total += max(inside) / slow_sigmoid(-1) if inside else -1.0
            for i in hits:
                if not any(first <= i <= last for first, last in windows):
                    behind = [(i - last) / (last - first) for first, last in windows if last < i]
                    total += 0.11 * (slow_sigmoid(min(behind)) if behind else -1.0)
        best = max(best, total)
    return 100 * (best + count) / (2 * count)


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(0, 3), min_size=60, max_size=90), min_size=1, max_size=3), st.integers(15, 30), st.integers(3, 8))
def test_the_score_is_that_of_the_best_threshold(scores, first, width):
    windows = [(first, first + width - 1), (first + width + 6, first + 2 * width + 5)]
    streams = [(list(map(float, score)), windows) for score in scores]
    computed, _ = benchmark([Scored(np.array(score), windows) for score, windows in streams])
    assert computed == pytest.approx(slow_benchmark(streams), abs=1e-9)


def test_silence_scores_0_and_a_detection_at_the_first_reading_of_each_window_100():
    windows = [(300, 349), (700, 799)]
    assert benchmark([Scored(silent() * np.nan, windows)])[0] == 0.0
    score = silent()
    score[[300, 700]] = 1.0
    assert benchmark([Scored(score, windows)]) == (pytest.approx(100.0), 1.0)


def test_a_late_detection_is_worth_less_and_a_second_one_nothing():
    windows = [(300, 399)]
    early, late, both = silent(), silent(), silent()
    early[320] = late[390] = both[320] = both[390] = 1.0
    early, late, both = (benchmark([Scored(score, windows)])[0] for score in (early, late, both))
    assert early == both
    assert 50.0 < late < early < 100.0


def test_a_false_alarm_costs_the_more_the_longer_the_window_is_over():
    worth, _ = weights(2000, [(300, 399)])
    assert worth[299] == -0.11
    assert -0.11 <= worth[800] < worth[420] < worth[401] < 0.0
    assert worth[399] > 0.0


def test_nothing_counts_within_the_probation():
    assert probation(4032) == 604
    assert probation(15902) == 750
    score = silent()
    score[:150] = 9.0
    score[300] = 1.0
    assert benchmark([Scored(score, [(300, 399)])])[0] == pytest.approx(100.0)


def test_the_sigmoid_is_nought_at_the_end_and_all_lost_from_three_windows_on():
    assert sigmoid(0.0) == 0.0
    assert sigmoid(-1.0) == pytest.approx(0.98661, abs=1e-5)
    assert sigmoid(3.1) == -1.0


def test_the_baseline_is_nabs():
    values = np.random.default_rng(0).normal(5.0, 2.0, 7000)
    score = windowed_gaussian(values)
    for i in (1, 50, 6399, 6401, 6450):
        seen = values[: min(i, 6400)]
        z = abs(values[i] - seen.mean()) / (seen.std() or 1e-6)
        assert score[i] == pytest.approx(1 - 0.5 * math.erfc(z / 1.4142), abs=1e-9)
    seen = values[100:6500]
    assert score[6550] == pytest.approx(1 - 0.5 * math.erfc(abs(values[6550] - seen.mean()) / seen.std() / 1.4142), abs=1e-9)
