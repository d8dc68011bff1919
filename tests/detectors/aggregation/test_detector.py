from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.aggregation.detector import DAY, AggregationDetector
from detectors.aggregation.equations import AGGREGATES, attribute_slot, conditional
from detectors.protocol import LATE, MICROSECONDS, REPEATED, Columns, Verdicts, fold
from state import snapshot
from state.keys import PackedKeys
from tests import alarms, naive

SMALL = {"epsilon": 0.1, "windows": (1, 2), "calibration": 40}
NONE = -1


def columns(events):
    """Columns of (card, seconds, amount, mode, number)."""
    cards, times, amounts, modes, numbers = zip(*events, strict=True)
    whole = {"amount": amounts, "mode": modes, "transaction": numbers}
    given_by = {name: np.array(column, np.int64) for name, column in whole.items()}
    not_given = {name: np.full(len(events), NONE, np.int64) for name in ("address_match", "credit_limit", "merchant")}
    return Columns(PackedKeys.pack(cards), np.array(times, np.int64) * MICROSECONDS, given_by | not_given)


def folded(detector, events, state=None):
    state = detector.new_state() if state is None else state
    return Verdicts.join([verdicts for _, verdicts in fold(detector, state, columns(events))]), state


def bits(verdicts):
    return {name: column.tobytes() for name, column in (alarms.columns(verdicts) | verdicts.evidence).items()}


def steady(n, seed=0, cards=5, start=0):
    """Payments of about 30.00, an hour apart, on a few cards."""
    rng = np.random.default_rng(seed)
    times = start + np.cumsum(rng.integers(1, 3600, n))
    amounts = np.round(np.exp(rng.normal(8, 0.4, n))).astype(int)
    modes = (rng.random(n) < 0.03).astype(int)
    rows = zip(rng.integers(0, cards, n).tolist(), times.tolist(), amounts.tolist(), modes.tolist(), strict=True)
    return [(f"card {k}", t, a, m, number) for number, (k, t, a, m) in enumerate(rows)]


@st.composite
def events(draw, most=120):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, most))
    times = 1_000 * DAY + np.cumsum(rng.choice([0, 0, 50, 3_000, 20_000, -4_000, 5 * DAY], n, p=[0.1, 0.1, 0.2, 0.3, 0.2, 0.08, 0.02]))
    amounts = np.round(np.exp(rng.normal(8, 1, n))).astype(int) * rng.choice([1, -1, 0], n, p=[0.9, 0.08, 0.02])
    rows = zip(rng.integers(0, 3, n), times, amounts, rng.integers(-1, 4, n), rng.integers(0, 8 * n, n), strict=True)
    return [(f"card {k}", int(t), int(a), int(m), int(i)) for k, t, a, m, i in rows]


@settings(max_examples=60, deadline=None)
@given(events(), st.sampled_from(["paper", "recency"]))
def test_aggregates_scores_and_p_values_equal_the_slow_way(stream, form):
    detector = AggregationDetector(**SMALL, mode_slots=4, modes=4, txgap=form)
    computed, _ = folded(detector, stream)
    reference = naive.card_verdicts(stream, [DAY, 2 * DAY], 4, 5.0, 40, form)
    for row, expected in enumerate(reference):
        assert {"": 0, "late": LATE, "repeated": REPEATED}[expected[0]] == computed.reason[row]
        if expected[0]:
            assert np.isnan(computed.score[row])
            assert np.isnan(computed.p_value[row])
            continue
        _, score, surprises, aggregates, past = expected
        assert computed.score[row] == pytest.approx(score, rel=1e-9, abs=1e-9)
        for name, surprise in zip(("amount", "mode", "gap"), surprises, strict=True):
            assert computed.evidence[f"surprise_{name}"][row] == pytest.approx(surprise, rel=1e-9, abs=1e-9)
        for days, numbers in zip((1, 2), aggregates, strict=True):
            for name, number in zip(AGGREGATES, numbers, strict=True):
                if not name.startswith("weight"):
                    aggregate, _, gate = name.partition("_")
                    assert computed.evidence[f"{aggregate}_{days}d" + ("_" + gate if gate else "")][row] == number
        assert computed.seen[row] == len(past)
        own_past = computed.score[:row][~np.isnan(computed.score[:row])][-40:].tolist()
        if len(own_past) >= 9:
            assert computed.p_value[row] == naive.conformal_p_value(own_past, computed.score[row])
            assert computed.alert[row] == (computed.p_value[row] <= 0.1) == (computed.score[row] > computed.threshold[row])
        else:
            assert np.isnan(computed.p_value[row])
            assert computed.threshold[row] == np.inf
            assert computed.readiness(row).needed == 9


