"""Windows, looks, limits and references, as a stream of postings meets them."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.benford.detector import BenfordDetector
from detectors.benford.fold import UNITS_A_YEAR
from detectors.benford.reference import digit_probabilities
from detectors.protocol import JUDGED, NO_LOOK, NO_REFERENCE, NOT_TESTABLE, Columns, NotReady, Verdicts, fold
from state import snapshot
from state.keys import PackedKeys
from streams.simulators.postings import simulate_postings
from tests import alarms, naive

BEGIN = 1_767_225_600_000_000  # 2026-01-01
HOUR = 3_600_000_000
POPULATION = {"population": {"n": 10_000, "mean": 2.5, "m2": 3_600.0}}


def columns_of(postings):
    """(employee, at, amount, limit) as columns."""
    who, at, amount, limit = zip(*postings, strict=True) if postings else ((), (), (), ())
    return Columns(
        PackedKeys.pack(who),
        np.array(at, np.int64),
        {
            "amount": np.array(amount, np.int64),
            "limit": np.array(limit, np.int64),
            "approval_limit": np.full(len(who), -1),
            "partition": np.zeros(len(who), np.int64),
            "offset": np.arange(len(who)),
        },
    )


def simulated(**settings):
    drawn = simulate_postings(**settings)
    fields = {name: drawn[name] for name in ("amount", "limit", "approval_limit")}
    fields |= {"partition": np.zeros_like(drawn["amount"]), "offset": np.arange(len(drawn["amount"]))}
    return drawn, Columns(PackedKeys.pack(drawn["employee_id"].tolist()), drawn["at"], fields)


def verdicts_of(detector, columns, state=None):
    state = detector.new_state() if state is None else state
    return Verdicts.join([verdicts for _, verdicts in fold(detector, state, columns)] or [detector.process(state, columns)])


def random_postings(rng, n, employees=3, years=False):
    amount = np.maximum(1, 10 ** rng.normal(4.5, 0.7, n)).astype(np.int64)
    nines = rng.random(n) < 0.15
    amount[nines] = rng.integers(900_000, 1_000_000, int(nines.sum()))
    limit = rng.choice(np.array([-1, -1, 100_000, 500_000, 2_000_000]), n)
    at = BEGIN + np.sort(rng.integers(0, (3 * 365 if years else 90) * 24, n)) * HOUR
    who = [f"employee {i}" for i in rng.integers(0, employees, n)]
    return list(zip(who, at.tolist(), amount.tolist(), limit.tolist(), strict=True))


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), start=st.sampled_from(["01-01", "04-06", "10-01"]), minimum=st.sampled_from([0.5, 2.0, 5.0]))
def test_every_verdict_is_the_slow_ways(seed, start, minimum):
    rng = np.random.default_rng(seed)
    postings = random_postings(rng, 400, years=True)
    first, second = sorted(rng.integers(0, 400, 2).tolist())
    laws = [None] * first + [(2.5, 0.7)] * (second - first) + [(2.45, 0.6)] * (400 - second)
    detector = BenfordDetector(alpha=0.2, window=30, minimum_expected=minimum, year_start=start)
    state = detector.new_state()
    parts = []
    for law, a, b in ((None, 0, first), ((2.5, 0.7), first, second), ((2.45, 0.6), second, 400)):
        if law is not None:
            detector.adopt(state, {"population": {"n": 1001, "mean": law[0], "m2": law[1] ** 2 * 1000}})
        parts.append(verdicts_of(detector, columns_of(postings[a:b]), state))
    computed = Verdicts.join(parts)

    month, day = (int(part) for part in start.split("-"))
    reference = naive.benford_looks(postings, laws, 0.2, 30, minimum, year_start=(month, day))
    names = {"": JUDGED, "no look": NO_LOOK, "no reference": NO_REFERENCE, "not testable": NOT_TESTABLE}
    for row, said in enumerate(reference):
        assert computed.reason[row] == names[said["reason"]]
        assert computed.unit[row] % UNITS_A_YEAR == said["look"]
        if "score" not in said:
            assert math.isnan(computed.score[row])
            assert not computed.alert[row]
            continue
        assert computed.score[row] == pytest.approx(said["score"], rel=1e-9)
        assert computed.p_value[row] == pytest.approx(said["p_value"], rel=1e-8)
        assert computed.alert[row] == said["alert"]
        assert computed.alert[row] == (computed.score[row] >= computed.threshold[row])
        assert alarms.critical(computed)[row] == (said["p_value"] <= said["level"] / 100)
        if said["alert"]:
            evidence = alarms.explained(detector, computed, row).evidence
            assert evidence["observed"] == said["observed"]
            assert evidence["expected"] == pytest.approx(said["expected"], abs=1e-5)
            assert evidence["level"] == pytest.approx(said["level"], rel=1e-12)


@settings(max_examples=25)
@given(data=st.data())
def test_how_postings_are_cut_into_batches_and_frozen_changes_nothing_with_adoptions_in_between(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    columns = columns_of(random_postings(rng, 500, employees=6))
    adoptions = sorted(data.draw(st.lists(st.integers(0, 499), min_size=1, max_size=4, unique=True)))
    cuts = sorted(set(data.draw(st.lists(st.integers(0, 500), max_size=8))))
    options = {"alpha": 0.3, "window": 25, "minimum_expected": 1.0, "key_limit": data.draw(st.sampled_from([3, 100]))}

    def run(places, thaw):
        detector = BenfordDetector(**options)
        state, parts = detector.new_state(), []
        for a, b in zip([0, *places], [*places, 500], strict=True):
            if a in adoptions:
                detector.adopt(state, {"population": {"n": 150 + a, "mean": 2.4 + a / 5_000, "m2": 60.0 + a}})
            parts.append(verdicts_of(detector, columns.span(a, b), state))
            if thaw:
                state = detector.thaw(snapshot.unpack(snapshot.pack(detector.freeze(state))))
        return Verdicts.join(parts), snapshot.pack(detector.freeze(state)), detector.contribution(state)

    reference, frozen, moments = run(adoptions, thaw=False)
    computed, frozen_again, moments_again = run(sorted({*adoptions, *cuts}), thaw=True)
    for name, column in alarms.columns(reference).items():
        assert alarms.columns(computed)[name].tobytes() == column.tobytes(), name
    for name, column in reference.evidence.items():
        assert computed.evidence[name].tobytes() == column.tobytes()
    assert frozen_again == frozen
    assert moments_again == moments


def test_a_window_is_looked_at_when_full_and_then_starts_anew():
    detector = BenfordDetector(window=20, minimum_expected=0.1, mu=2.5, sigma=0.6)
    amounts = (10 ** np.random.default_rng(0).normal(4.5, 0.6, 65)).astype(np.int64).tolist()
    verdicts = verdicts_of(detector, columns_of([("e", BEGIN + i, a, -1) for i, a in enumerate(amounts)]))
    assert np.flatnonzero(~np.isnan(verdicts.score)).tolist() == [19, 39, 59]
    assert (verdicts.unit[[18, 19, 38, 39, 59]] % UNITS_A_YEAR).tolist() == [0, 1, 1, 2, 3]
    assert verdicts.readiness(0) == NotReady(1, 20)
    assert verdicts.readiness(18) == NotReady(19, 20)
    assert verdicts.readiness(19) is None
    assert verdicts.readiness(20) is None
    assert (verdicts.reason[20:39] == NO_LOOK).all()


def test_a_window_goes_on_until_every_digit_can_be_tested_and_ends_at_four_windows():
    law = digit_probabilities(2.5, 0.6)
    enough = math.ceil(2.0 / law.min())
    amounts = [int(x) for x in 10 ** np.random.default_rng(1).normal(4.5, 0.6, 200)]
    postings = columns_of([("e", BEGIN, amount, -1) for amount in amounts])
    verdicts = verdicts_of(BenfordDetector(window=20, minimum_expected=2.0, mu=2.5, sigma=0.6), postings)
    assert np.flatnonzero(~np.isnan(verdicts.score))[0] == enough - 1
    assert verdicts.readiness(enough - 2) == NotReady(enough - 1, 80)

    verdicts = verdicts_of(BenfordDetector(window=10, minimum_expected=4.0, mu=2.5, sigma=0.6), postings)
    assert np.flatnonzero(verdicts.reason == NOT_TESTABLE).tolist() == [39, 79, 119, 159, 199]
    assert np.isnan(verdicts.score).all()
    assert verdicts.readiness(40) == NotReady(1, 10)


def test_before_a_reference_nothing_is_tested_but_the_population_learns():
    detector = BenfordDetector(window=20)
    state = detector.new_state()
    assert detector.contribution(state) is None
    amounts = np.random.default_rng(2).integers(1, 10**9, 200)
    verdicts = verdicts_of(detector, columns_of([("e", BEGIN, int(a), -1) for a in amounts]), state)
    assert (verdicts.reason == NO_REFERENCE).all()
    assert verdicts.not_ready.all()
    contribution = detector.contribution(state)
    logs = np.log10(amounts) - 2
    assert contribution["n"] == 200
    assert contribution["mean"] == pytest.approx(logs.mean(), rel=1e-12)
    assert contribution["m2"] == pytest.approx(logs.var() * 200, rel=1e-12)
    json.dumps(contribution)
    detector.adopt(state, {"population": contribution})
    assert state.reference.tolist() == [contribution["mean"], math.sqrt(contribution["m2"] / 199)]


@pytest.mark.parametrize(
    "population",
    [
        {"n": 99, "mean": 2.0, "m2": 30.0},
        {"n": 1_000, "mean": 2.0, "m2": 0.0},
        {"n": 1_000, "mean": math.nan, "m2": 30.0},
        {"n": 1_000, "mean": 1e9, "m2": 30.0},
    ],
)
def test_a_population_that_makes_no_reference_leaves_the_old_one_in_force(population):
    detector = BenfordDetector()
    state = detector.new_state()
    detector.adopt(state, {"population": population})
    assert np.isnan(state.reference).all()
    detector.adopt(state, POPULATION)
    before = state.reference.tolist()
    detector.adopt(state, {"population": population})
    assert state.reference.tolist() == before


def test_fixed_parameters_are_not_moved_by_a_population():
    detector = BenfordDetector(mu=2.0, sigma=0.5)
    state = detector.new_state()
    detector.adopt(state, POPULATION)
    assert state.reference.tolist() == [2.0, 0.5]


def test_an_employee_at_the_limit_is_no_fraudster():
    """Under a limit of 5,000 Benford's law condemns everybody; the law that knows the limit condemns nobody."""
    drawn, columns = simulated(limit=5_000.0, employees=10, postings=17_000, fraudsters=0, mu=math.log10(1_800.0), seed=4)
    knowing = BenfordDetector(mu=math.log10(1_800.0), sigma=0.6, window=1_500)
    verdicts = verdicts_of(knowing, columns)
    assert verdicts.unit.max() % UNITS_A_YEAR == 1
    assert verdicts.alert.sum() == 0
    unlimited = Columns(columns.keys, columns.at, {**columns.fields, "limit": np.full(len(columns), -1)})
    benford = verdicts_of(BenfordDetector(mu=3.0, sigma=3.0, window=1_500), unlimited)
    assert len(set(drawn["employee_id"][benford.alert].tolist())) >= 9


