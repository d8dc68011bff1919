"""What every detector must keep, whatever it detects."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.aggregation.detector import AggregationDetector
from detectors.benford.detector import BenfordDetector
from detectors.hardness.detector import HardnessDetector
from detectors.normal_model.detector import NormalModelDetector
from detectors.protocol import E_VALUE, P_VALUE, ROW, SCORE, TEST, Verdicts
from state import snapshot
from streams.alerts import LARGEST_EVIDENCE
from streams.partition import Origins, Partition, run
from tests import alarms, strategies

# Settings so small that a few hundred events pass through every phase: warm-up, build, calibration, decisions, eviction.
DETECTORS = {
    "normal_model": lambda **more: NormalModelDetector(
        length=8,
        warm_up=96,
        rebuilds=(150, 200),
        calibration=40,
        epsilon=0.1,
        hand_over_lag=5,
        hand_over_spread=7,
        false_alarms_per_sensor_day=5000.0,  # a block has a few minutes, and some chance of an alarm
        classes=[("slow", {"length": 10, "normal_length": 20, "promise": "false", "expected_anomaly_share": 0.1})],
        **more,
    ),
    "hardness": lambda **more: HardnessDetector(warm_up=30, bins=2, width=20, epsilon=0.1, hand_over_lag=5, hand_over_spread=7, **more),
    "aggregation": lambda **more: AggregationDetector(windows=(1, 3), calibration=60, epsilon=0.05, **more),
    "benford": lambda **more: BenfordDetector(window=40, minimum_expected=0.5, alpha=0.2, mu=2.5, sigma=0.6, **more),
}
every_detector = pytest.mark.parametrize("name", DETECTORS)


def partition(name, **more):
    detector = DETECTORS[name](**more)
    return Partition("stream", "topic", 0, detector, silence=7200.0)


def folded(part, columns, first=0):
    """Fold columns as the records first, first + 1, …; return the outcome."""
    rows = np.arange(first, first + len(columns))
    return run(part.fold(columns, Origins.of_record("topic", 0, rows, np.zeros_like(rows)), first + len(columns)))


def bits(verdicts):
    return {name: column.tobytes() for name, column in (alarms.columns(verdicts) | verdicts.evidence).items()}


def in_pieces(name, columns, places, thaw, **more):
    part = partition(name, **more)
    outcomes = []
    for first, last in zip([0, *places], [*places, len(columns)], strict=True):
        outcomes.append(folded(part, columns.span(first, last), first))
        if thaw:
            frozen = part.freeze()
            part = partition(name, **more)
            part.thaw(frozen)
    return part, Verdicts.join([o.verdicts for o in outcomes]), [r for o in outcomes for r in o.reports]


@every_detector
@settings(max_examples=25)
@given(data=st.data())
def test_how_events_are_cut_into_batches_changes_nothing(name, data):
    columns = data.draw(strategies.streams(name))
    places = data.draw(strategies.cuts(len(columns)))
    thaw = data.draw(st.booleans())
    more = {"key_limit": data.draw(st.sampled_from([2, 1000]))}
    whole = partition(name, **more)
    reference = folded(whole, columns)
    part, verdicts, reports = in_pieces(name, columns, places, thaw, **more)
    assert bits(verdicts) == bits(reference.verdicts)
    assert [(r.episode, r.transition.kind, r.transition.number, r.origin, r.explanation) for r in reports] == [
        (r.episode, r.transition.kind, r.transition.number, r.origin, r.explanation) for r in reference.reports
    ]
    assert part.freeze() == whole.freeze()


@every_detector
@settings(max_examples=10)
@given(data=st.data())
def test_a_thawed_state_freezes_to_the_same_bytes(name, data):
    part = partition(name)
    folded(part, data.draw(strategies.streams(name)))
    frozen = part.freeze()
    other = partition(name)
    other.thaw(frozen)
    assert other.freeze() == frozen
    assert snapshot.unpack(frozen).keys() >= {"episodes", "partition"}


@every_detector
@settings(max_examples=10)
@given(data=st.data())
def test_what_was_frozen_does_not_change_when_the_fold_goes_on(name, data):
    columns = data.draw(strategies.streams(name))
    first = data.draw(st.integers(0, len(columns)))
    part = partition(name, key_limit=data.draw(st.sampled_from([2, 1000])))
    folded(part, columns.span(0, first))
    pieces = list(part.pieces())
    frozen = b"".join(pieces)
    folded(part, columns.span(first, len(columns)), first)
    assert b"".join(pieces) == frozen


@every_detector
@settings(max_examples=15)
@given(data=st.data())
def test_verdicts_keep_their_meaning(name, data):
    columns = data.draw(strategies.streams(name))
    verdicts = folded(partition(name), columns).verdicts
    assert len(verdicts) == len(columns)
    judged = ~np.isnan(verdicts.score)
    assert not (judged & verdicts.not_ready & verdicts.alert).any()
    assert (verdicts.reason[judged] == 0).all()
    assert not (verdicts.alert & ~judged).any()
    p = verdicts.p_value[~np.isnan(verdicts.p_value)]
    assert ((p >= 0) & (p <= 1)).all()
    said = verdicts.alarms
    at_a_level = ~np.isnan(said.numbers[:, [P_VALUE, E_VALUE]]).all(axis=1)  # the others tell of something that has happened
    assert set(said.places[at_a_level, ROW].tolist()) == set(np.flatnonzero(verdicts.alert).tolist())
    assert (np.diff(said.places[:, ROW]) >= 0).all()
    assert ((said.places[:, TEST] >= 0) & (said.places[:, TEST] < len(DETECTORS[name]().tests))).all()
    assert not np.isnan(said.numbers[:, SCORE]).any()
    assert all(len(said.detail_of(i)) for i in range(len(said)))


@every_detector
def test_every_alert_explains_itself_in_words_and_numbers(name):
    detector = DETECTORS[name]()
    explained = 0
    for seed in range(20):
        columns = long_stream(name, seed)
        said = folded(partition(name), columns).verdicts.alarms
        for i in range(min(len(said), 5)):
            explanation = detector.explain(said, i)
            assert 1 <= len(explanation.reasons) <= 6
            assert all(any(c.isdigit() for c in reason) for reason in explanation.reasons)
            assert len(json.dumps(explanation.evidence, allow_nan=False)) <= LARGEST_EVIDENCE
            assert explanation.compared_with
            explained += 1
        if explained >= 5:
            return
    assert explained


def long_stream(name, seed):
    rng = np.random.default_rng(seed)
    n = 3000
    at = (1_700_000_000 + np.cumsum(rng.integers(1, 100, n))) * 1_000_000
    fields = strategies.FIELDS[name](rng, n)
    keys = strategies.PackedKeys.pack([strategies.KEYS[i] for i in rng.integers(0, 2, n)])
    return strategies.Columns(keys, at.astype(np.int64), fields)


@every_detector
def test_what_decides_but_does_not_shape_the_state_is_no_part_of_the_signature(name):
    signature = DETECTORS[name]().state_signature()
    assert json.dumps(signature)
    assert not {"epsilon", "alpha", "quiet_units"} & set(signature)


@every_detector
def test_a_state_of_other_settings_is_refused_with_both_values(name):
    frozen = partition(name).freeze()
    other = Partition("stream", "topic", 0, DIFFERENT[name](), silence=7200.0)
    with pytest.raises(snapshot.SnapshotError, match="the settings now say"):
        other.thaw(frozen)


DIFFERENT = {
    "normal_model": lambda: NormalModelDetector(length=9),
    "hardness": lambda: HardnessDetector(warm_up=31),
    "aggregation": lambda: AggregationDetector(windows=(1, 4)),
    "benford": lambda: BenfordDetector(window=41),
}


@every_detector
def test_unknown_inputs_of_a_cut_are_ignored(name):
    part = partition(name)
    before = part.freeze()
    assert len(part.detector.adopt(part.state, {"of another build": {"x": 1}})) == 0
    assert part.freeze() == before


@every_detector
def test_nothing_at_all_can_be_folded(name):
    columns = long_stream(name, 0).span(0, 0)
    part = partition(name)
    before = part.freeze()
    assert len(folded(part, columns).verdicts) == 0
    assert part.freeze() == before
