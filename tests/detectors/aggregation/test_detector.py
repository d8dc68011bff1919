from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detectors.aggregation import model as models
from detectors.aggregation.detector import DAY, AggregationDetector
from detectors.aggregation.equations import attribute_slot
from detectors.aggregation.features import FEATURES
from detectors.aggregation.groups import MODES, groups_of
from detectors.aggregation.logistic import OnlineLogistic
from detectors.aggregation.recalibration import Recalibration
from detectors.aggregation.shares import MerchantShares
from detectors.protocol import LATE, MICROSECONDS, REPEATED, Columns, Verdicts, fold
from state import snapshot
from state.keys import PackedKeys
from tests import alarms, naive

SMALL = {"epsilon": 0.1, "windows": (1, 2), "calibration": 40}
NONE = -1


def columns(events):
    """Columns of (card, seconds, amount, mode, number[, address match[, merchant]])."""
    filled = [(*event, *(NONE, NONE)[len(event) - 5 :]) for event in events]
    cards, times, *rest = zip(*filled, strict=True)
    fields = dict(zip(("amount", "mode", "transaction", "address_match", "merchant"), rest, strict=True))
    fields["credit_limit"] = [NONE] * len(events)
    given_by = {name: np.array(column, np.int64) for name, column in fields.items()}
    return Columns(PackedKeys.pack(cards), np.array(times, np.int64) * MICROSECONDS, given_by)


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
    rows = zip(
        rng.integers(0, 3, n), times, amounts, rng.integers(-1, 4, n), rng.integers(0, 8 * n, n), rng.integers(-1, 2, n), strict=True
    )
    return [(f"card {k}", int(t), int(a), int(m), int(i), int(match)) for k, t, a, m, i, match in rows]


def slow_order(stream):
    return [(card, t, a, mode, match, number) for card, t, a, mode, number, match in stream]


AT_ONCE = [("card 1", 86_852_000 + gap, 1_993 + number, 2, number, -1) for number, gap in enumerate((0, 0, 0, 50, 50, 110))]


@settings(max_examples=60, deadline=None)
@given(events(), st.integers(0, 120), st.sampled_from(["paper", "recency"]))
@example(AT_ONCE, 3, "paper")  # all gaps that were adopted are 0
def test_features_and_scores_equal_the_slow_way_before_and_after_a_population_is_adopted(stream, cut, form):
    detector = AggregationDetector(**SMALL, mode_slots=4, modes=4, txgap=form)
    cut = min(cut, len(stream) - 1)
    state, parts = detector.new_state(), []
    for part in (stream[:cut], stream[cut:]):
        if part:
            detector.adopt(state, detector.merged([detector.contribution(state)]))
            parts.append(folded(detector, part, state)[0])
    computed = Verdicts.join(parts)
    reference = naive.card_features(slow_order(stream), (1, 2), 4, 5.0, (cut,), form)
    for row, (reason, features) in enumerate(reference):
        assert computed.reason[row] == {"": 0, "late": LATE, "repeated": REPEATED}[reason]
        if reason:
            assert np.isnan(computed.score[row])
            assert all(np.isnan(computed.evidence[name][row]) for name in detector.features)
            continue
        assert computed.score[row] == computed.evidence["unusualness"][row]
        edgy = features.pop("edgy")  # a value on the edge between two steps is counted in one of them, rounding says which
        for name, expected in features.items():
            if edgy and name in ("surprise_gap", "unusualness"):
                continue
            found = computed.evidence[name][row]
            exact = name.startswith(("n_", "sa_", "txgap_"))
            assert found == expected if exact else found == pytest.approx(expected, rel=1e-7, abs=1e-7), name


@settings(max_examples=40, deadline=None)
@given(events())
def test_a_score_is_ranked_among_the_last_ones(stream):
    computed, _ = folded(AggregationDetector(**SMALL), stream)
    for row in np.flatnonzero(computed.reason == 0).tolist():
        past = computed.score[:row][~np.isnan(computed.score[:row])][-40:].tolist()
        assert computed.seen[row] == len(past)
        if len(past) >= 9:
            assert computed.p_value[row] == naive.conformal_p_value(past, computed.score[row])
            assert computed.alert[row] == (computed.p_value[row] <= 0.1) == (computed.score[row] > computed.threshold[row])
        else:
            assert np.isnan(computed.p_value[row])
            assert computed.threshold[row] == np.inf
            assert computed.needed[row] == 9