def test_a_limit_that_changes_inside_a_window_is_expected_posting_by_posting():
    detector = BenfordDetector(window=40, minimum_expected=0.1, alpha=0.5, mu=2.5, sigma=0.6)
    postings = [("e", BEGIN, 99_900, 100_000)] * 15 + [("e", BEGIN, 199_900, -1)] * 10 + [("e", BEGIN, 499_900, 500_000)] * 15
    verdicts = verdicts_of(detector, columns_of(postings))
    evidence = alarms.explained(detector, verdicts, 39).evidence
    reference = [
        15 * a + 10 * b + 15 * c
        for a, b, c in zip(naive.digit_law(2.5, 0.6, 0.01, 1_000.01), naive.digit_law(2.5, 0.6, 0.01),
                           naive.digit_law(2.5, 0.6, 0.01, 5_000.01), strict=True)
    ]  # fmt: skip
    assert evidence["expected"] == pytest.approx(reference, abs=1e-5)
    assert (evidence["limit_lowest"], evidence["limit_highest"]) == ("1,000.00", "5,000.00")
    assert "each cut off at its own accounting limit, 1,000.00 to 5,000.00" in " ".join(alarms.explained(detector, verdicts, 39).reasons)


def test_a_posting_above_its_own_limit_is_left_out_and_said_to_be():
    detector = BenfordDetector(window=20, minimum_expected=0.1, mu=2.5, sigma=0.6)
    postings = [("e", BEGIN, 95_000, 100_000)] * 19 + [("e", BEGIN, 100_001, 100_000)] * 3 + [("e", BEGIN, 95_000, 100_000)]
    verdicts = verdicts_of(detector, columns_of(postings))
    assert np.flatnonzero(~np.isnan(verdicts.score)).tolist() == [22]
    assert "3 more postings are not in this count" in alarms.explained(detector, verdicts, 22).reasons[-1]


