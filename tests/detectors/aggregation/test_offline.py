from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.aggregation.offline import COUNT, NONE, PLACED, RECENT, SIMPLE, TIMED, WEIGHT, Histories, merchant_shares
from tests import naive

SPANS = (5, 20)

transactions = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 40), st.integers(-500, 5_000), st.integers(-1, 2)), min_size=1, max_size=40
)


def columns(rows):
    return (np.array(column, np.int64) for column in zip(*rows, strict=True))


def naive_sums(rows, i, span, asked, including):
    """The aggregates of row i, over rows of its card that came before it in (time, arrival)."""
    card, now = rows[i][:2]
    before = [(t, a, j) for k, (c, t, a, j) in enumerate(rows) if c == card and ((t, k) < (now, i) or (including and k == i))]
    ones = [(t, 1, j) for t, _, j in before]
    return {
        COUNT: naive.simple_aggregation(ones, span, now, asked),
        WEIGHT: naive.time_gap(ones, span, now, asked),
        SIMPLE: naive.simple_aggregation(before, span, now, asked),
        PLACED: naive.transaction_gap(before, span, now, asked, "paper"),
        RECENT: naive.transaction_gap(before, span, now, asked, "recency"),
        TIMED: naive.time_gap(before, span, now, asked),
    }


@given(transactions, st.booleans())
def test_offline_aggregates_of_all_transactions_equal_the_slow_way(rows, including):
    card, time, amount, _ = columns(rows)
    computed = Histories.of(card, time, amount).sums(SPANS, including=including)
    for i in range(len(rows)):
        for window, span in enumerate(SPANS):
            reference = naive_sums(rows, i, span, None, including)
            assert {kind: computed[window, kind, i] for kind in reference} == reference


@given(transactions, st.booleans())
def test_a_gate_lets_through_the_rows_own_attribute_value_only(rows, including):
    card, time, amount, mode = columns(rows)
    computed = Histories.of(card, time, amount).sums(SPANS, mode, including=including)
    for i in range(len(rows)):
        for window, span in enumerate(SPANS):
            reference = naive_sums(rows, i, span, rows[i][3], including)
            if rows[i][3] == NONE:
                reference = dict.fromkeys(reference, 0)
            assert {kind: computed[window, kind, i] for kind in reference} == reference


@given(transactions, st.integers(0, 2))
def test_any_attribute_value_may_be_asked_for(rows, value):
    card, time, amount, mode = columns(rows)
    computed = Histories.of(card, time, amount).sums(SPANS, mode, np.full(len(rows), value))
    for i in range(len(rows)):
        for window, span in enumerate(SPANS):
            reference = naive_sums(rows, i, span, value, False)
            assert {kind: computed[window, kind, i] for kind in reference} == reference


@given(transactions)
def test_the_two_forms_of_the_transaction_gap_add_up_to_n_times_the_simple_aggregate(rows):
    card, time, amount, _ = columns(rows)
    computed = Histories.of(card, time, amount).sums(SPANS)
    assert np.array_equal(computed[:, PLACED] + computed[:, RECENT], computed[:, COUNT] * computed[:, SIMPLE])


def test_a_history_beyond_64_bits_is_refused():
    big = np.array([10**12, 10**12], np.int64)
    with pytest.raises(ValueError, match="64 bits"):
        Histories.of(np.zeros(2, np.int64), np.array([0, 10**7]), big).sums(SPANS)


def test_nothing_in_gives_nothing_out():
    empty = np.zeros(0, np.int64)
    assert Histories.of(empty, empty, empty).sums(SPANS).shape == (2, 6, 0)


@given(st.lists(st.tuples(st.integers(-1, 2), st.integers(0, 60), st.booleans()), min_size=1, max_size=40), st.integers(0, 15))
def test_a_merchants_share_of_frauds_equals_the_slow_way(rows, delay):
    merchant, time, fraud = (np.array(column) for column in zip(*rows, strict=True))
    computed = merchant_shares(merchant, time, fraud, SPANS, delay)
    for i, (shop, now, _) in enumerate(rows):
        known = [(t, f) for k, (m, t, f) in enumerate(rows) if m == shop >= 0 and (t, k) < (now, i)]
        for window, span in enumerate(SPANS):
            assert computed[window, i] == pytest.approx(naive.merchant_share(known, span, now, delay))


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 60), st.booleans()), min_size=2, max_size=40), st.data())
def test_a_label_younger_than_its_delay_changes_no_share(rows, data):
    merchant, time, fraud = (np.array(column) for column in zip(*rows, strict=True))
    at, delay = int(data.draw(st.sampled_from(time.tolist()))), 10
    flipped = np.where(time > at - delay, ~fraud, fraud)
    old = time <= at
    before, after = (merchant_shares(merchant, time, labels, SPANS, delay) for labels in (fraud, flipped))
    assert np.array_equal(before[:, old], after[:, old])
