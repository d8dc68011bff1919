"""The stream's detector: its kernel against the slow way, its states, and what it tells a person."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.hardness.detector import HardnessDetector, events_for, fit_key
from detectors.hardness.fold import TESTS
from detectors.hardness.state import HardnessState
from detectors.protocol import E_VALUE, ROW, TEST, Columns, Verdicts, admit, fold
from state.draws import BREAK_TIES, uniform
from state.keys import PackedKeys
from state.snapshot import Section, pack, unpack
from tests import alarms, naive

SMALL = {"warm_up": 12, "bins": 2, "width": 15, "hand_over_lag": 3, "hand_over_spread": 4}
LARGER = SMALL | {"warm_up": 120, "bins": 3, "width": 40}


def columns(keys: list[str], error: np.ndarray, hardness: np.ndarray) -> Columns:
    n = len(keys)
    return Columns(PackedKeys.pack(keys), np.arange(n), {"error": np.asarray(error, float), "hardness": np.asarray(hardness, float)})


def folded(detector: HardnessDetector, state: HardnessState, events: Columns) -> Verdicts:
    return Verdicts.join([verdicts for _, verdicts in fold(detector, state, events)])


def stream(seed: int, n: int, sources: int = 1, ties: bool = False) -> Columns:
    rng = np.random.default_rng(seed)
    hardness = rng.lognormal(size=n)
    error = hardness * rng.lognormal(sigma=0.4, size=n)
    if ties:
        hardness, error = np.round(hardness), np.round(error)
    return columns([f"model {i}" for i in rng.integers(0, sources, n)], error, hardness)


def slowly(detector: HardnessDetector, events: Columns) -> Iterator[tuple[float, float, bool]]:
    """(calibrated score, p-value, alert) of every event of a stream with one key in lists and loops; NaN where there is none."""
    pairs: list[tuple[float, float]] = list(zip(events.fields["hardness"].tolist(), events.fields["error"].tolist(), strict=True))
    state = detector.new_state()
    folded(detector, state, events.span(0, 1))
    in_force = int(state.slab["in_force"][state.keys.find(events.keys[0])])
    h, e = np.array(pairs[: detector.warm_up], np.float32).astype(np.float64).T
    fit = fit_key(h, e, 0)
    learns = detector.guarantee == "tracking"
    for _ in range(in_force):
        yield float("nan"), float("nan"), False
    options = {"bins": detector.bins, "width": detector.width, "joint": detector.mode == "joint"}
    if detector.ties == "drawn":
        key = state.keys.hashes[state.keys.find(events.keys[0])]
        options["draws"] = [uniform(key, number, BREAK_TIES) for number in range(in_force, len(events))]
    for score, p, _, alert in naive.tracked(
        pairs[in_force:], (fit.knots.tolist(), fit.theta.tolist(), *fit.scale.tolist()), detector.epsilon,
        curve_rate=learns * detector.curve_rate, level_rate=learns * detector.level_rate, **options,
    ):  # fmt: skip
        yield score, float("nan") if p is None else p, alert


@pytest.mark.parametrize("size", [SMALL, LARGER], ids=["small", "larger"])
@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 1000), mode=st.sampled_from(["conditional", "joint"]), guarantee=st.sampled_from(["tracking", "exact"]),
    ties=st.sampled_from(["drawn", "never"]), still=st.booleans(),
)  # fmt: skip
def test_the_kernel_says_what_the_slow_way_says(size: dict, seed: int, mode: str, guarantee: str, ties: str, still: bool) -> None:
    detector = HardnessDetector(epsilon=0.1, mode=mode, guarantee=guarantee, ties=ties, level_rate=0.05, **size)
    events = stream(seed, detector.warm_up + 4 * detector.width)
    if still:
        events.fields["error"][1:] = events.fields["hardness"][1:] = 2.0
    reference = np.array(list(slowly(detector, events)))
    computed = folded(detector, detector.new_state(), events)
    np.testing.assert_allclose(computed.evidence["calibrated"], reference[:, 0], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(computed.p_value, reference[:, 1])
    tested = computed.alarms.places[computed.alarms.places[:, TEST] < 2, ROW]
    np.testing.assert_array_equal(tested, np.flatnonzero(reference[:, 2]))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), mode=st.sampled_from(["conditional", "joint", "off"]), epsilon=st.sampled_from([0.08, 0.2, 0.9]))
def test_an_alert_a_p_value_within_epsilon_and_a_score_above_the_threshold_are_one(seed: int, mode: str, epsilon: float) -> None:
    detector = HardnessDetector(epsilon=epsilon, mode=mode, guarantee="exact", ties="never", drift_odds=1e30, **SMALL)
    verdicts = folded(detector, detector.new_state(), stream(seed, 200, sources=2, ties=True))
    ready = ~verdicts.not_ready
    np.testing.assert_array_equal(verdicts.alert[ready], verdicts.p_value[ready] <= epsilon)
    np.testing.assert_array_equal(verdicts.alert[ready], np.float32(verdicts.score[ready]) > np.float32(verdicts.threshold[ready]))
    assert np.isnan(verdicts.score[~ready]).all()
    assert not verdicts.alert[~ready].any()
    np.testing.assert_array_equal(verdicts.alarms.places[:, ROW], np.flatnonzero(verdicts.alert))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), mode=st.sampled_from(["conditional", "joint", "off"]), epsilon=st.sampled_from([0.08, 0.2, 0.9]))
def test_where_ties_are_drawn_the_threshold_divides_all_but_what_lies_on_it(seed: int, mode: str, epsilon: float) -> None:
    detector = HardnessDetector(epsilon=epsilon, mode=mode, guarantee="exact", drift_odds=1e30, **SMALL)
    verdicts = folded(detector, detector.new_state(), stream(seed, 200, sources=2, ties=True))
    ready = ~verdicts.not_ready
    alert, score, threshold = (column[ready] for column in (verdicts.alert, np.float32(verdicts.score), np.float32(verdicts.threshold)))
    np.testing.assert_array_equal(alert, verdicts.p_value[ready] <= epsilon)
    assert alert[score > threshold].all()
    assert not alert[score < threshold].any()


@pytest.mark.parametrize("mode", ["conditional", "joint", "off"])
def test_a_source_that_stands_still_alerts_at_epsilon_by_lot_and_says_so_or_never(mode: str) -> None:
    still = columns(["m"] * 6000, np.zeros(6000), np.ones(6000))
    rates = {}
    for ties in ("drawn", "never"):
        detector = HardnessDetector(epsilon=0.05, mode=mode, ties=ties)
        verdicts = folded(detector, detector.new_state(), still)
        rates[ties] = verdicts.alert[~verdicts.not_ready].mean()
        for row in np.flatnonzero(verdicts.alert)[:3].tolist():
            reasons = alarms.explained(detector, verdicts, row).reasons
            assert "alerts by lot" in reasons[0]
            assert 'ties = "never"' in reasons[1]
    assert abs(rates["drawn"] - 0.05) < 0.005
    assert rates["never"] == 0.0


def test_without_equals_nothing_is_drawn() -> None:
    said = []
    for ties in ("drawn", "never"):
        detector = HardnessDetector(epsilon=0.1, mode="joint", ties=ties, **SMALL)
        state = detector.new_state()
        said.append((folded(detector, state, stream(3, 300)).p_value, pack(detector.freeze(state))))
    np.testing.assert_array_equal(said[0][0], said[1][0])
    assert said[0][1] == said[1][1]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), cuts=st.lists(st.integers(0, 250), max_size=6), mode=st.sampled_from(["conditional", "joint"]))
def test_how_events_are_cut_and_where_the_state_is_restored_changes_nothing(seed: int, cuts: list[int], mode: str) -> None:
    detector = HardnessDetector(epsilon=0.1, mode=mode, **SMALL)
    events = stream(seed, 250, sources=3, ties=seed % 2 == 0)
    whole = detector.new_state()
    reference = folded(detector, whole, events)
    state, parts = detector.new_state(), []
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), 250], strict=True):
        parts += [verdicts for _, verdicts in fold(detector, state, events.span(first, last))]
        state = detector.thaw(unpack(pack(detector.freeze(state))))
    computed = Verdicts.join(parts)
    for name, column in alarms.columns(reference).items():
        np.testing.assert_array_equal(alarms.columns(computed)[name], column, err_msg=name)
    for name in reference.evidence:
        np.testing.assert_array_equal(computed.evidence[name], reference.evidence[name], err_msg=name)
    assert pack(detector.freeze(state)) == pack(detector.freeze(whole))


def test_a_build_waits_for_its_event_and_a_restored_state_lists_it_again() -> None:
    detector = HardnessDetector(epsilon=0.1, **SMALL)
    state = detector.new_state()
    events = stream(0, 60)
    events = events.span(0, admit(detector, state, events))
    before = detector.process(state, events.span(0, 13))
    assert before.waits_for == -1
    assert [(build.key, build.number) for build in detector.due(state)] == [(b"model 0", 12)]
    restored = detector.thaw(unpack(pack(detector.freeze(state))))
    here, there = detector.due(state)[0].run(), detector.due(restored)[0].run()
    np.testing.assert_array_equal(here.theta, there.theta)
    after = detector.process(state, events.span(13, 60))
    assert after.waits_for == events.slots[0]
    assert 12 + 3 <= 13 + len(after) < 12 + 3 + 4
    assert len(detector.process(state, events.span(13 + len(after), 60))) == 0
    detector.hand_over(state, detector.due(state)[0], here)
    assert detector.due(state) == []
    assert detector.process(state, events.span(13 + len(after), 60)).waits_for == -1


def test_a_build_of_a_key_that_has_gone_and_come_back_is_ignored() -> None:
    detector = HardnessDetector(epsilon=0.1, key_limit=1, **SMALL)
    state = detector.new_state()
    list(fold(detector, state, stream(0, 12)))
    old = detector.due(state)[0]
    other = columns(["another"], np.ones(1), np.ones(1))
    other.first_event = 12
    list(fold(detector, state, other))
    assert detector.due(state) == []
    again = stream(1, 12)
    again.first_event = 13
    list(fold(detector, state, again))
    detector.hand_over(state, old, old.run())
    assert len(detector.due(state)) == 1
    assert detector.due(state)[0].run().triggered == 24


def test_evicted_keys_give_their_room_back_and_start_anew() -> None:
    detector = HardnessDetector(epsilon=0.1, key_limit=4, **SMALL)
    state = detector.new_state()
    rng = np.random.default_rng(0)
    used = set()
    for wave in range(30):
        events = columns([f"{wave}/{i}" for i in range(4) for _ in range(45)], rng.lognormal(size=180), rng.lognormal(size=180))
        events.first_event = 180 * wave
        verdicts = folded(detector, state, events)
        np.testing.assert_array_equal(verdicts.unit, np.tile(np.arange(45), 4))
        used.add(int(state.arena.header[0]))
    assert max(used) <= 2 * 4 * 4 * 32


def test_readiness_counts_warm_up_hand_over_and_the_events_to_rank_among() -> None:
    detector = HardnessDetector(epsilon=0.05, **SMALL)
    verdicts = folded(detector, detector.new_state(), stream(3, 60))
    ready = int(np.flatnonzero(~verdicts.not_ready)[0])
    assert detector.needed == events_for(0.05) == 19
    assert 12 + 3 + 19 <= ready < 12 + 3 + 4 + 19
    assert (verdicts.seen[5], verdicts.needed[5]) == (5, ready)
    assert not verdicts.not_ready[ready]
    assert np.isnan(verdicts.evidence["expected"][:15]).all()
    assert np.isfinite(verdicts.evidence["expected"][ready - 19 :]).all()


def test_an_epsilon_that_no_rank_can_reach_is_refused_with_what_it_needs() -> None:
    with pytest.raises(ValueError, match=r"epsilon = 0.01: needs 99 events to rank among, bins · width = 40 .* width of at least 50"):
        HardnessDetector(epsilon=0.01, bins=2, width=20, warm_up=20)
    caution = HardnessDetector(epsilon=0.01).caution
    assert caution is not None
    assert "a width of 1,000 would make it steady" in caution
    assert HardnessDetector(epsilon=0.05).caution is None


def test_what_lasts_becomes_critical_by_its_evidence() -> None:
    detector = HardnessDetector(epsilon=0.05, guarantee="exact", warm_up=200, bins=1, width=300, hand_over_lag=0, hand_over_spread=1)
    rng = np.random.default_rng(0)
    error = np.concatenate([rng.random(500), np.full(6, 50.0) + np.arange(6)])
    verdicts = folded(detector, detector.new_state(), columns(["m"] * 506, error, np.ones(506)))
    last = alarms.number_at(verdicts, 505)
    assert not alarms.critical(verdicts)[500]
    assert alarms.critical(verdicts)[505]
    assert verdicts.alarms.numbers[last, E_VALUE] * 0.05 >= 100.0


def test_a_confirmed_anomaly_leaves_the_ranks_and_a_cleared_one_stays() -> None:
    detector = HardnessDetector(epsilon=0.1, guarantee="exact", warm_up=50, bins=2, width=60, hand_over_lag=0, hand_over_spread=1)
    events = stream(4, 150)
    state = detector.new_state()
    folded(detector, state, events)
    before = pack(detector.freeze(state))
    said = {"slot": 0, "test": 0, "first_unit": 100, "last_unit": 102}
    detector.adopt(state, {"verdicts": [said | {"verdict": "cleared"}]})
    assert pack(detector.freeze(state)) == before
    detector.adopt(state, {"verdicts": [said | {"verdict": "confirmed"}] * 2})
    assert int(state.slab["stops"][0, -1]) == 100 - 3
    thawed = detector.thaw(unpack(pack(detector.freeze(state))))
    more = stream(5, 300)
    np.testing.assert_array_equal(folded(detector, state, more).p_value, folded(detector, thawed, more).p_value)
    assert int(state.slab["stops"][0, -1]) == 120
    assert pack(detector.freeze(state)) == pack(detector.freeze(thawed))


def test_a_change_that_lasts_is_told_as_a_drift() -> None:
    detector = HardnessDetector(epsilon=0.05, warm_up=200, bins=2, width=200)
    rng = np.random.default_rng(1)
    hardness = rng.lognormal(size=3000)
    error = hardness * rng.lognormal(sigma=0.4, size=3000)
    quiet = folded(detector, detector.new_state(), columns(["m"] * 3000, error, hardness))
    assert (quiet.alarms.places[:, TEST] < 2).all()
    error[2000:] *= 2.5
    verdicts = folded(detector, detector.new_state(), columns(["m"] * 3000, error, hardness))
    drifts = np.flatnonzero(verdicts.alarms.places[:, TEST] == 2)
    assert 2000 < verdicts.alarms.places[drifts[0], ROW] < 2200
    assert "no longer look like chance" in detector.explain(verdicts.alarms, int(drifts[0])).reasons[0]


@pytest.mark.parametrize("mode", ["conditional", "joint", "off"])
@pytest.mark.parametrize(
    ("error", "hardness"),
    [(0.0, 0.0), (3.0, 3.0), (1.7e308, 1.7e308), (5e-324, 5e-324)],
    ids=["zero", "constant", "huge", "tiny"],
)
def test_constant_zero_and_huge_values_are_safe(mode: str, error: float, hardness: float) -> None:
    detector = HardnessDetector(epsilon=0.1, mode=mode, ties="never", **SMALL)
    values = np.concatenate([np.full(70, error), [1.7e308, 0.0]])
    hardnesses = np.concatenate([np.full(70, hardness), [0.0, 1.7e308]])
    verdicts = folded(detector, detector.new_state(), columns(["m"] * 72, values, hardnesses))
    assert not verdicts.alert[:70].any()
    assert np.isfinite(verdicts.score[~verdicts.not_ready]).all()


def test_an_error_of_the_same_size_alerts_on_an_easy_event_and_not_on_a_hard_one() -> None:
    detector = HardnessDetector(epsilon=0.05, guarantee="exact", warm_up=200, bins=1, width=200, hand_over_lag=0, hand_over_spread=1)
    rng = np.random.default_rng(8)
    hardness = rng.lognormal(sigma=0.5, size=402)
    error = hardness * rng.lognormal(sigma=0.2, size=402)
    error[400:], hardness[400:] = 2.0, (0.5, 2.0)
    conditional = folded(detector, detector.new_state(), columns(["m"] * 402, error, hardness))
    assert conditional.alert[400:].tolist() == [True, False]


def test_joint_finds_the_event_that_is_only_hard() -> None:
    settings_ = {"epsilon": 0.05, "guarantee": "exact", "warm_up": 200, "bins": 1, "width": 200, "hand_over_lag": 0, "hand_over_spread": 1}
    rng = np.random.default_rng(8)
    hardness = rng.lognormal(sigma=0.5, size=401)
    error = hardness * rng.lognormal(sigma=0.2, size=401)
    error[400], hardness[400] = 15_000.0, 500_000.0
    error[:400] *= 10_000.0
    hardness[:400] *= 10_000.0
    events = columns(["m"] * 401, error, hardness)
    conditional = HardnessDetector(**settings_)
    assert not folded(conditional, conditional.new_state(), events).alert[400:].any()
    joint = HardnessDetector(mode="joint", **settings_)
    verdicts = folded(joint, joint.new_state(), events)
    assert verdicts.alert[400]
    assert joint.tests[alarms.which_test(verdicts, 400)] == "hardness"
    reasons = alarms.explained(joint, verdicts, 400).reasons
    assert "hardness 500,000 is reached by none of the last 200" in reasons[0]
    assert reasons[1].startswith("The model's error is 15,000; half of the events this hard stay below ")


@pytest.mark.parametrize("mode", ["conditional", "joint", "off"])
def test_every_alert_explains_itself_from_its_verdict_alone(mode: str) -> None:
    detector = HardnessDetector(epsilon=0.3, mode=mode, drift_odds=1e30, **SMALL)
    verdicts = folded(detector, detector.new_state(), stream(5, 300))
    alerting = np.flatnonzero(verdicts.alert)
    assert len(alerting) > 10
    for row in alerting.tolist():
        said = alarms.explained(detector, verdicts, row)
        assert 1 <= len(said.reasons) <= 4
        assert len(json.dumps(dict(said.evidence))) < 8000
        assert said.evidence["p_value"] == verdicts.p_value[row]
        assert "nan" not in " ".join(said.reasons)


def test_epsilon_can_be_changed_without_losing_the_state() -> None:
    one, other = HardnessDetector(epsilon=0.08, **SMALL), HardnessDetector(epsilon=0.2, **SMALL)
    assert one.state_signature() == other.state_signature()
    state = one.new_state()
    list(fold(one, state, stream(2, 200)))
    frozen = pack(one.freeze(state))
    assert pack(other.freeze(other.thaw(unpack(frozen)))) == frozen


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("epsilon", 1.5, "wanted a probability strictly between 0 and 1"),
        ("epsilon", float("nan"), "wanted a probability"),
        ("mode", "both", "wanted one of conditional, joint, off"),
        ("guarantee", "none", "wanted one of tracking, exact"),
        ("ties", "often", "wanted one of never, drawn"),
        ("level_rate", 0.0, "above 0"),
        ("warm_up", 0, "at least 6"),
        ("warm_up", 5000, "at most bins · width"),
        ("width", 0, "at least 10"),
        ("hand_over_spread", 0, "at least 1"),
        ("quiet_units", -1, "at least 0"),
    ],
)
def test_a_setting_refuses_a_bad_value_by_name(setting: str, value: object, words: str) -> None:
    with pytest.raises(ValueError, match=rf"^{setting} = .*{words}"):
        HardnessDetector(**{setting: value})


def test_a_source_that_stood_still_while_it_warmed_up_is_learned_when_it_moves() -> None:
    rng = np.random.default_rng(5)
    hardness = rng.lognormal(size=6000)
    error = np.where(np.arange(6000) < 800, 0.0, 20.0 * hardness * rng.lognormal(sigma=0.4, size=6000))
    detector = HardnessDetector(epsilon=0.05)
    state = detector.new_state()
    verdicts = folded(detector, state, columns(["pump model"] * 6000, error, hardness))
    late = np.arange(6000) >= 3000
    assert np.median(np.abs(np.log(verdicts.evidence["expected"][late] / (20.0 * hardness[late])))) < 0.2
    assert 0.03 < np.mean(verdicts.p_value[late] <= 0.05) < 0.07


def test_what_was_alerted_beyond_the_budget_is_repaid_and_not_for_ever() -> None:
    rng = np.random.default_rng(6)
    hardness = rng.lognormal(size=12_000)
    error = hardness * rng.lognormal(sigma=0.4, size=12_000)
    error[3000:3600] *= 1.01 ** (np.arange(600) ** 1.5 / 20.0)  # ever faster
    detector = HardnessDetector(epsilon=0.05, bins=1, width=2000)
    state = detector.new_state()
    verdicts = folded(detector, state, columns(["pump model"] * 12_000, error, hardness))
    spent = verdicts.alert[3000:3600].mean()
    assert spent > 0.1
    assert verdicts.alert[3600:4100].mean() < 0.03
    assert abs(verdicts.alert[8000:].mean() - 0.05) < 0.015


def test_a_state_is_restored_between_warm_up_and_hand_over_however_long_that_is() -> None:
    detector = HardnessDetector(epsilon=0.05, warm_up=12, bins=2, width=10, hand_over_lag=30, hand_over_spread=4)
    state, events = detector.new_state(), stream(1, 120)
    admit(detector, state, events.span(0, 35))
    detector.process(state, events.span(0, 35))
    frozen = pack(detector.freeze(state))
    assert pack(detector.freeze(detector.thaw(unpack(frozen)))) == frozen


def test_a_key_that_takes_the_place_of_another_is_frozen_as_if_it_were_the_first() -> None:
    detector = HardnessDetector(epsilon=0.05, **SMALL)
    used, fresh = detector.new_state(), detector.new_state()
    folded(detector, used, stream(2, 100))
    detector.forget(used, np.array([0]))
    for state in (used, fresh):
        events = stream(3, 14)
        admit(detector, state, events)
        detector.process(state, events)
    rings = [detector.freeze(state)["hardness"].arrays["rings"] for state in (used, fresh)]
    np.testing.assert_array_equal(*rings)


def test_what_is_judged_is_counted_by_hardness_and_a_state_of_before_begins_to_count() -> None:
    detector = HardnessDetector(epsilon=0.1, warm_up=50, bins=3, width=60, hand_over_lag=0, hand_over_spread=1)
    state = detector.new_state()
    verdicts = folded(detector, state, stream(7, 900, sources=2))
    judged, beyond = state.counted
    assert judged.sum() == np.count_nonzero(~np.isnan(verdicts.p_value))
    places = verdicts.alarms.places
    assert beyond.sum() == len(places[places[:, TEST] != TESTS.index("drift")])
    assert (judged > 0).all()
    frozen = detector.freeze(state)
    older = dict(frozen["hardness"].arrays)
    del older["counted"]
    thawed = detector.thaw(unpack(pack(frozen | {"hardness": Section(2, older)})))
    assert thawed.counted.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert detector.thaw(unpack(pack(frozen))).counted.tolist() == state.counted.tolist()


def test_another_version_of_a_model_warms_up_anew_and_leaves_the_first_alone() -> None:
    detector = HardnessDetector(**SMALL, epsilon=0.1)
    both = stream(3, 400)
    ready = 200
    versions = ["m\x1f1"] * ready + ["m\x1f1", "m\x1f2"] * ((len(both) - ready) // 2)
    mixed = columns(versions, both.fields["error"], both.fields["hardness"])
    first = np.array([version == "m\x1f1" for version in versions])
    alone = columns(["m\x1f1"] * int(first.sum()), mixed.fields["error"][first], mixed.fields["hardness"][first])
    together, apart = (folded(detector, detector.new_state(), events) for events in (mixed, alone))
    np.testing.assert_array_equal(together.p_value[first], apart.p_value)
    assert not together.not_ready[ready - 1]
    fresh = together.not_ready[~first]
    assert fresh[: detector.warm_up].all()
    assert np.isnan(together.score[~first][: detector.warm_up]).all()


@pytest.mark.parametrize("mode", ["conditional", "joint"])
def test_errors_of_overlapping_windows_keep_about_the_rate_in_the_long_run(mode: str) -> None:
    """Each error has 24 of 25 terms in common with the one before: 6.1 % alert at 5 %, for the level acts within [ε/4, 4ε]."""
    rng = np.random.default_rng(8)
    n, width = 20_000, 25
    sizes = rng.lognormal(size=n + width)
    hardness = np.convolve(sizes, np.ones(width) / width, "valid")[:n]
    error = hardness * np.exp(np.convolve(rng.normal(size=n + width), np.ones(width) / width, "valid")[:n])
    detector = HardnessDetector(epsilon=0.05, mode=mode)
    verdicts = folded(detector, detector.new_state(), columns(["m"] * n, error, hardness))
    judged = ~verdicts.not_ready
    assert 0.035 <= verdicts.alert[judged].mean() <= 0.065


def test_hardness_outside_of_what_is_known_is_judged_as_at_the_edge() -> None:
    detector = HardnessDetector(**LARGER)
    events = stream(5, 600)

    def last_score(hardness: float) -> float:
        changed = events.fields["hardness"].copy()
        changed[-1] = hardness
        changed_events = columns(["m"] * len(events), events.fields["error"], changed)
        return float(folded(detector, detector.new_state(), changed_events).score[-1])

    assert last_score(1e6) == last_score(100.0 * events.fields["hardness"].max())
    assert last_score(0.0) == last_score(0.01 * events.fields["hardness"].min())
    assert np.isfinite([last_score(1e6), last_score(0.0)]).all()