def model_record(detector, seed=0, frauds=200):
    rng = np.random.default_rng(seed)
    model, recalibration = OnlineLogistic(len(detector.features)), Recalibration()
    vectors = rng.lognormal(3, 2, (300, len(detector.features)))
    recalibration.count(model.learn(vectors, rng.random(300) < 0.2), rng.random(300) < 0.2)
    return models.record(488_000, detector.features, model, recalibration, 300, frauds)


def shares_record():
    shares = MerchantShares()
    shares.add(100, np.array([3, 3, 4]), np.array([1, 0, 1]))
    return shares.record(110)


@settings(max_examples=30, deadline=None)
@given(events(), st.integers(0, 120), st.integers(1, 5))
def test_however_cards_are_spread_over_partitions_they_are_judged_alike(stream, cut, many):
    """Given the cuts: vectors, unusualness and probabilities, to the bit."""
    detector = AggregationDetector(**SMALL)
    inputs = {"model": model_record(detector), "shares": shares_record()}
    said = {}
    for partitions in (1, many):
        states = [detector.new_state() for _ in range(partitions)]
        rows = [[row for row, event in enumerate(stream) if int(event[0][-1]) % partitions == n] for n in range(partitions)]
        for early in (True, False):
            for state, own in zip(states, rows, strict=True):
                here = [row for row in own if (row < cut) == early]
                if here:
                    verdicts, _ = folded(detector, [stream[row] for row in here], state)
                    for place, row in enumerate(here):
                        values = [verdicts.evidence[name][place] for name in ("unusualness", "fraud_probability", *detector.features)]
                        said.setdefault(row, []).append(np.array(values).tobytes())
            merged = detector.merged([detector.contribution(state) for state in states])
            for state in states:
                detector.adopt(state, merged | inputs)
    assert all(one == other for one, other in said.values())


@settings(max_examples=40, deadline=None)
@given(
    events(), st.lists(st.integers(0, 120), max_size=5), st.sampled_from([3, 4096]), st.sampled_from([2, 1000]),
    st.sampled_from([0.0, 3.0]), st.sampled_from([10, 200]), st.sampled_from(["exact", "tiles"]),
)  # fmt: skip
def test_how_events_are_cut_and_frozen_changes_nothing(stream, places, ring_limit, key_limit, cap, frauds, aggregates):
    detector = AggregationDetector(**SMALL, ring_limit=ring_limit, key_limit=key_limit, alerts_per_day=cap, aggregates=aggregates)
    inputs = {"model": model_record(detector, frauds=frauds), "shares": shares_record()}
    state = detector.new_state()
    detector.adopt(state, inputs)
    whole, state = folded(detector, stream, state)
    reference = snapshot.pack(detector.freeze(state))
    places = sorted(min(place, len(stream)) for place in places)
    state, parts, at = detector.new_state(), [], columns(stream)
    detector.adopt(state, inputs)
    for first, last in zip([0, *places], [*places, len(stream)], strict=True):
        for _, verdicts in fold(detector, state, at.span(first, last)):
            parts.append(verdicts)
        state = detector.thaw(snapshot.unpack(snapshot.pack(detector.freeze(state))))
    assert bits(Verdicts.join(parts)) == bits(whole)
    assert snapshot.pack(detector.freeze(state)) == reference


def test_a_payment_is_not_part_of_what_it_is_compared_with():
    verdicts, _ = folded(AggregationDetector(), [("a", 0, 500, 0, 1), ("a", 10, 700, 0, 2)])
    assert verdicts.evidence["sa_1d"].tolist() == [0, 500]
    assert verdicts.evidence["tg_mode_1d"].tolist() == [0, 500 * (DAY - 10) / DAY]
    assert verdicts.evidence["mean_1d"].tolist() == [0.0, 500.0]