def test_amounts_and_limits_at_the_edges_of_64_bits_do_no_harm():
    extremes = [1, 2**63 - 1, 0, -(2**63), 9, 10]
    postings = [("e", at, amount, limit) for at in (-(2**63), 0, 2**63 - 1) for amount in extremes for limit in extremes]
    detector = BenfordDetector(window=10, minimum_expected=0.01, alpha=0.99, mu=2.5, sigma=0.6)
    verdicts = verdicts_of(detector, columns_of(postings * 5))
    for row in np.flatnonzero(verdicts.alert).tolist():
        json.dumps(alarms.explained(detector, verdicts, row).evidence, allow_nan=False)


def test_a_new_accounting_year_brings_a_new_level_and_an_old_one_does_not_come_back():
    detector = BenfordDetector(window=10, minimum_expected=0.01, alpha=0.4, year_start="04-01", mu=2.5, sigma=0.6)
    day = 24 * HOUR
    times = [BEGIN, BEGIN + 89 * day, BEGIN + 90 * day, BEGIN + 10 * day, BEGIN + 91 * day]  # 1 April is day 90
    postings = [("e", at, 99_000, -1) for at in times for _ in range(10)]
    verdicts = verdicts_of(detector, columns_of(postings))
    looks = [alarms.explained(detector, verdicts, 10 * i + 9).evidence for i in range(5)]
    assert [(look["accounting_year"], look["look_of_year"]) for look in looks] == [(2025, 1), (2025, 2), (2026, 1), (2026, 2), (2026, 3)]
    assert [look["look"] for look in looks] == [1, 2, 3, 4, 5]


