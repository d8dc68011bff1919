"""Budgets in the detector: which rule decides, among which blocks, and what an alert says of it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from detectors.normal_model import layout
from detectors.normal_model.detector import NormalModelDetector
from detectors.normal_model.fold import AMPLITUDE, SHAPE
from detectors.protocol import E_VALUE, P_VALUE, ROW, TEST, THRESHOLD, UNIT, Columns, Verdicts, fold
from state.keys import PackedKeys
from state.snapshot import pack, unpack
from tests import naive

BLOCK, SECONDS, LEVEL = 36, 60, 0.102
BUDGET = -math.log1p(-LEVEL) * 86_400 / (BLOCK * SECONDS)
SMALL = {
    "length": 12, "warm_up": 200, "rebuilds": (), "calibration": 60, "epsilon": 0.05, "hand_over_lag": 20, "hand_over_spread": 5,
    "false_alarms_per_sensor_day": BUDGET,
}  # fmt: skip


def readings(values):
    at = np.arange(len(values), dtype=np.int64) * SECONDS * 1_000_000
    return Columns(PackedKeys.pack(["pump"] * len(values)), at, {"value": np.ascontiguousarray(values, np.float64)})


def wave(n, seed=0, noise=0.1):
    generator = np.random.default_rng(seed)
    return np.sin(2 * np.pi * np.arange(n) / 12) * np.exp(0.05 * generator.standard_normal(n)) + noise * generator.standard_normal(n)


def judged(detector, columns, state=None):
    state = detector.new_state() if state is None else state
    return Verdicts.join([verdicts for _, verdicts in fold(detector, state, columns)]), state


def blocks_of(detector, state, slot=0):
    return int(state.rows["whole"][slot, layout.BLOCKS])


def test_the_budget_decides_as_a_list_of_block_maxima_does():
    """Every p-value and alarm once the ring serves, and not a block of which a reading is missing in the ring."""
    values = wave(3000)
    values[[900, 1311]] = np.nan
    detector = NormalModelDetector(**SMALL)
    verdicts, state = judged(detector, readings(values))
    level = naive.block_level(BUDGET, BLOCK, SECONDS) / 2
    maxima, number, present, checked = {SHAPE: [], AMPLITUDE: []}, -1, [], 0
    alarms = {(int(place[ROW]), int(place[TEST])) for place in verdicts.alarms.places if place[TEST] in (SHAPE, AMPLITUDE)}
    for row, x in enumerate(values):
        if np.isnan(x):
            continue
        number += 1
        present = [] if number % BLOCK == 0 else present
        if not np.isnan(verdicts.score[row]):
            present.append((verdicts.score[row], verdicts.evidence["amplitude"][row]))
            found = [naive.block_verdict(maxima[test], float(np.float32(present[-1][test])), level) for test in (SHAPE, AMPLITUDE)]
            if not verdicts.not_ready[row] and found[0] is not None:
                checked += 1
                assert verdicts.p_value[row] == pytest.approx(min(2 * found[0][0], 2 * found[1][0], 1.0))
                assert verdicts.threshold[row] == pytest.approx(found[0][1])
                for test in (SHAPE, AMPLITUDE):
                    assert ((row, test) in alarms) == (found[test][0] <= level)
        if len(present) == BLOCK:
            for test in (SHAPE, AMPLITUDE):
                maxima[test].append(float(np.float32(max(pair[test] for pair in present))))
    assert checked > 1000
    assert blocks_of(detector, state) == len(maxima[SHAPE]) < (number + 1 - 220) // BLOCK
    assert alarms


def test_until_there_are_blocks_enough_the_papers_rule_decides_and_with_no_budget_always():
    served, without = NormalModelDetector(**SMALL), NormalModelDetector(**SMALL | {"false_alarms_per_sensor_day": 0.0})
    values = wave(3000)
    values[[500, 501, 502, 2500, 2501]] = 5.0
    (verdicts, _), (old, _) = judged(served, readings(values)), judged(without, readings(values))
    bases = [served.explain(verdicts.alarms, i).basis for i in range(len(verdicts.alarms))]
    first = bases.index("own")
    assert set(bases[:first]) == {"paper"}
    assert set(bases[first:]) == {"own"}
    row = int(verdicts.alarms.places[first, ROW])
    np.testing.assert_array_equal(verdicts.p_value[: 19 * BLOCK], old.p_value[: 19 * BLOCK])
    assert row > 19 * BLOCK
    assert {without.explain(old.alarms, i).basis for i in range(len(old.alarms))} == {"paper"}


def test_an_alert_says_what_decided_and_what_is_promised():
    detector = NormalModelDetector(**SMALL)
    values = wave(3000)
    values[2500:2600] = np.random.default_rng(5).standard_normal(100)
    verdicts, _ = judged(detector, readings(values))
    told = [detector.explain(verdicts.alarms, i) for i in range(len(verdicts.alarms))]
    own = next(i for i, explanation in enumerate(told) if explanation.basis == "own" and verdicts.alarms.places[i, ROW] > 2500)
    explanation = told[own]
    assert explanation.unit == "block"
    assert explanation.budget["false_alarms_per_sensor_day"] == pytest.approx(BUDGET)
    assert explanation.budget["epsilon_block"] == pytest.approx(LEVEL)
    assert "exchangeable with the latest 19" in explanation.guarantee
    assert "all of the latest 19 blocks stay" in " ".join(explanation.reasons)
    assert f"usual level {explanation.evidence['level']:.4g}"[:16] in " ".join(explanation.reasons)
    assert abs(explanation.evidence["level"]) < 0.1  # of the readings, not of the test
    assert len(json.dumps(explanation.evidence)) < 8000
    paper = next(explanation for explanation in told if explanation.basis == "paper")
    assert paper.unit == "reading"
    assert "19 blocks of 36 min" in paper.budget["waits_for"]


def test_a_fault_that_stays_becomes_critical_by_evidence():
    detector = NormalModelDetector(**SMALL | {"promise": "false"})
    values = wave(4000)
    values[3000:] = np.random.default_rng(5).standard_normal(1000) * np.linspace(1.0, 30.0, 1000)
    verdicts, _ = judged(detector, readings(values[:3500]))
    alarms = verdicts.alarms
    served = ~np.isnan(alarms.numbers[:, E_VALUE])
    assert (alarms.numbers[served, P_VALUE] <= LEVEL).all()
    assert (alarms.places[served, 4] == (alarms.numbers[served, E_VALUE] * LEVEL >= 200.0)).all()
    before = served & (alarms.places[:, ROW] < 3000)
    assert not alarms.places[before, 4].any()
    assert alarms.places[served & (alarms.places[:, ROW] >= 3000), 4].any()


@pytest.mark.parametrize("promise", ["alerts", "false"])
def test_confirmed_blocks_leave_the_ring_where_false_alarms_are_promised(promise):
    detector = NormalModelDetector(**SMALL | {"promise": promise})
    _, state = judged(detector, readings(wave(2000)))
    before, held = pack(detector.freeze(state)), blocks_of(detector, state)
    said = {"slot": 0, "test": SHAPE, "verdict": "confirmed", "first_unit": 20, "last_unit": 22}
    assert len(detector.adopt(state, {"verdicts": [said | {"verdict": "cleared"}, said | {"test": 2}]})) == 0
    assert pack(detector.freeze(state)) == before
    detector.adopt(state, {"verdicts": [said]})
    assert blocks_of(detector, state) == held - (3 if promise == "false" else 0)
    assert (pack(detector.freeze(state)) == before) == (promise == "alerts")


def test_a_block_confirmed_before_its_end_never_enters():
    detector, columns = NormalModelDetector(**SMALL | {"promise": "false"}), readings(wave(2000))
    _, state = judged(detector, columns.span(0, 1500))
    held, unit = blocks_of(detector, state), 1500 // BLOCK
    said = {"slot": 0, "test": AMPLITUDE, "verdict": "confirmed", "first_unit": unit, "last_unit": unit}
    detector.adopt(state, {"verdicts": [said]})
    judged(detector, columns.span(1500, (unit + 2) * BLOCK), state)
    assert blocks_of(detector, state) == held + 1


def test_without_verdicts_anomalies_mask_one_another_and_a_share_set_aside_finds_them():
    """Two blocks in five are anomalous, to a tenth of the budget: among all of them none stands out."""
    values, generator = wave(6000, noise=0.02), np.random.default_rng(3)
    bad = np.arange(40, 160)[generator.random(120) < 0.4]
    for block in bad.tolist():
        values[block * BLOCK + 10 : block * BLOCK + 16] += 1.5 + 0.1 * generator.random()
    found = {}
    for share in (0.0, 0.45):
        promise = {"promise": "false", "expected_anomaly_share": share} if share else {}
        verdicts, _ = judged(NormalModelDetector(**SMALL | promise), readings(values))
        places = verdicts.alarms.places[~np.isnan(verdicts.alarms.numbers[:, E_VALUE])]
        found[share] = np.isin(bad[bad > 80], places[:, UNIT]).mean()
    assert found[0.0] < 0.4
    assert found[0.45] > 0.7


def test_the_ring_begins_anew_with_a_model():
    detector = NormalModelDetector(**SMALL | {"rebuilds": (1000,)})
    _, state = judged(detector, readings(wave(1015)))
    assert blocks_of(detector, state) > 15
    _, state = judged(detector, readings(wave(1100)))
    assert blocks_of(detector, state) <= 2


def test_a_budget_is_no_part_of_the_state():
    states = []
    for budget in (0.0, BUDGET, 3 * BUDGET):
        detector = NormalModelDetector(**SMALL | {"false_alarms_per_sensor_day": budget})
        states.append((detector.state_signature(), pack(detector.freeze(judged(detector, readings(wave(2000)))[1]))))
    assert states[0] == states[1] == states[2]


@pytest.mark.parametrize("cut", [300, 777, 1512, 1999])
def test_a_frozen_ring_goes_on_where_it_was(cut):
    detector, columns = NormalModelDetector(**SMALL), readings(wave(2600, seed=4))
    whole, state = judged(detector, columns)
    _, before = judged(detector, columns.span(0, cut))
    rest, after = judged(detector, columns.span(cut, 2600), detector.thaw(unpack(pack(detector.freeze(before)))))
    np.testing.assert_array_equal(rest.p_value, whole.p_value[cut:])
    np.testing.assert_array_equal(rest.alarms.numbers[:, THRESHOLD], whole.alarms.numbers[whole.alarms.places[:, ROW] >= cut, THRESHOLD])
    assert pack(detector.freeze(after)) == pack(detector.freeze(state))


def test_a_long_history_serves_a_small_budget_by_its_tail():
    """520 blocks: half a level of 1/3,000 lies within a decade of them."""
    level = 2.0 / 3000
    budget = -math.log1p(-level) * 86_400 / (BLOCK * SECONDS)
    detector = NormalModelDetector(**SMALL | {"false_alarms_per_sensor_day": budget})
    values = wave(530 * BLOCK)
    values[-10:] = 0.0
    verdicts, _ = judged(detector, readings(values))
    last = detector.explain(verdicts.alarms, len(verdicts.alarms) - 1)
    assert last.basis == "tail"
    assert last.guarantee.startswith("approximately")
    assert verdicts.alarms.numbers[-1, P_VALUE] <= level


@pytest.mark.parametrize(
    "wrong",
    [
        {"false_alarms_per_sensor_day": -1.0}, {"false_alarms_per_sensor_day": math.inf}, {"promise": "none"},
        {"promise": "false", "expected_anomaly_share": 0.6}, {"expected_anomaly_share": 0.1},
    ],
)  # fmt: skip
def test_a_budget_that_cannot_be_is_refused_by_name(wrong):
    with pytest.raises(ValueError, match=rf"{list(wrong)[-1]} = "):
        NormalModelDetector(**SMALL | wrong)