def test_transactions_of_one_second_are_taken_as_they_came():
    verdicts, _ = folded(AggregationDetector(), [("a", 5, 100, 0, 1), ("a", 5, 200, 0, 2), ("a", 5, 300, 0, 3)])
    assert verdicts.reason.tolist() == [0, 0, 0]
    assert verdicts.evidence["sa_1d"].tolist() == [0, 100, 300]
    assert verdicts.evidence["txgap_1d"].tolist() == [0, 0, 100]
    assert verdicts.evidence["log_gap"].tolist() == [math.log(1 + 30 * DAY), 0.0, 0.0]


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
    assert verdicts.evidence["n_mode_1d"][1] == 0
    assert verdicts.evidence["surprise_mode"][1] == verdicts.evidence["cond_mode_1d"][1] == verdicts.evidence["mode_rarity"][1] == 0.0


def test_modes_beyond_the_table_share_the_slots_beyond_it():
    assert [attribute_slot(code, 2, 4) for code in (-1, 0, 1, 2, 3, 4, 2**31 - 1)] == [NONE, 0, 1, 2, 3, 2, 3]
    assert [attribute_slot(code, 2, 2) for code in (-1, 0, 1, 2, 3)] == [NONE, 0, 1, 0, 1]


def test_the_rarer_the_mode_the_more_its_aggregates_weigh():
    """p_c is made of what has left the longest window: a burst, however long, does not make its own mode usual."""
    old = [("a", 3_600 * hour, 100, int(hour % 10 == 0), hour) for hour in range(400)]
    burst = [("a", 3_600 * 400 + 30 * i, 100, 1, 1_000 + i) for i in range(200)]
    rarity = folded(AggregationDetector(), [*old, *burst])[0].evidence["mode_rarity"]
    assert rarity[400] == pytest.approx(0.9, abs=0.02)
    assert rarity[-1] == pytest.approx(rarity[400], abs=1e-3)


def test_the_address_itself_and_na_are_not_aggregated():
    stream = [("a", 0, 100, 0, 1, 1), ("a", 1, 30, 0, 2, 0), ("a", 2, 5, 0, 3, NONE), ("a", 3, 1, 0, 4, 1), ("a", 3, 1, 0, 5, 0)]
    verdicts, _ = folded(AggregationDetector(), [*stream, ("a", 3, 1, 0, 6, NONE)])
    matched = verdicts.evidence["tg_match_1d"] * DAY
    assert matched.tolist()[3:] == pytest.approx([100 * (DAY - 3), 30 * (DAY - 2), 0.0])
    assert verdicts.evidence["address_match"].tolist() == [1, 0, 0, 1, 0, 0]
    assert verdicts.evidence["address_mismatch"].tolist() == [0, 1, 0, 0, 1, 0]


def test_a_transaction_belongs_to_its_modes_group_its_match_and_the_unusual_ones():
    modes = 4
    assert groups_of(NONE, modes, NONE, False) == 1
    assert groups_of(2, modes, 1, True) == 1 | 1 << (MODES + 2) | 1 << (MODES + modes + 1) | 1 << (MODES + modes + 2)
    assert groups_of(0, modes, 0, False) == 1 | 1 << MODES | 1 << (MODES + modes)


def test_a_late_one_teaches_the_cards_normal_what_it_would_have_and_the_population_nothing():
    detector = AggregationDetector()
    in_order, _ = folded(detector, [("a", 0, 100, 0, 1), ("a", DAY, 300, 0, 2), ("a", 2 * DAY, 200, 0, 3)])
    late, state = folded(detector, [("a", 0, 100, 0, 1), ("a", DAY + 1, 0, 0, 9), ("a", DAY, 300, 0, 2), ("a", 2 * DAY, 200, 0, 3)])
    for name in ("own_mean", "own_count", "amount_z", "sa_7d", "tg_7d"):
        assert late.evidence[name][3] == pytest.approx(in_order.evidence[name][2], rel=1e-12)
    assert state.population.seen[0].sum() == 2


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
    assert state.population.seen[0].sum() == 4


def test_not_ready_until_a_rank_can_be_as_rare_as_epsilon():
    verdicts, _ = folded(AggregationDetector(epsilon=0.02), steady(120))
    assert (verdicts.seen[48], verdicts.needed[48]) == (48, 49)
    assert not verdicts.not_ready[49]
    assert not np.isnan(verdicts.score).any()