@settings(max_examples=40, deadline=None)
@given(events(), st.lists(st.integers(0, 120), max_size=5), st.sampled_from([3, 4096]), st.sampled_from([2, 1000]))
def test_how_events_are_cut_and_frozen_changes_nothing(stream, places, ring_limit, key_limit):
    detector = AggregationDetector(**SMALL, ring_limit=ring_limit, key_limit=key_limit)
    whole, state = folded(detector, stream)
    reference = snapshot.pack(detector.freeze(state))
    places = sorted(min(place, len(stream)) for place in places)
    state, parts, at = detector.new_state(), [], columns(stream)
    for first, last in zip([0, *places], [*places, len(stream)], strict=True):
        for _, verdicts in fold(detector, state, at.span(first, last)):
            parts.append(verdicts)
        state = detector.thaw(snapshot.unpack(snapshot.pack(detector.freeze(state))))
    assert bits(Verdicts.join(parts)) == bits(whole)
    assert snapshot.pack(detector.freeze(state)) == reference


def test_a_payment_is_not_part_of_what_it_is_compared_with():
    verdicts, _ = folded(AggregationDetector(), [("a", 0, 500, 0, 1), ("a", 10, 700, 0, 2)])
    assert verdicts.evidence["sa_1d"].tolist() == [0, 500]
    assert verdicts.evidence["tg_1d_mode"].tolist() == [0, 500 * (DAY - 10)]
    assert verdicts.evidence["mean_1d"].tolist() == [0.0, 500.0]


def test_transactions_of_one_second_are_taken_as_they_came():
    verdicts, _ = folded(AggregationDetector(), [("a", 5, 100, 0, 1), ("a", 5, 200, 0, 2), ("a", 5, 300, 0, 3)])
    assert verdicts.reason.tolist() == [0, 0, 0]
    assert verdicts.evidence["sa_1d"].tolist() == [0, 100, 300]
    assert verdicts.evidence["txgap_1d"].tolist() == [0, 0, 100]
    assert verdicts.evidence["gap_seconds"].tolist() == [-1, 0, 0]


def test_a_late_one_enters_the_aggregates_and_is_not_scored():
    detector = AggregationDetector()
    verdicts, state = folded(
        detector, [("a", 1_000, 100, 0, 1), ("a", 400, 50, 0, 2), ("a", 1_000 - 7 * DAY, 9, 0, 3), ("a", 1_001, 1, 0, 4)]
    )
    assert verdicts.reason.tolist() == [0, LATE, LATE, 0]
    assert np.isnan(verdicts.score[1:3]).all()
    assert verdicts.evidence["sa_7d"][3] == 150
    assert state.turned_away.tolist() == [1, 1, 0]


def test_a_repeated_transaction_counts_once_within_the_longest_window():
    again = [("a", 0, 100, 0, 1), ("a", 60, 100, 0, 1), ("b", 60, 100, 0, 1), ("a", 7 * DAY, 100, 0, 2), ("a", 7 * DAY + 60, 100, 0, 1)]
    verdicts, state = folded(AggregationDetector(), again)
    assert verdicts.reason.tolist() == [0, REPEATED, 0, 0, 0]
    assert state.turned_away.tolist() == [0, 0, 1]


def test_a_refund_is_taken_off_at_its_own_time_and_its_amount_is_no_surprise():
    verdicts, _ = folded(AggregationDetector(), [*steady(100), ("card 0", 10**7, -(10**8), 0, 1000), ("card 0", 10**7 + 9, 1, 0, 1001)])
    assert verdicts.evidence["surprise_amount"][100] == 0.0
    assert verdicts.reason[100] == 0
    assert verdicts.evidence["sa_1d"][101] == -(10**8)


def test_without_a_mode_every_gate_is_closed_and_the_totals_stay():
    verdicts, _ = folded(AggregationDetector(), [("a", 0, 100, NONE, 1), ("a", 1, 100, NONE, 2)])
    assert verdicts.evidence["n_1d"][1] == 1
    assert verdicts.evidence["n_1d_mode"][1] == 0
    assert verdicts.evidence["surprise_mode"][1] == 0.0
    assert conditional(verdicts.evidence["mode_share"], verdicts.evidence["tg_1d_mode"]).tolist() == [0.0, 0.0]


def test_modes_beyond_the_table_share_the_slots_beyond_it():
    assert [attribute_slot(code, 2, 4) for code in (-1, 0, 1, 2, 3, 4, 2**31 - 1)] == [4, 0, 1, 2, 3, 2, 3]
    assert [attribute_slot(code, 2, 2) for code in (-1, 0, 1, 2, 3)] == [2, 0, 1, 0, 1]


def test_the_rarer_the_mode_the_more_its_aggregates_weigh():
    assert conditional(np.array([0.1, 0.9]), np.array([100, 100])).tolist() == pytest.approx([90.0, 10.0])


def test_beyond_the_ring_limit_rows_say_that_their_windows_are_cut_short():
    stream = [("a", t, 100, 0, t) for t in range(10)] + [("a", 8 * DAY, 100, 0, 99)]
    verdicts, _ = folded(AggregationDetector(ring_limit=4), stream)
    assert verdicts.evidence["n_1d"].tolist() == [0, 1, 2, 3, 4, 4, 4, 4, 4, 4, 0]
    assert verdicts.evidence["cut_short"].tolist() == [0] * 5 + [1] * 5 + [0]


