"""The detector over streams: its phases, its conformal rule, its evidence."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.hardness.null_models import fit_autoregression
from detectors.normal_model.detector import NormalModelDetector
from detectors.normal_model.fold import AMPLITUDE, SHAPE
from detectors.normal_model.join import join_distances
from detectors.normal_model.kinds import MOST_RANKED
from detectors.normal_model.ladder import Recipe, climb
from detectors.normal_model.layout import HELD, RANKED
from detectors.normal_model.rolling import model_of_block
from detectors.protocol import LATE, NO_LOOK, NOT_A_NUMBER, P_VALUE, REPEATED, ROW, TEST, Columns, Verdicts, admit, fold
from state.draws import SPREAD_BUILDS, draw
from state.keys import PackedKeys
from state.snapshot import pack, unpack
from tests import alarms, naive

SMALL = {"length": 12, "warm_up": 200, "calibration": 60, "epsilon": 0.05, "hand_over_lag": 20, "hand_over_spread": 5}


def readings(values, keys=None, first_event=0, start=0):
    values = np.ascontiguousarray(values, np.float64)
    at = (start + np.arange(len(values), dtype=np.int64)) * 1_000_000
    return Columns(PackedKeys.pack(keys or ["pump"] * len(values)), at, {"value": values}, first_event=first_event)


def wave(n, seed=0, noise=0.1):
    return np.sin(2 * np.pi * np.arange(n) / 12) + noise * np.random.default_rng(seed).standard_normal(n)


def judged(detector, columns, state=None):
    state = detector.new_state() if state is None else state
    return Verdicts.join([verdicts for _, verdicts in fold(detector, state, columns)]), state


def with_pause(n=800, where=600):
    values = wave(n)
    values[where : where + 30] = 0.0
    return values


def in_force(detector, state, slot=0):
    spread = int(draw(state.keys.hashes[slot], detector.kinds[0].warm_up, SPREAD_BUILDS)) % detector.hand_over_spread
    return detector.kinds[0].warm_up + detector.hand_over_lag + spread


def alarming(verdicts, test):
    """Whether an alarm of this channel stands at each row."""
    rows = np.zeros(len(verdicts), np.bool_)
    rows[verdicts.alarms.places[verdicts.alarms.places[:, TEST] == test, ROW]] = True
    return rows


def built_by(detector, values, state):
    built = climb(
        values[: detector.kinds[0].warm_up],
        Recipe(12, 36, 0.4, detector.kinds[0].centroids, MOST_RANKED - 60, 12),
        [],
        first=0,
        key_hash=int(state.keys.hashes[0]),
        triggered=0,
    )
    return model_of_block(built.model.block, built.model.centroids, 12, 36)


def test_the_stream_says_what_the_naive_rule_says_of_the_batch_join():
    detector, values = NormalModelDetector(**SMALL), with_pause()
    verdicts, state = judged(detector, readings(values))
    model = built_by(detector, values, state)
    force = in_force(detector, state)
    ready = force + detector.kinds[0].calibration
    distances = join_distances(values, model, 12)[np.arange(len(values)) - 11]
    amplitudes = np.array(
        [
            naive.amplitude(values[row - 11 : row + 1].tolist(), model.spread, model.floor) if row >= 11 else np.nan
            for row in range(len(values))
        ]
    )
    calibration = np.arange(force, ready)
    earlier = [*join_distances(values[:200], model, 12).tolist(), *distances[calibration].tolist()]
    louder = [*amplitudes[11:200].tolist(), *amplitudes[calibration].tolist()]
    assert verdicts.not_ready.sum() == ready
    assert np.isnan(verdicts.score[:force]).all()
    assert np.isnan(verdicts.p_value[:ready]).all()
    np.testing.assert_allclose(verdicts.score[force:], distances[force:], rtol=1e-9)
    np.testing.assert_allclose(verdicts.evidence["amplitude"][force:], amplitudes[force:], rtol=1e-9, atol=1e-9)
    alike = [score for score in earlier if score < np.sqrt(12) * (1 - 1e-6)]
    earlier = alike if len(alike) >= 15 / 16 * len(earlier) else earlier
    shape, amplitude = alarming(verdicts, SHAPE), alarming(verdicts, AMPLITUDE)
    for row in range(ready, len(values)):
        p_shape, threshold = naive.sensor_verdict(earlier, verdicts.score[row], detector.kinds[0].epsilon / 2)
        p_amplitude, _ = naive.sensor_verdict(louder, verdicts.evidence["amplitude"][row], detector.kinds[0].epsilon / 2)
        rounding = 2.02 / len(earlier)
        assert verdicts.p_value[row] == pytest.approx(min(1.0, 2 * p_shape, 2 * p_amplitude), abs=rounding)
        assert verdicts.threshold[row] == pytest.approx(threshold, rel=1e-9)
        assert shape[row] == (verdicts.score[row] > verdicts.threshold[row])
        assert verdicts.alert[row] == (shape[row] or amplitude[row]) == (verdicts.p_value[row] <= detector.kinds[0].epsilon)
    assert shape[605:640].any()
    assert amplitude[605:640].any()


def test_a_wave_of_the_right_shape_and_a_quarter_of_its_size_alarms_by_its_amplitude_alone():
    detector, values = NormalModelDetector(**SMALL), wave(800, noise=0.02)
    values[600:648] *= 0.25
    verdicts, _ = judged(detector, readings(values))
    assert alarming(verdicts, AMPLITUDE)[612:648].all()
    assert alarming(verdicts, SHAPE)[612:648].mean() < 0.5
    places = verdicts.alarms.places
    number = int(np.flatnonzero((places[:, TEST] == AMPLITUDE) & (places[:, ROW] == 640))[0])
    explanation = detector.explain(verdicts.alarms, number)
    assert "times the model's" in explanation.reasons[0]
    assert 3.0 < float(re.search(r"factor of ([\d.]+); ", explanation.reasons[1])[1]) < 5.0
    assert explanation.evidence["p_value"] == pytest.approx(verdicts.alarms.numbers[number, P_VALUE], rel=1e-4)
    assert all(any(c.isdigit() for c in reason) for reason in explanation.reasons)


def test_a_stretch_of_the_model_is_no_subsequence_of_another_sensor():
    detector = NormalModelDetector(**SMALL)
    keys = ["pump", "fan"] * 800
    values = np.empty(1600)
    values[::2], values[1::2] = with_pause(), wave(800, seed=9) * 100 + 1e6
    verdicts, _ = judged(detector, readings(values, keys))
    alone, _ = judged(detector, readings(with_pause()))
    np.testing.assert_array_equal(verdicts.score[::2], alone.score)
    assert verdicts.alert[1::2].mean() < 0.2


def test_anomalies_among_the_calibration_do_not_hide_later_ones():
    values = with_pause(1200, 900)
    values[250:265] = 0.0
    detector = NormalModelDetector(**SMALL | {"calibration": 300})
    verdicts, state = judged(detector, readings(values))
    whole = state.rows["whole"][0]
    assert 0 < whole[RANKED] < len(detector.freeze(state)["normal_model"].arrays["conformal"]) // 2
    assert whole[HELD] == 300
    assert verdicts.alert[911:930].all()


def test_too_small_a_conformal_set_promises_nothing_and_never_alerts():
    detector = NormalModelDetector(**SMALL | {"epsilon": 0.001})
    verdicts, _ = judged(detector, readings(with_pause()))
    assert np.isinf(verdicts.threshold[~verdicts.not_ready]).all()
    assert not verdicts.alert.any()


def test_the_build_is_due_from_the_last_reading_of_the_warm_up_until_its_hand_over_at_a_fixed_reading():
    detector, values = NormalModelDetector(**SMALL), wave(400)
    state = detector.new_state()

    def process(first, last):
        columns = readings(values[first:last], first_event=first, start=first)
        admit(detector, state, columns)
        return detector.process(state, columns)

    process(0, 199)
    assert detector.due(state) == []
    process(199, 200)
    (build,) = detector.due(state)
    assert (build.key, build.number) == (b"pump", 200)
    force = in_force(detector, state)
    verdicts = process(200, 400)
    assert (len(verdicts), verdicts.waits_for) == (force - 200, build.slot)
    detector.hand_over(state, build, build.run())
    assert detector.due(state) == []
    verdicts = process(force, 400)
    assert (len(verdicts), verdicts.waits_for) == (400 - force, -1)


def test_a_build_of_a_sensor_that_has_gone_is_ignored():
    detector = NormalModelDetector(**SMALL, key_limit=1)
    state = detector.new_state()
    columns = readings(wave(205))
    admit(detector, state, columns)
    detector.process(state, columns)
    (build,) = detector.due(state)
    result = build.run()
    other = readings(wave(205), ["fan"] * 205, first_event=205)
    admit(detector, state, other)
    detector.process(state, other)
    before = pack(detector.freeze(state))
    detector.hand_over(state, build, result)
    assert pack(detector.freeze(state)) == before
    back = readings(wave(205), first_event=410)
    admit(detector, state, back)
    detector.process(state, back)
    before = pack(detector.freeze(state))
    detector.hand_over(state, build, result)  # gone, and come back: it was not this trigger's
    assert pack(detector.freeze(state)) == before


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_how_readings_are_cut_and_where_the_state_is_frozen_changes_nothing(data):
    centroids = data.draw(st.sampled_from([1, 3]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    n = 1000
    values = wave(n, int(rng.integers(100)))
    for place in rng.integers(0, n, 3):
        values[place : place + int(rng.integers(1, 40))] = rng.choice([0.0, 1e9, -1e6, np.nan])
    columns = readings(values, [("pump", "fan")[i] for i in rng.integers(0, 2, n)])
    columns.at += rng.choice([0, 0, 0, -1_000_000, -3_000_000], n)
    detector = NormalModelDetector(**SMALL, centroids=centroids, key_limit=data.draw(st.sampled_from([1, 9])))
    reference, whole = judged(detector, columns)
    state, parts = detector.new_state(), []
    places = data.draw(st.lists(st.integers(0, n), max_size=5).map(sorted))
    for first, last in zip([0, *places], [*places, n], strict=True):
        if last > first:
            verdicts, state = judged(detector, columns.span(first, last), state)
            parts.append(verdicts)
        state = detector.thaw(unpack(pack(detector.freeze(state))))
    computed = Verdicts.join(parts)
    for name, column in alarms.columns(reference).items():
        assert alarms.columns(computed)[name].tobytes() == column.tobytes(), name
    assert computed.evidence["hardness"].tobytes() == reference.evidence["hardness"].tobytes()
    assert pack(detector.freeze(state)) == pack(detector.freeze(whole))


def test_late_and_repeated_readings_are_named_and_change_nothing():
    detector, values = NormalModelDetector(**SMALL), with_pause()
    reference, whole = judged(detector, readings(values))
    columns = readings(np.concatenate([values[:500], [7.0, 8.0], values[500:]]))
    columns.at[502:] -= 2_000_000
    columns.at[500:502] = columns.at[499] + np.array([0, -1])
    verdicts, state = judged(detector, columns)
    assert verdicts.reason[500:502].tolist() == [REPEATED, LATE]
    assert np.isnan(verdicts.score[500:502]).all()
    np.testing.assert_array_equal(np.delete(verdicts.score, [500, 501]), reference.score)
    kept, meant = detector.freeze(state)["normal_model"].arrays, detector.freeze(whole)["normal_model"].arrays
    assert all(kept[name].tobytes() == meant[name].tobytes() for name in meant)


@pytest.mark.parametrize("interruption", ["not a number", "a gap"])
def test_after_an_interruption_there_is_no_score_until_a_whole_window_has_come_and_then_the_very_same(interruption):
    detector, values = NormalModelDetector(**SMALL), with_pause()
    reference, _ = judged(detector, readings(values))
    columns = readings(values)
    if interruption == "not a number":
        columns = readings(np.concatenate([values[:500], [np.nan], values[500:]]))
        verdicts, _ = judged(detector, columns)
        assert verdicts.reason[500] == NOT_A_NUMBER
        assert np.isnan(verdicts.score[500])
        score, reason = np.delete(verdicts.score, 500), np.delete(verdicts.reason, 500)
    else:
        columns.at[500:] += 21_000_000
        verdicts, _ = judged(detector, columns)
        score, reason = verdicts.score, verdicts.reason
    assert (reason[500:511] == NO_LOOK).all()
    assert np.isnan(score[500:511]).all()
    np.testing.assert_array_equal(score[:500], reference.score[:500])
    np.testing.assert_allclose(score[511:], reference.score[511:], rtol=1e-12)


def test_irregular_sampling_is_taken_as_it_comes_a_length_counts_readings():
    detector, values = NormalModelDetector(**SMALL), with_pause()
    reference, _ = judged(detector, readings(values))
    columns = readings(values)
    columns.at[:] = np.cumsum(np.random.default_rng(0).integers(1, 2_000_000, len(values)))
    verdicts, _ = judged(detector, columns)
    np.testing.assert_array_equal(verdicts.score, reference.score)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_the_streamed_score_is_exact_at_any_level_and_after_a_spike(offset):
    detector, values = NormalModelDetector(**SMALL), wave(900) + offset
    values[500] = 1e9
    verdicts, state = judged(detector, readings(values))
    model = built_by(detector, values, state)
    centroids = [centroid.tolist() for centroid in model.centroids]
    for row in (300, 400, 520, 600, 899):
        subsequence = values[row - 11 : row + 1].tolist()
        reference = naive.normal_model_distance(subsequence, centroids, model.weights.tolist(), model.floor)
        assert verdicts.score[row] == pytest.approx(reference, rel=1e-6 if offset else 1e-9)


def test_a_gap_within_the_setting_interrupts_nothing():
    detector, values = NormalModelDetector(**SMALL), with_pause()
    columns = readings(values)
    columns.at[500:] += 15_000_000
    verdicts, _ = judged(detector, columns)
    assert not (verdicts.reason == NO_LOOK).any()


def test_an_evicted_sensor_begins_anew_and_gives_its_room_back():
    detector = NormalModelDetector(**SMALL, key_limit=1)
    state = detector.new_state()
    used = []
    for turn in range(6):
        columns = readings(with_pause(), [("pump", "fan")[turn % 2]] * 800, first_event=800 * turn)
        verdicts, state = judged(detector, columns, state)
        assert verdicts.seen[0] == 0
        used.append(int(state.arena.header[0]))
    assert used[2:] == [used[1]] * 4
    assert not state.counts.any()


def test_a_sensor_with_one_centroid_takes_less_than_24_KiB_beside_its_conformal_set():
    detector = NormalModelDetector()
    _, state = judged(detector, readings(wave(12_000)))
    section = detector.freeze(state)["normal_model"]
    assert sum(section.arrays[name].nbytes for name in section.arrays if name != "conformal") <= 24 * 1024
    assert section.arrays["conformal"].nbytes <= 2 * 8 * MOST_RANKED


def test_hardness_is_the_norm_of_the_null_models_residuals():
    detector, values = NormalModelDetector(**SMALL), wave(400) + 1e4
    verdicts, state = judged(detector, readings(values))
    coefficients = fit_autoregression(values[:200], 5).tolist()
    for row in (290, 350, 399):
        reference = naive.one_step_residual_norm(values.tolist(), row, 12, coefficients)
        assert verdicts.evidence["hardness"][row] == pytest.approx(reference, rel=1e-6)
    assert in_force(detector, state) + detector.kinds[0].calibration <= 290


def test_a_constant_sensor_alerts_when_it_moves_and_not_before():
    detector = NormalModelDetector(**SMALL)
    values = np.full(500, 1e6)
    values[450:] += 1e-3
    verdicts, _ = judged(detector, readings(values))
    assert verdicts.alert[450:461].all()
    assert not verdicts.alert[:450].any()


@pytest.mark.parametrize("length", [12, 300])
def test_an_alert_shows_subsequence_and_normal_stretch_within_8_kB(length):
    detector = NormalModelDetector(length=length, warm_up=40 * length, calibration=4 * length, hand_over_lag=0, hand_over_spread=1)
    values = wave(60 * length, noise=0.05) * 1.2345678e-7 - 9.876543e-5
    pause = slice(50 * length + 7, 50 * length + 7 + length)
    values[pause] = values[pause][0]
    verdicts, _ = judged(detector, readings(values))
    row = int(np.flatnonzero(verdicts.alert)[-1])
    explanation = alarms.explained(detector, verdicts, row)
    evidence = explanation.evidence
    assert len(json.dumps(evidence, allow_nan=False)) <= 8000
    assert evidence["distance"] == pytest.approx(verdicts.score[row], rel=1e-4)
    subsequence = values[row - length + 1 : row + 1]
    np.testing.assert_allclose(evidence["subsequence"], subsequence[:: evidence["every"]], rtol=1e-4)
    assert evidence["mean"] == pytest.approx(subsequence.mean(), rel=1e-4)
    assert np.mean(evidence["normal"]) == pytest.approx(subsequence.mean(), rel=0.01)
    assert evidence["started"].endswith("Z")
    assert f"last {length} readings" in explanation.reasons[0]
    assert "earlier stretches" in explanation.reasons[0]
    assert all(any(c.isdigit() for c in reason) for reason in explanation.reasons)


def test_the_nearest_stretch_shown_is_at_the_distance_said():
    detector = NormalModelDetector(**SMALL)
    verdicts, _ = judged(detector, readings(with_pause()))
    for number in np.flatnonzero(verdicts.alarms.places[:, TEST] == SHAPE):
        row, detail = verdicts.alarms.places[number, ROW], verdicts.alarms.detail_of(number)
        own, nearest = naive.z_normalised(detail[-24:-12].tolist()), naive.z_normalised(detail[-12:].tolist())
        if detail[3] > detail[6]:
            assert naive.euclidean(own, nearest) == pytest.approx(verdicts.score[row], rel=1e-6)


@pytest.mark.parametrize(("setting", "value"), [
    ("length", 5), ("normal_length", 11), ("warm_up", 71), ("calibration", 11), ("calibration", 5000), ("epsilon", 1.5),
    ("sample_rate", 0.0), ("rebuilds", [5, 5]), ("gap", -1.0), ("silence", float("inf")), ("centroids", 0), ("hand_over_lag", -1),
    ("hand_over_spread", 0), ("quiet_units", -1), ("key_limit", 0),
])  # fmt: skip
def test_a_bad_setting_is_named(setting, value):
    with pytest.raises(ValueError, match=re.escape(f"{setting} = {value}: wanted")):
        NormalModelDetector(**SMALL | {setting: value})