def test_an_alert_names_the_digits_that_matter_and_the_postings_that_drive_them():
    honest = (10 ** np.random.default_rng(8).normal(4.5, 0.6, 100)).astype(np.int64).tolist()
    fraud = [95_000 + i for i in range(30)]
    amounts = [a for pair in zip(honest, [*fraud, *[None] * 70], strict=True) for a in pair if a is not None]
    detector = BenfordDetector(mu=2.5, sigma=0.6)
    verdicts = verdicts_of(detector, columns_of([("e", BEGIN + i * HOUR, a, 500_000) for i, a in enumerate(amounts)]))
    row = int(np.flatnonzero(verdicts.alert)[0])
    explanation = alarms.explained(detector, verdicts, row)
    kept = [a for a in amounts[: row + 1] if a <= 500_000]
    nines = sum(1 for a in kept if naive.leading_digits(a) == 9)
    assert explanation.reasons[0].startswith(f"digit 9 leads {nines} of {len(kept)} amounts where 5.0 are expected (digit ")
    assert "degrees of freedom, p = " in explanation.reasons[1]
    assert "cut off at the accounting limit 5,000.00" in explanation.reasons[2]
    driving = explanation.evidence["driving_postings"]
    assert len(driving) == 20
    assert {posting["amount"] for posting in driving} <= {f"{a // 100:,}.{a % 100:02}" for a in kept if naive.leading_digits(a) == 9}
    assert all(amounts[posting["posting"] - 1] == round(100 * float(posting["amount"].replace(",", ""))) for posting in driving)
    assert explanation.evidence["p_value_of_the_paper"] <= explanation.evidence["p_value"] <= explanation.evidence["level"]
    assert len(json.dumps(explanation.evidence)) < 8_000