def test_an_unusual_payment_says_why():
    detector = AggregationDetector(epsilon=0.01)
    burst = [("card 0", 10**7 + 12 * i, 231_000, int(i == 7), 10_000 + i) for i in range(8)]
    _, state = folded(detector, steady(800))
    detector.adopt(state, detector.merged([detector.contribution(state)]))
    verdicts, _ = folded(detector, burst, state)
    assert verdicts.alert.all()
    told = alarms.explained(detector, verdicts, 7)
    text = " ".join(told.reasons)
    assert told.reasons[0].startswith("Stranger for its card than 9")
    assert "2,310.00, " in text
    assert "times the card's usual" in text
    assert "12 s after the card's last payment; usual are" in text
    assert "Paid offline, as " in text
    assert told.evidence["features"]["sa_1d"] == 7 * 231_000
    assert len(json.dumps(told.evidence, allow_nan=False)) < 8_000
    assert "ranked among the partition's last" in told.compared_with


def test_a_refund_that_alerts_says_that_it_is_one():
    detector = AggregationDetector(epsilon=0.01)
    _, state = folded(detector, steady(800))
    detector.adopt(state, detector.merged([detector.contribution(state)]))
    verdicts, _ = folded(detector, [("card 0", 10**7, 3_000, 1, 10_000), ("card 0", 10**7, -3_000, 1, 10_001)], state)
    assert verdicts.alert[1]
    told = alarms.explained(detector, verdicts, 1).reasons
    assert told[1].startswith("0 s after the card's last payment; usual are")
    assert "Refund of 30.00." in told


def test_where_a_model_decides_the_alert_names_it_and_what_speaks_for_fraud():
    detector = AggregationDetector(review_cost=1.0, fraud_loss=100.0)
    record = model_record(detector)
    state = detector.new_state()
    detector.adopt(state, {"model": record})
    verdicts, _ = folded(detector, steady(300), state)
    acting = models.acting(record, detector.features)
    vectors = np.stack([verdicts.evidence[name] for name in detector.features], axis=1)
    expected = np.array([acting.probability(vector) for vector in vectors])
    np.testing.assert_array_equal(verdicts.evidence["fraud_probability"], expected)
    np.testing.assert_array_equal(verdicts.score, expected)
    np.testing.assert_array_equal(verdicts.alert, 100.0 * expected > 1.0)
    assert set(verdicts.evidence["rule"]) == {"cost"}
    assert set(verdicts.evidence["decision"][verdicts.alert]) == {"alert"}
    row = int(np.flatnonzero(verdicts.alert)[0])
    told = alarms.explained(detector, verdicts, row)
    assert told.evidence["model_version"] == 488_000
    assert "% likely a fraud (alerts begin at 1 %), by the model of 2025-09-02 08:00 UTC." in told.reasons[0]
    assert told.reasons[1].startswith("Because of the ")
    assert sum(told.evidence["because"].values()) == pytest.approx(1.0, abs=0.01)
    assert told.budget == {"review_cost": 1.0, "fraud_loss": 100.0, "alerts_per_day": 1_000.0}
    assert told.basis.startswith("cost")
    largest = max(detector.features, key=lambda name: abs(acting.contributions(vectors[row])[detector.features.index(name)]))
    assert largest in told.evidence["contributions"]
    assert len(json.dumps(told.evidence, allow_nan=False)) < 8_000


def test_with_the_most_windows_and_modes_an_alert_still_fits_its_eight_kilobytes():
    names = [f"a mode with a long name {number}" for number in range(32)]
    detector = AggregationDetector(windows=range(1, 25), modes=names, mode_slots=32)
    state = detector.new_state()
    detector.adopt(state, {"model": model_record(detector)})
    verdicts, _ = folded(detector, steady(300), state)
    row = int(np.flatnonzero(verdicts.alert)[-1])
    assert len(json.dumps(alarms.explained(detector, verdicts, row).evidence, allow_nan=False)) < 8_000


def test_a_model_that_has_learned_few_frauds_is_said_and_does_not_decide():
    detector = AggregationDetector()
    state = detector.new_state()
    detector.adopt(state, {"model": model_record(detector, frauds=199)})
    verdicts, _ = folded(detector, steady(30), state)
    assert set(verdicts.evidence["rule"]) == {"epsilon"}
    assert not np.isnan(verdicts.evidence["fraud_probability"]).any()
    np.testing.assert_array_equal(verdicts.score, verdicts.evidence["unusualness"])


