"""The pool of a class: ranks among all of its sensors, each in units of its own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.normal_model import layout
from detectors.normal_model.detector import NormalModelDetector
from detectors.normal_model.fold import AMPLITUDE, SHAPE
from detectors.normal_model.pool import LEAST_OWN, MOST_POOLED, Pools, enter_pool, lot, measure_of, name_of, standardised
from detectors.protocol import ROW, TEST, UNIT, Columns, Verdicts, fold
from state.keys import PackedKeys
from state.snapshot import pack, unpack
from tests import naive

BLOCK, SECONDS, SENSORS, LEVEL = 36, 60, 6, 0.008
BUDGET = -math.log1p(-LEVEL) * 86_400 / (BLOCK * SECONDS)
SMALL = {
    "length": 12, "warm_up": 200, "rebuilds": (), "calibration": 60, "epsilon": 0.05, "hand_over_lag": 20, "hand_over_spread": 5,
    "false_alarms_per_sensor_day": BUDGET,
}  # fmt: skip


def fleet(readings, sensors=SENSORS, seed=0):
    """Sensors in turn: waves of their own size and noise."""
    generator = np.random.default_rng(seed)
    noise = np.exp(generator.uniform(-3.0, -1.0, sensors))
    phase, n = np.arange(readings)[:, None], readings * sensors
    waves = np.sin(2 * np.pi * phase / 12) * np.exp(0.05 * generator.standard_normal((readings, sensors)))
    values = np.exp(np.arange(sensors)) * (waves + noise * generator.standard_normal((readings, sensors)))
    at = np.repeat(np.arange(readings, dtype=np.int64), sensors) * SECONDS * 1_000_000
    return Columns(PackedKeys.pack([f"pump {i % sensors}" for i in range(n)]), at, {"value": values.ravel().copy()})


def judged(detector, columns, state=None):
    state = detector.new_state() if state is None else state
    return Verdicts.join([verdicts for _, verdicts in fold(detector, state, columns)]), state


def test_the_class_decides_as_lists_of_maxima_do():
    """Every p-value and alarm once the pool serves, sensor by sensor, in the order of the log."""
    detector, columns = NormalModelDetector(**SMALL), fleet(5000)
    verdicts, state = judged(detector, columns)
    level, pool, checked = naive.block_level(BUDGET, BLOCK, SECONDS) / 2, {SHAPE: [], AMPLITUDE: []}, 0
    own = [{SHAPE: [], AMPLITUDE: []} for _ in range(SENSORS)]
    present = [[] for _ in range(SENSORS)]
    alarms = {(int(place[ROW]), int(place[TEST])) for place in verdicts.alarms.places if place[TEST] in (SHAPE, AMPLITUDE)}
    hashes = [state.keys.hashes[state.keys.find(f"pump {i}".encode())] for i in range(SENSORS)]
    for row in range(len(columns)):
        number, sensor = divmod(row, SENSORS)
        mine, block = own[sensor], number // BLOCK
        if number % BLOCK == 0:
            present[sensor] = []
        if np.isnan(verdicts.score[row]):
            continue
        scores = verdicts.score[row], verdicts.evidence["amplitude"][row]
        present[sensor].append(scores)
        if number % 25 == 0 and not verdicts.not_ready[row] and len(mine[SHAPE]) >= 32 and (len(pool[SHAPE]) + 1) * level >= 1:
            drawn = [lot(hashes[sensor], block, test) for test in (SHAPE, AMPLITUDE)]
            found = [naive.pooled_verdict(pool[test], mine[test], scores[test], level, drawn[test]) for test in (SHAPE, AMPLITUDE)]
            assert verdicts.p_value[row] == pytest.approx(min(2 * found[SHAPE][0], 2 * found[AMPLITUDE][0], 1.0))
            assert verdicts.threshold[row] == pytest.approx(found[SHAPE][1], rel=1e-4)
            for test in (SHAPE, AMPLITUDE):
                assert ((row, test) in alarms) == (found[test][0] <= level)
            checked += 1
        if len(present[sensor]) == BLOCK:
            for test in (SHAPE, AMPLITUDE):
                greatest = float(np.float32(max(pair[test] for pair in present[sensor])))
                if len(mine[test]) >= 32:
                    widest = measure_of(np.sort(np.array(mine[test], np.float32)), len(mine[test]))
                    pool[test].append(float(standardised(max(pair[test] for pair in present[sensor]), *widest)))
                mine[test].append(greatest)
    assert checked > 100
    assert alarms
    np.testing.assert_array_equal(np.sort(np.float32(pool[SHAPE])), state.pools.ordered[0, SHAPE, : len(pool[SHAPE])])


def test_an_alert_of_the_class_says_so():
    detector, columns = NormalModelDetector(**SMALL), fleet(5400)
    values = columns.fields["value"].reshape(-1, SENSORS)
    values[5300:, 2] = 7.0 * np.random.default_rng(5).standard_normal(100)
    verdicts, _ = judged(detector, columns)
    every = [detector.explain(verdicts.alarms, i) for i in range(len(verdicts.alarms))]
    told = [explanation for explanation in every if explanation.basis == "pooled"][-1]
    assert told.unit == "block"
    assert "in the mean over the sensors of its class" in told.guarantee
    assert "blocks of its class's sensors, in units of each, stay" in " ".join(told.reasons)
    assert told.evidence["ranked_among"] > 249


@settings(max_examples=5, deadline=None)
@given(st.lists(st.integers(0, 4200 * SENSORS), max_size=4))
def test_cuts_and_restored_states_change_nothing_of_the_pool(cuts):
    detector, columns = NormalModelDetector(**SMALL), fleet(4200)
    whole, state = judged(detector, columns)
    parts, restored = [], detector.new_state()
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), len(columns)], strict=True):
        if last > first:
            parts.append(judged(detector, columns.span(first, last), restored)[0])
        restored = detector.thaw(unpack(pack(detector.freeze(restored))))
    np.testing.assert_array_equal(Verdicts.join(parts).p_value, whole.p_value)
    assert pack(detector.freeze(restored)) == pack(detector.freeze(state))
    assert state.pools.counts[0, 0, 0] > 100


def test_classes_have_pools_of_their_own():
    detector = NormalModelDetector(**SMALL, classes=[("fan", {"epsilon": 0.02})])
    columns = fleet(4200)
    columns.fields["class"] = np.tile(np.array([-1, -1, -1, -1, 0, 0]), 4200)
    _, state = judged(detector, columns)
    assert (state.pools.counts[:, 0, 0] > 0).all()
    assert state.pools.counts[0, 0, 0] == 2 * state.pools.counts[1, 0, 0]
    assert set((state.pools.names[1, : state.pools.counts[1, 0, 0]] >> np.uint64(32)).tolist()) == {
        int(state.keys.hashes[state.keys.find(f"pump {i}".encode())]) & 0xFFFFFFFF for i in (4, 5)
    }


@pytest.mark.parametrize("promise", ["alerts", "false"])
def test_confirmed_blocks_leave_the_pool_where_false_alarms_are_promised(promise):
    detector = NormalModelDetector(**SMALL | {"promise": promise})
    _, state = judged(detector, fleet(4200))
    held, slot = int(state.pools.counts[0, 0, 0]), state.keys.find(b"pump 3")
    said = {"slot": slot, "test": SHAPE, "verdict": "confirmed", "first_unit": 100, "last_unit": 102}
    detector.adopt(state, {"verdicts": [said]})
    assert state.pools.counts[0, 0, 0] == held - (3 if promise == "false" else 0)
    again = detector.thaw(unpack(pack(detector.freeze(state))))
    more = fleet(4600).span(4200 * SENSORS, 4600 * SENSORS)
    np.testing.assert_array_equal(judged(detector, more, again)[0].p_value, judged(detector, more, state)[0].p_value)
    assert pack(detector.freeze(again)) == pack(detector.freeze(state))


def test_a_full_pool_forgets_the_oldest_block():
    pools, generator = Pools(1), np.random.default_rng(0)
    drawn = np.float32(generator.standard_normal((MOST_POOLED + 500, 2)))
    for number, (shape, amplitude) in enumerate(drawn):
        of_class = pools.ring[0], pools.ordered[0], pools.counts[0], pools.names[0]
        enter_pool(*of_class, name_of(np.uint64(number % 7), number), shape, amplitude)
    for channel in range(2):
        np.testing.assert_array_equal(pools.ordered[0, channel], np.sort(drawn[500:, channel]))
    pools.leave_out(0, 3, 600, 700)
    kept = np.array([not (number % 7 == 3 and 600 <= number <= 700) for number in range(500, MOST_POOLED + 500)])
    np.testing.assert_array_equal(pools.freeze()["pooled"].reshape(2, -1), drawn[500:][kept].T)
    thawed = Pools.thaw(**dict(zip(("values", "names", "counts"), pools.freeze().values(), strict=True)))
    np.testing.assert_array_equal(thawed.ordered[0, :, : kept.sum()], pools.ordered[0, :, : kept.sum()])


@given(st.lists(st.floats(0.0, 2.0**100, width=32), min_size=LEAST_OWN, max_size=60), st.floats(0.0, 1e300))
def test_any_score_has_a_place_in_a_pool(maxima, score):
    middle, width = measure_of(np.sort(np.float32(maxima)), len(maxima))
    assert width > 0.0
    assert math.isfinite(standardised(score, middle, width))


def test_until_a_sensor_has_blocks_of_its_own_the_class_does_not_judge_it():
    detector, columns = NormalModelDetector(**SMALL), fleet(4200)
    late = columns.span(0, 3000 * SENSORS).keys
    keys = [bytes(late[i]).decode() for i in range(3000 * SENSORS)]
    newcomer = Columns(PackedKeys.pack(keys), columns.at[: 3000 * SENSORS], {"value": columns.fields["value"][: 3000 * SENSORS]})
    _, state = judged(detector, columns)
    shifted = Columns(
        PackedKeys.pack(["new " + key for key in keys]), newcomer.at + 4200 * SECONDS * 1_000_000, {"value": newcomer.fields["value"]}
    )
    shifted.first_event = len(columns)
    verdicts, state = judged(detector, shifted, state)
    own = detector.explain
    bases = {own(verdicts.alarms, i).basis for i in range(len(verdicts.alarms)) if verdicts.alarms.places[i, UNIT] < LEAST_OWN}
    assert bases <= {"paper"}
    assert state.rows["whole"][state.keys.find(b"new pump 0"), layout.BLOCKS] > LEAST_OWN