def test_evicted_employees_leave_nothing_behind():
    detector = BenfordDetector(window=20, minimum_expected=0.1, mu=2.5, sigma=0.6, key_limit=2)
    state = detector.new_state()
    visitors = [(f"visitor {i}", BEGIN, 4_200 + i, -1) for i in range(500) for _ in range(15)]
    verdicts = verdicts_of(detector, columns_of([*visitors, ("visitor 0", BEGIN, 5, -1)]), state)
    assert verdicts.seen[-1] == 1
    assert len(state.keys) == 2
    assert len(state.arena.data) < 10_000  # released blocks are used again
    assert len(detector.freeze(state)["benford"].arrays["postings"]) == 5 * 16


def test_honest_employees_are_alerted_no_more_often_than_promised():
    """2,000 honest employees, ten looks each, alpha = 2 %; the paper's p-values alone would break the promise."""
    employees, alpha = 2_000, 0.02
    rng = np.random.default_rng(11)
    amounts = 10 ** rng.normal(math.log10(350.0) + 2, 0.6, employees * 1_250)
    amounts = amounts[amounts < 500_000][: employees * 1_130].astype(np.int64)
    keys = PackedKeys.pack([str(i % employees) for i in range(len(amounts))])
    limits = np.full(len(amounts), 500_000)
    fields = {"amount": amounts, "limit": limits, "approval_limit": limits, "partition": limits, "offset": limits}
    columns = Columns(keys, np.full(len(amounts), BEGIN), fields)
    verdicts = verdicts_of(BenfordDetector(alpha=alpha, mu=math.log10(350.0), sigma=0.6), columns)
    assert verdicts.unit.max() % UNITS_A_YEAR == 10
    alerted = len({keys[int(row)] for row in np.flatnonzero(verdicts.alert)})
    assert alerted / employees <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / employees)
    assert alerted / employees >= 0.5 * alpha  # nor is the level wasted


def test_fraudsters_are_found_with_a_reference_learnt_from_the_stream():
    drawn, columns = simulated(employees=40, postings=24_000, fraudsters=4, fraud_share=0.12, seed=3)
    detector = BenfordDetector()
    state, parts = detector.new_state(), []
    for a in range(0, len(columns), 1_000):
        parts.append(verdicts_of(detector, columns.span(a, a + 1_000), state))
        detector.adopt(state, {"population": detector.contribution(state)})
    verdicts = Verdicts.join(parts)
    guilty = set(drawn["employee_id"][drawn["label"] == 1].tolist())
    alerted = set(drawn["employee_id"][verdicts.alert].tolist())
    assert guilty == alerted
    first = alarms.explained(detector, verdicts, int(np.flatnonzero(verdicts.alert)[0]))
    assert first.evidence["digit"] == 9


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"alpha": 1.5}, "alpha = 1.5: wanted a probability strictly between 0 and 1"),
        ({"window": 5}, "window = 5: wanted 10"),
        ({"minimum_expected": 0.0}, "minimum_expected = 0.0: wanted"),
        ({"quiet_units": 0}, "quiet_units = 0: wanted"),
        ({"exponent": -1}, "exponent = -1: wanted"),
        ({"key_limit": 0}, "key_limit = 0"),
        ({"mu": 2.5}, "wanted both or neither"),
        ({"mu": 2.5, "sigma": 0.0}, "sigma = 0.0: wanted"),
        ({"mu": math.nan, "sigma": 1.0}, "mu = nan: wanted"),
        ({"year_start": "13-01"}, "year_start = '13-01': wanted"),
    ],
)
def test_a_bad_setting_is_refused_by_name(setting, message):
    with pytest.raises(ValueError, match=message):
        BenfordDetector(**setting)