def test_a_model_of_other_features_is_refused():
    detector = AggregationDetector(windows=(1, 3))
    with pytest.raises(ValueError, match="other features"):
        detector.adopt(detector.new_state(), {"model": model_record(AggregationDetector())})


def test_a_cap_holds_alerts_back_and_says_so():
    detector = AggregationDetector(alerts_per_day=2.0)
    state = detector.new_state()
    detector.adopt(state, {"model": model_record(detector)})
    verdicts, _ = folded(detector, [(f"card {i % 5}", 100 * i, 3_000, 0, i) for i in range(300)], state)
    assert verdicts.alert.sum() <= 2
    assert "held back" in set(verdicts.evidence["decision"])


def test_a_merchants_share_of_known_frauds_is_part_of_the_vector():
    detector = AggregationDetector()
    state = detector.new_state()
    detector.adopt(state, {"shares": shares_record()})
    verdicts, _ = folded(detector, [("a", 0, 1, 0, 1, NONE, 3), ("a", 1, 1, 0, 2, NONE, 5), ("a", 2, 1, 0, 3)], state)
    shares = np.stack([verdicts.evidence[f"merchant_{days}d"] for days in (7, 14, 30)])
    assert (shares[:, 0] > 0.2).all()
    assert not shares[:, 1:].any()


@settings(max_examples=40, deadline=None)
@given(events())
def test_in_tiles_time_gaps_are_never_too_large_and_sums_never_too_small(stream):
    """Refunds apart, and repeats, which the two tell by other means; all else of the vector is the same."""
    stream = [(card, t, abs(a), mode, row, match) for row, (card, t, a, mode, _, match) in enumerate(stream)]
    exact, _ = folded(AggregationDetector(**SMALL), stream)
    tiled, _ = folded(AggregationDetector(**SMALL, aggregates="tiles"), stream)
    np.testing.assert_array_equal(exact.reason, tiled.reason)
    judged = exact.reason == 0
    for name in exact.evidence:
        one, other = exact.evidence[name][judged], tiled.evidence[name][judged]
        if name.startswith(("n_", "sa_")):
            assert (other >= one * (1 - 1e-6)).all(), name
        elif name.startswith("tg_"):
            assert (other <= one + 1e-6 * sum(event[2] for event in stream)).all(), name  # float32
        elif name.startswith(("own_", "amount", "log_", "surprise_amount", "surprise_gap")):
            np.testing.assert_array_equal(one, other)


def test_in_tiles_a_repeat_is_recognised_among_the_last_seven():
    stream = [("a", t, 100, 0, t) for t in range(8)]
    verdicts, state = folded(AggregationDetector(aggregates="tiles"), [*stream, ("a", 9, 100, 0, 1), ("a", 9, 100, 0, 0)])
    assert verdicts.reason.tolist()[-2:] == [REPEATED, 0]
    assert state.turned_away.tolist() == [0, 0, 1]


def test_the_default_vector_is_the_one_that_is_named():
    assert AggregationDetector().features == FEATURES


def test_the_most_unpleasant_numbers_are_survived():
    big, small = np.iinfo(np.int64).max, np.iinfo(np.int64).min
    seconds = big // MICROSECONDS
    stream = [
        ("a", t, a, m, i) for i, (t, a, m) in enumerate([(-seconds, big, big), (0, small, small), (seconds, big, 0), (seconds, 1, 1)])
    ]
    detector = AggregationDetector()
    verdicts, state = folded(detector, stream)
    assert np.isfinite(verdicts.score).all()
    frozen = snapshot.pack(detector.freeze(state))
    assert snapshot.pack(detector.freeze(detector.thaw(snapshot.unpack(frozen)))) == frozen


@pytest.mark.parametrize(
    "wrong",
    [
        {"epsilon": 1.5}, {"epsilon": 1e-5}, {"windows": ()}, {"windows": (3, 1)}, {"modes": ()}, {"mode_slots": 1}, {"txgap": "text"},
        {"prior_weight": 0.0}, {"ring_limit": 0}, {"normal_days": 0},
        {"aggregates": "some"}, {"unusual_ratio": 1.0}, {"alerts_per_day": -1}, {"review_cost": -1}, {"calibration": 0},
        {"quiet_units": -1}, {"key_limit": 0}, {"exponent": 9},
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