def test_an_evicted_card_begins_anew():
    detector = AggregationDetector(key_limit=2)
    verdicts, state = folded(detector, [("a", 0, 100, 0, 1), ("b", 1, 100, 0, 2), ("c", 2, 100, 0, 3), ("a", 3, 100, 0, 4)])
    assert verdicts.unit.tolist() == [1, 1, 1, 1]
    assert verdicts.evidence["n_1d"].tolist() == [0, 0, 0, 0]
    assert len(state.keys) == 2
    assert state.all_whole[4] == 4


def test_not_ready_until_a_rank_can_be_as_rare_as_epsilon():
    verdicts, _ = folded(AggregationDetector(epsilon=0.02), steady(120))
    assert verdicts.readiness(48).seen == 48
    assert verdicts.readiness(48).needed == 49
    assert verdicts.readiness(49) is None
    assert not np.isnan(verdicts.score).any()


def test_an_unusual_payment_says_why():
    detector = AggregationDetector(epsilon=0.01)
    burst = [("card 0", 10**7 + 12 * i, 231_000, int(i == 7), 10_000 + i) for i in range(8)]
    verdicts, _ = folded(detector, [*steady(800), *burst])
    assert verdicts.alert[-8:].all()
    told = alarms.explained(detector, verdicts, len(verdicts) - 1)
    text = " ".join(told.reasons)
    assert "2,310.00, where this card usually spends about" in text
    assert "12 s after the previous one; usual gap" in text
    assert "Paid offline, which this card does" in text
    assert "7 payments of 16,170.00 in all in the day before it." in text
    assert told.evidence["windows"][0]["sa"] == 7 * 231_000
    assert len(json.dumps(told.evidence, allow_nan=False)) < 8_000
    assert "ranked among the partition's last" in told.compared_with


def test_the_amount_is_told_though_it_is_not_what_is_unusual():
    detector = AggregationDetector(epsilon=0.01)
    quick = [("card 0", 10**7 + i, amount, 0, 10_000 + i) for i, amount in enumerate([3_000, 3_000, 3_000, -3_000])]
    verdicts, _ = folded(detector, [*steady(800), *quick])
    assert verdicts.alert[-3:].all()
    told = alarms.explained(detector, verdicts, len(verdicts) - 2).reasons
    assert told[0].startswith("1 s after the previous one; usual gap")
    assert told[1].startswith("Amount 30.00, usual about")
    assert alarms.explained(detector, verdicts, len(verdicts) - 1).reasons[1] == "Refund of 30.00."


def test_the_most_unpleasant_numbers_are_survived():
    big, small = np.iinfo(np.int64).max, np.iinfo(np.int64).min
    seconds = big // MICROSECONDS
    stream = [
        ("a", t, a, m, i) for i, (t, a, m) in enumerate([(-seconds, big, big), (0, small, small), (seconds, big, 0), (seconds, 1, 1)])
    ]
    detector = AggregationDetector()
    verdicts, state = folded(detector, stream)
    assert np.isfinite(verdicts.score).all()
    assert snapshot.pack(detector.freeze(detector.thaw(detector.freeze(state)))) == snapshot.pack(detector.freeze(state))


@pytest.mark.parametrize(
    "wrong",
    [
        {"epsilon": 1.5}, {"epsilon": 1e-5}, {"windows": ()}, {"windows": (3, 1)}, {"modes": ()}, {"mode_slots": 1}, {"txgap": "text"},
        {"prior_weight": 0.0}, {"ring_limit": 0}, {"calibration": 0}, {"quiet_units": -1}, {"key_limit": 0}, {"exponent": 9},
    ],
)  # fmt: skip
def test_a_bad_setting_is_refused_by_its_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong)) if "modes" not in wrong else "mode_slots"):
        AggregationDetector(**wrong)


def test_a_hundredth_of_the_budget_is_critical_where_there_are_ranks_enough():
    detector = AggregationDetector(epsilon=0.2, calibration=900)
    rng = np.random.default_rng(0)
    n = 2_000
    columns = Columns(
        PackedKeys.pack([str(card) for card in rng.integers(0, 20, n)]),
        (1_700_000_000 + 600 * np.arange(n)) * 1_000_000,
        {
            "amount": np.exp(rng.normal(8, 0.5, n)).astype(np.int64),
            "mode": np.zeros(n, np.int64),
            "address_match": np.full(n, -1),
            "credit_limit": np.full(n, -1),
            "merchant": np.full(n, -1),
            "transaction": np.arange(n),
        },
    )
    columns.fields["amount"][-1] = 10**9
    verdicts = [part for _, part in fold(detector, detector.new_state(), columns)]
    whole = Verdicts.join(verdicts)
    assert alarms.critical(whole)[-1]
    np.testing.assert_array_equal(alarms.critical(whole), whole.alert & (whole.p_value <= 0.01 * 0.2))
