"""The ring of block maxima and what is promised from it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.normal_model.blocks import (
    BLOCK_HEAD,
    EVIDENCE_BLOCKS,
    FIRST_BLOCKS,
    MOST_BLOCKS,
    OWN,
    PAPER,
    POOLED,
    TAIL,
    as_high,
    basis_of,
    block_level,
    enter,
    fit_tail,
    gained,
    leave_out,
    maxima_of,
    numbers_of,
    rank_p_value,
    rank_threshold,
    ranked_of,
    since,
    tail_p_value,
    tail_threshold,
    wanted_of,
)
from detectors.normal_model.budget import history_needed
from tests import naive

levels = st.floats(0.01, 0.6)
shares = st.sampled_from([0.0, 0.1, 0.3, 0.5])
scores = st.integers(0, 40).map(lambda x: x / 4)  # exact in single precision, and often equal


class Ring:
    """A ring beside the lists that it stands for."""

    def __init__(self, room=FIRST_BLOCKS):
        self.data = np.zeros(BLOCK_HEAD + 2 * room)
        self.room, self.count = room, 0
        self.blocks = []  # (number, shape, amplitude) in order of time

    def enter(self, number, shape, amplitude):
        self.data[:2] = shape, amplitude
        self.count = enter(self.data, BLOCK_HEAD, self.room, self.count, number, 0)
        self.blocks = [*self.blocks, (number, shape, amplitude)][-MOST_BLOCKS:]

    def leave_out(self, first, last):
        self.count = leave_out(self.data, BLOCK_HEAD, self.room, self.count, first, last)
        self.blocks = [block for block in self.blocks if not first <= block[0] <= last]

    def of(self, channel):
        maxima, numbers = (view(self.data, BLOCK_HEAD, self.room, channel)[: self.count] for view in (maxima_of, numbers_of))
        return maxima, numbers, [block[1 + channel] for block in self.blocks]


@given(st.floats(0.001, 1000.0), st.integers(1, 10_000), st.floats(0.001, 3600.0))
def test_the_level_of_a_block_is_its_definition(false_alarms, readings, seconds):
    reference = naive.block_level(false_alarms, readings, seconds)
    assert block_level(false_alarms, readings, seconds * 1e6) == pytest.approx(reference, rel=1e-6, abs=1e-15)


@given(st.lists(st.tuples(scores, scores, st.integers(0, 9)), max_size=60), levels, shares, scores)
def test_ranks_among_the_latest_blocks_are_those_of_a_list(steps, level, share, score):
    ring = Ring()
    for number, (shape, amplitude, what) in enumerate(steps):
        ring.enter(number, shape, amplitude)
        if what == 0:
            ring.leave_out(number - 3, number - 1)
    for channel in range(2):
        maxima, numbers, listed = ring.of(channel)
        assert maxima.tolist() == sorted(listed)
        assert sorted(numbers.tolist()) == [block[0] for block in ring.blocks]
        reference = naive.block_verdict(listed, score, level, share)
        many = wanted_of(level, share)
        assert (basis_of(ring.count, level, share, 0.0, 0.0, 0) == OWN) == (reference is not None)
        if reference is not None:
            first = since(numbers, ring.count, many)
            p = rank_p_value(as_high(maxima, numbers, ring.count, first, score, np.array([ring.count, 0])), many, share)
            threshold = rank_threshold(maxima, numbers, ring.count, first, many - ranked_of(many, share))
            assert (p, threshold) == pytest.approx(reference)
            assert (p <= level) == (score > threshold)


def test_a_full_ring_forgets_the_oldest_block():
    ring, generator = Ring(MOST_BLOCKS), np.random.default_rng(0)
    for number in range(3 * MOST_BLOCKS // 2):
        ring.enter(number, *generator.integers(0, 500, 2).tolist())
    for channel in range(2):
        maxima, numbers, listed = ring.of(channel)
        assert maxima.tolist() == sorted(listed)
        assert min(numbers) == MOST_BLOCKS // 2
    assert ring.data[BLOCK_HEAD:].nbytes == 16_384


@given(levels, shares)
def test_the_promise_is_kept_and_given_away_by_no_more_than_one_part_in_n(level, share):
    """The chance that one of n + 1 exchangeable blocks is the greatest is 1/(n + 1), as near to the level as whole numbers allow."""
    n = ranked_of(wanted_of(level, share), share)
    assert 1.0 / (n + 1) <= level + 1e-12 or (level > 0.5 and n == 1)
    if share == 0.0 and level <= 0.5:
        assert 1.0 / n >= level - 1e-12


def test_exchangeable_blocks_alarm_at_the_rate_of_the_theorem():
    """4,000 draws of 39 blocks and one more, in three laws: 2.5 % within three standard errors."""
    generator, level = np.random.default_rng(1), 0.025
    for draws in (generator.normal(10.0, 1.0, (4000, 40)), generator.exponential(1.0, (4000, 40)), generator.pareto(1.0, (4000, 40))):
        rate = np.mean([naive.block_verdict(row[:-1].tolist(), row[-1], level)[0] <= level for row in draws])
        assert abs(rate - level) <= 3 * math.sqrt(level * (1 - level) / len(draws))


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.integers(500, 1024), st.sampled_from(["exponential", "normal", "pareto"]))
def test_the_tail_is_its_definition(seed, n, law):
    generator = np.random.default_rng(seed)
    drawn = {"exponential": generator.exponential(1.0, n), "normal": generator.normal(9.0, 1.0, n), "pareto": generator.pareto(5.0, n)}[law]
    maxima = np.sort(drawn).astype(np.float32)
    start, shape, scale = naive.pareto_tail(maxima.tolist())
    assert fit_tail(maxima, n) == pytest.approx((shape, scale), rel=1e-6, abs=1e-9)
    level = 1.0 / (5.0 * n)
    threshold = tail_threshold(maxima, n, level, shape, scale)
    assert tail_p_value(maxima, n, threshold, shape, scale) == pytest.approx(level, rel=1e-6)
    assert threshold > start
    assert tail_p_value(maxima, n, 1e9, shape, scale) == 1.0 / (10.0 * n)
    assert tail_p_value(maxima, n, maxima[n // 2], shape, scale) == (1 + n - n // 2) / (n + 1)


def test_a_tail_of_500_blocks_keeps_a_thousandth_within_three_times():
    """The mean over 300 draws of the true chance beyond the threshold."""
    generator = np.random.default_rng(2)
    for draw, beyond in (
        (generator.exponential, lambda x: np.exp(-x)),
        (generator.gumbel, lambda x: -np.expm1(-np.exp(-x))),
    ):
        chances = []
        for _ in range(300):
            maxima = np.sort(draw(size=500)).astype(np.float32)
            chances.append(beyond(tail_threshold(maxima, 500, 1e-3, *fit_tail(maxima, 500))))
        assert 1e-3 / 3 <= np.mean(chances) <= 3e-3


def test_maxima_all_alike_have_no_tail():
    maxima = np.full(600, 8.0, np.float32)
    assert fit_tail(maxima, 600)[1] == 0.0
    assert basis_of(600, 1e-4, 0.0, 0.0, 0.0, 0) == PAPER


def test_the_ladder_goes_from_ranks_to_the_class_to_the_tail_to_the_papers_rule():
    assert [basis_of(count, 0.025, 0.0, 1.0, 1.0, 39) for count in (38, 39, 1024)] == [POOLED, OWN, OWN]
    assert [basis_of(count, 2e-4, 0.0, 1.0, 1.0, 4998) for count in (499, 500, 1024)] == [PAPER, TAIL, TAIL]
    assert [basis_of(500, 2e-4, 0.0, 1.0, width, 4999) for width in (0.0, 1.0)] == [TAIL, POOLED]
    assert [basis_of(1024, level, 0.0, 1.0, 1.0, 10_000) for level in (9e-5, 1e-12, 0.0)] == [PAPER] * 3
    assert basis_of(1024, 5e-5, 0.0, 1.0, 1.0, 20_000) == POOLED


@given(st.lists(scores, min_size=1, max_size=90))
def test_evidence_is_the_greatest_product_from_any_block_on(maxima):
    ring, evidence, computed = Ring(128), 0.0, []
    for number, x in enumerate(maxima):
        found, numbers, _ = ring.of(0)
        if number > 0:
            first = since(numbers, ring.count, EVIDENCE_BLOCKS)
            p = rank_p_value(
                as_high(found, numbers, ring.count, first, x, np.array([ring.count, 0])), min(ring.count, EVIDENCE_BLOCKS), 0.0
            )
            evidence = gained(evidence, p)
        else:
            evidence = 1.0
        computed.append(evidence)
        ring.enter(number, x, x)
    np.testing.assert_allclose(computed, naive.block_evidence(maxima, EVIDENCE_BLOCKS), rtol=1e-9)


@pytest.mark.parametrize("n", [1, 39, 64])
def test_a_blocks_bet_has_mean_one_at_most(n):
    assert np.mean([0.5 / math.sqrt(k / (n + 1)) for k in range(1, n + 2)]) <= 1.0


def test_the_history_that_a_budget_needs_is_said():
    words = history_needed(1 / 7, readings=225, interval=60.0).words
    assert words == "90 blocks of 3.75 h (14.06 days) without an interruption, or 90 of its whole class (5.156 days with 100 such sensors)"
    assert history_needed(0.1, readings=225, interval=1.0).first == 769
    few = history_needed(10.0, readings=225, interval=1 / 128).words
    assert few == "984 blocks of 1.758 s (28.83 min) without an interruption, or 9,831 of its whole class (3.838 min with 100 such sensors)"
    assert history_needed(0.1, readings=225, interval=1 / 128).words == "more blocks of 1.758 s than any ring holds"
    assert history_needed(0.1, readings=1, interval=1e-300).first is None
