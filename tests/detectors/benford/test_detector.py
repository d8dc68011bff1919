"""Evidence, limits, references, years and verdicts, as a stream of postings meets them."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.benford.detector import TESTS, BenfordDetector
from detectors.benford.fold import PARTS
from detectors.benford.lanes import SIZES
from detectors.benford.rows import BAND_TEST, BAND_TRIALS, DIGITS, DISTINCT, LATE_BAND, LATE_BAND_EXPECTED, ONSET, PERIOD_TEST, REPEATS_TEST
from detectors.benford.shiryaev_roberts import boundary
from detectors.benford.verdicts import surplus
from detectors.benford.years import UNITS_A_YEAR
from detectors.protocol import (
    E_VALUE,
    JUDGED,
    NO_REFERENCE,
    NO_ROW,
    ROW,
    SCORE,
    SLOT,
    TEST,
    THRESHOLD,
    UNIT,
    Columns,
    Verdicts,
    fold,
)
from state import snapshot
from state.keys import PackedKeys
from streams.simulators.postings import simulate_postings
from tests import alarms, naive

BEGIN = 1_767_225_600_000_000  # 2026-01-01
HOUR = 3_600_000_000
DAY = 24 * HOUR
POPULATION = {"population": {"n": 10_000, "mean": 2.5, "m2": 3_600.0}}
EXACT = {"mu": 2.5, "sigma": 0.6, "tolerance_mu": 0.0, "tolerance_sigma": 0.0}


def columns_of(postings):
    """(employee, at, amount, limit[, approval limit]) as columns."""
    who, at, amount, limit, approval = zip(*((*p, -1)[:5] for p in postings), strict=True) if postings else ((),) * 5
    zeros = np.zeros(len(who), np.int64)
    fields = {"amount": np.array(amount, np.int64), "limit": np.array(limit, np.int64), "approval_limit": np.array(approval, np.int64)}
    fields |= {"upstream": zeros, "partition": zeros, "offset": np.arange(len(who))}
    return Columns(PackedKeys.pack(who), np.array(at, np.int64), fields)


def simulated(**settings):
    drawn = simulate_postings(**settings)
    fields = {name: drawn[name] for name in ("amount", "limit", "approval_limit")}
    zeros = np.zeros_like(drawn["amount"])
    fields |= {"upstream": zeros, "partition": zeros, "offset": np.arange(len(zeros))}
    return drawn, Columns(PackedKeys.pack(drawn["employee_id"].tolist()), drawn["at"], fields)


def verdicts_of(detector, columns, state=None):
    state = detector.new_state() if state is None else state
    return Verdicts.join([verdicts for _, verdicts in fold(detector, state, columns)] or [detector.process(state, columns)])


def honest(rng, n):
    return np.maximum(1, 10 ** rng.normal(4.5, 0.6, n)).astype(np.int64)


def random_postings(rng, n, employees=3, days=90):
    amount = honest(rng, n)
    nines = rng.random(n) < 0.15
    amount[nines] = rng.integers(90_000, 100_000, int(nines.sum()))
    again = np.flatnonzero(rng.random(n) < 0.1)
    amount[again] = amount[np.maximum(again - 3, 0)]
    limit = rng.choice(np.array([-1, -1, 100_000, 500_000, 2_000_000]), n)
    approval = rng.choice(np.array([-1, 100_000, 100_000]), n)
    at = BEGIN + np.sort(rng.integers(0, days * 24, n)) * HOUR
    who = [f"employee {i}" for i in rng.integers(0, employees, n)]
    return list(zip(who, at.tolist(), amount.tolist(), limit.tolist(), approval.tolist(), strict=True))


def nines(n, first=95_000, begin=BEGIN, step=HOUR):
    return [("e", begin + i * step, first + i, 500_000, 100_000) for i in range(n)]


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), rho=st.sampled_from([0.0, 0.01]))
def test_every_e_value_is_the_slow_ways(seed, rho):
    rng = np.random.default_rng(seed)
    postings = random_postings(rng, 40, employees=1, days=20)
    detector = BenfordDetector(**EXACT)
    state = detector.new_state()
    state.population.scatters[:] = rho, 0.05, rho
    state.population.repeat_shares[:] = 0.1
    verdicts = verdicts_of(detector, columns_of(postings), state)
    kept = [i for i, p in enumerate(postings) if p[3] < 0 or p[2] <= p[3]]
    if len(kept) < len(postings):  # a posting above its limit counts among repeats only; the slow way keeps it simple
        postings = [postings[i] for i in kept]
        state = detector.new_state()
        state.population.scatters[:] = rho, 0.05, rho
        state.population.repeat_shares[:] = 0.1
        verdicts = verdicts_of(detector, columns_of(postings), state)
    laws, bands, pairs = [], [], []
    for _, _, amount, limit, approval in postings:
        end = limit + 1 if limit >= 0 else math.inf
        laws.append(naive.digit_law(4.5, 0.6, 1, end))
        bands.append(naive.band_share(4.5, 0.6, approval, 0.1, end, False) if approval >= 0 else None)
        pairs.append((amount, 90_000 <= amount < 100_000 if approval >= 0 else None))
    reference = naive.benford_year(pairs, laws, bands, rho, 0.1, 0.05, list(SIZES))
    for row, said in enumerate(reference):
        computed = [verdicts.evidence[name][row] for name in TESTS[:4]]
        assert computed == pytest.approx(said, rel=1e-6)
        levels = [0.005 / parts for parts in PARTS]
        held = [boundary(levels[t], row + 1) if t == ONSET else 1 / levels[t] for t in range(4)]
        assert verdicts.score[row] == pytest.approx(max(e / h for e, h in zip(said, held, strict=True)), rel=0.5)


@settings(max_examples=20)
@given(data=st.data())
def test_how_postings_are_cut_into_batches_and_frozen_changes_nothing_with_adoptions_in_between(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    columns = columns_of(random_postings(rng, 500, employees=6, days=500))
    adoptions = sorted(data.draw(st.lists(st.integers(0, 499), min_size=1, max_size=4, unique=True)))
    cuts = sorted(set(data.draw(st.lists(st.integers(0, 500), max_size=8))))
    options = {"alpha": 0.3, "window": 25, "key_limit": data.draw(st.sampled_from([3, 100])), "distinct": 32}

    def run(places, thaw):
        detector = BenfordDetector(**options)
        state, parts, ended = detector.new_state(), [], []
        for a, b in zip([0, *places], [*places, 500], strict=True):
            if a in adoptions:
                inputs = (
                    detector.merged([detector.contribution(state)]) if a > 200 else {"population": {"n": 150 + a, "mean": 2.4, "m2": 60.0}}
                )
                slot = state.keys.find(b"employee 0")
                told = [{"slot": slot, "test": a % 5, "verdict": ("cleared", "confirmed")[a % 2], "last_unit": 10**10}]
                said = detector.adopt(state, inputs | {"verdicts": told if slot >= 0 else []})
                ended.append(said.numbers.tobytes() + said.detail.tobytes())
            parts.append(verdicts_of(detector, columns.span(a, b), state))
            if thaw:
                state = detector.thaw(snapshot.unpack(snapshot.pack(detector.freeze(state))))
        return Verdicts.join(parts), snapshot.pack(detector.freeze(state)), json.dumps(detector.contribution(state)), ended

    reference, frozen, knows, ended = run(adoptions, thaw=False)
    computed, frozen_again, knows_again, ended_again = run(sorted({*adoptions, *cuts}), thaw=True)
    for name, column in alarms.columns(reference).items():
        assert alarms.columns(computed)[name].tobytes() == column.tobytes(), name
    for name, column in reference.evidence.items():
        assert computed.evidence[name].tobytes() == column.tobytes()
    assert frozen_again == frozen
    assert knows_again == knows
    assert ended_again == ended


def test_over_how_many_partitions_employees_are_spread_changes_no_verdict():
    """With one reference in force; what partitions learn adds up to what one learns."""
    postings = random_postings(np.random.default_rng(3), 1_500, employees=12, days=300)
    detector = BenfordDetector(alpha=0.5, **EXACT)
    whole_state = detector.new_state()
    whole = verdicts_of(detector, columns_of(postings), whole_state)
    parts = []
    for part in range(4):
        rows = [i for i, posting in enumerate(postings) if int(posting[0].split()[1]) % 4 == part]
        state = detector.new_state()
        verdicts = verdicts_of(detector, columns_of([postings[i] for i in rows]), state)
        assert verdicts.score.tobytes() == whole.score[rows].tobytes()
        assert verdicts.alert.tobytes() == whole.alert[rows].tobytes()
        parts.append(detector.contribution(state))
    merged, alone = detector.merged(parts), detector.merged([detector.contribution(whole_state)])
    assert merged["population"].pop("mean") == pytest.approx(alone["population"].pop("mean"), rel=1e-12)
    assert merged["population"].pop("m2") == pytest.approx(alone["population"].pop("m2"), rel=1e-12)
    assert merged == alone


def _dealt(columns, many):
    """The rows of each of so many partitions, an employee's in one."""
    return [np.flatnonzero([int(key.split()[1]) % many == part for key in columns.keys.tolist()]) for part in range(many)]


@settings(max_examples=8)
@given(data=st.data())
def test_partitions_batches_and_restores_change_no_verdict_with_the_population_adopted_at_the_same_postings(data):
    n, options = 600, {"alpha": 0.3, "window": 25, "distinct": 32}
    columns = columns_of(random_postings(np.random.default_rng(data.draw(st.integers(0, 2**32 - 1))), n, employees=24, days=400))
    adoptions = sorted(data.draw(st.lists(st.integers(120, n - 1), min_size=1, max_size=3, unique=True)))
    detector = BenfordDetector(**options)

    def part_of(rows):
        fields = {name: column[rows] for name, column in columns.fields.items()}
        return Columns(columns.keys.take(rows), columns.at[rows], fields)

    def run(many, lessons, places, thaw):
        said = {name: np.full(n, np.nan) for name in ("score", "p_value", *TESTS[:4])}
        details: list[tuple[int, int, bytes]] = []
        told = []
        states = [detector.new_state() for _ in range(many)]
        for first, last in zip([0, *places], [*places, n], strict=True):
            if first in adoptions:
                told.append(detector.merged([detector.contribution(state) for state in states if detector.contribution(state)]))
                for state in states:
                    detector.adopt(state, {"population": lessons[len(told) - 1] if lessons else told[-1]["population"]})
            for part, rows in enumerate(_dealt(columns, many)):
                rows = rows[(rows >= first) & (rows < last)]
                verdicts = verdicts_of(detector, part_of(rows), states[part])
                for name in said:
                    said[name][rows] = getattr(verdicts, name) if name in ("score", "p_value") else verdicts.evidence[name]
                alarmed = rows[verdicts.alarms.places[:, ROW]]
                for i, row in enumerate(alarmed.tolist()):
                    details.append((row, int(verdicts.alarms.places[i, TEST]), verdicts.alarms.detail_of(i).tobytes()))
                if thaw:
                    states[part] = detector.thaw(snapshot.unpack(snapshot.pack(detector.freeze(states[part]))))
        return {name: column.tobytes() for name, column in said.items()}, sorted(details), [each["population"] for each in told]

    reference, alarmed, lessons = run(1, None, adoptions, thaw=False)
    for many in (1, 4, 12):
        cuts = data.draw(st.lists(st.integers(0, n), max_size=6))
        computed, alarmed_too, _ = run(many, lessons, sorted({*adoptions, *cuts}), thaw=True)
        assert computed == reference
        assert alarmed_too == alarmed


def test_before_a_reference_nothing_is_tested_but_the_population_learns():
    detector = BenfordDetector()
    state = detector.new_state()
    assert detector.contribution(state) is None
    amounts = np.random.default_rng(2).integers(1, 10**9, 200)
    verdicts = verdicts_of(detector, columns_of([("e", BEGIN, int(a), -1) for a in amounts]), state)
    assert (verdicts.reason == NO_REFERENCE).all()
    assert verdicts.not_ready.all()
    assert (verdicts.seen[7], verdicts.needed[7]) == (8, 9)
    contribution = detector.contribution(state)
    logs = np.log10(amounts) - 2
    assert contribution["n"] == 200
    assert contribution["mean"] == pytest.approx(logs.mean(), rel=1e-12)
    assert contribution["m2"] == pytest.approx(logs.var() * 200, rel=1e-12)
    json.dumps(contribution)
    detector.adopt(state, detector.merged([contribution]))
    assert state.population.reference[:2].tolist() == pytest.approx([logs.mean(), logs.std(ddof=1)])
    assert verdicts_of(detector, columns_of([("e", BEGIN, 123, -1)]), state).reason.tolist() == [JUDGED]


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
    assert np.isnan(state.population.reference[:2]).all()
    detector.adopt(state, POPULATION)
    before = state.population.reference.tolist()
    detector.adopt(state, {"population": population})
    assert state.population.reference.tolist() == before


def test_fixed_parameters_are_not_moved_by_a_population():
    detector = BenfordDetector(mu=2.0, sigma=0.5)
    state = detector.new_state()
    detector.adopt(state, POPULATION)
    assert state.population.reference[:2].tolist() == [2.0, 0.5]


def test_a_reference_that_is_adopted_anew_does_not_begin_evidence_anew():
    postings = nines(60)
    detector = BenfordDetector(tolerance_mu=0.0, tolerance_sigma=0.0)
    told = []
    for every in (60, 5):
        state, parts = detector.new_state(), []
        for a in range(0, 60, every):
            detector.adopt(state, {"population": {"n": 10_000 + a, "mean": 2.5, "m2": 3_600.0 + 0.36 * a}})
            parts.append(verdicts_of(detector, columns_of(postings[a : a + every]), state))
        told.append(Verdicts.join(parts).evidence["digits"])
    assert told[1] == pytest.approx(told[0], rel=1e-3)


def test_an_employee_at_the_limit_is_no_fraudster():
    """Under a limit of 5,000 Benford's law condemns everybody; the law that knows the limit condemns nobody."""
    drawn, columns = simulated(limit=5_000.0, employees=10, postings=17_000, fraudsters=0, mu=math.log10(1_800.0), seed=4)
    verdicts = verdicts_of(BenfordDetector(mu=math.log10(1_800.0), sigma=0.6), columns)
    assert verdicts.alert.sum() == 0
    unlimited = Columns(columns.keys, columns.at, {**columns.fields, "limit": np.full(len(columns), -1)})
    benford = verdicts_of(BenfordDetector(mu=3.0, sigma=3.0), unlimited)
    assert len(set(drawn["employee_id"][benford.alert].tolist())) >= 9


def test_a_limit_that_changes_is_expected_posting_by_posting():
    detector = BenfordDetector(alpha=0.9, **EXACT)
    postings = [("e", BEGIN, 99_000 + i, 100_000) for i in range(15)] + [("e", BEGIN, 199_900 + i, -1) for i in range(10)]
    postings += [("e", BEGIN + DAY, 95_000 + i, 500_000) for i in range(15)]
    state = detector.new_state()
    verdicts_of(detector, columns_of(postings), state)
    law = [naive.digit_law(2.5, 0.6, 0.01, end) for end in (1_000.01, math.inf, 5_000.01)]
    reference = [15 * a + 10 * b + 15 * c for a, b, c in zip(*law, strict=True)]
    assert state.rows["expected"][0, :9] == pytest.approx(reference, rel=1e-6)
    verdicts = verdicts_of(detector, columns_of(postings))
    last = len(verdicts.alarms) - 1
    explanation = detector.explain(verdicts.alarms, last)
    assert (explanation.evidence["limit_lowest"], explanation.evidence["limit_highest"]) == ("1,000.00", "5,000.00")
    assert "each cut off at its own accounting limit, 1,000.00 to 5,000.00" in " ".join(explanation.reasons)


def test_a_posting_above_its_own_limit_is_left_out_and_said_to_be():
    detector = BenfordDetector(**EXACT)
    postings = [("e", BEGIN, 100_001 + i, 100_000) for i in range(3)] + [("e", BEGIN + HOUR, 95_000 + i, 100_000) for i in range(25)]
    verdicts = verdicts_of(detector, columns_of(postings))
    explanation = detector.explain(verdicts.alarms, 0)
    assert "3 more postings are not counted" in explanation.reasons[-1]


def test_an_amount_counts_once_among_the_digits_and_every_time_among_repeats():
    detector = BenfordDetector(**EXACT)
    state = detector.new_state()
    rng = np.random.default_rng(0)
    others = honest(rng, 40).tolist()
    verdicts_of(detector, columns_of([("e", BEGIN + i, a, -1) for i, a in enumerate([*others, *[99_900] * 50])]), state)
    assert state.rows["counts"][0, DISTINCT] == 41
    assert state.fills.sum(axis=1).tolist() == [90, 49]


def repeating(scatter):
    detector = BenfordDetector(**EXACT)
    state = detector.new_state()
    state.population.repeat_shares[:] = 0.02
    state.population.scatters[1] = scatter
    rng = np.random.default_rng(1)
    amounts = honest(rng, 80).tolist()
    amounts[40:] = [a for pair in zip(amounts[40:60], [54_321] * 20, strict=True) for a in pair]
    return detector, verdicts_of(detector, columns_of([("e", BEGIN + i * HOUR, a, -1) for i, a in enumerate(amounts)]), state)


def test_amounts_that_come_again_and_again_are_evidence_of_their_own():
    detector, verdicts = repeating(0.001)
    assert {TESTS[t] for t in verdicts.alarms.places[:, TEST].tolist()} == {"repeats"}
    explanation = detector.explain(verdicts.alarms, 0)
    assert "postings repeat an amount posted before" in explanation.reasons[0]
    assert {posting["amount"] for posting in explanation.evidence["driving_postings"]} == {"543.21"}


def test_where_employees_differ_as_much_as_can_be_repeats_are_no_evidence():
    _, verdicts = repeating(0.9)
    assert len(verdicts.alarms) == 0


def test_without_a_population_s_repeats_they_are_not_tested():
    detector = BenfordDetector(**EXACT)
    verdicts = verdicts_of(detector, columns_of([("e", BEGIN + i, 54_321, -1) for i in range(100)]))
    assert (verdicts.evidence["repeats"] == 1.0).all()


def test_amounts_and_limits_at_the_edges_of_64_bits_do_no_harm():
    extremes = [1, 2**63 - 1, 0, -(2**63), 9, 10]
    postings = [
        ("e", at, amount, limit, a) for at in (-(2**63), 0, 2**63 - 1) for amount in extremes for limit in extremes for a in extremes
    ]
    detector = BenfordDetector(alpha=0.99, mu=2.5, sigma=0.6)
    verdicts = verdicts_of(detector, columns_of(postings * 3))
    for i in range(len(verdicts.alarms)):
        json.dumps(dict(detector.explain(verdicts.alarms, i).evidence), allow_nan=False)
    assert not np.isnan(verdicts.score).any()


def test_a_test_alarms_once_a_day_while_its_evidence_stands():
    detector = BenfordDetector(**EXACT)
    verdicts = verdicts_of(detector, columns_of(nines(96)))
    for test in (DIGITS, ONSET, BAND_TEST):
        units = verdicts.alarms.places[verdicts.alarms.places[:, TEST] == test, UNIT]
        assert units.tolist() == [2026 * UNITS_A_YEAR + 31 * 0 + day for day in (1, 2, 3, 4)][-len(units) :]
        assert len(units) >= 3


def test_an_alarm_s_numbers_are_its_evidence_and_what_it_was_held_against():
    detector = BenfordDetector(**EXACT)
    said = verdicts_of(detector, columns_of(nines(60))).alarms
    for place, number in zip(said.places.tolist(), said.numbers.tolist(), strict=True):
        level = 0.005 / PARTS[place[TEST]]
        assert number[SCORE] >= number[THRESHOLD]
        if place[TEST] == ONSET:
            assert math.isnan(number[E_VALUE])
            assert number[THRESHOLD] == pytest.approx(boundary(level, 1))
        else:
            assert number[E_VALUE] == number[SCORE]
            assert number[THRESHOLD] == pytest.approx(1 / level)


def test_a_new_accounting_year_begins_evidence_anew_and_an_old_one_does_not_come_back():
    detector = BenfordDetector(year_start="04-01", **EXACT)
    state = detector.new_state()
    april = BEGIN + 90 * DAY
    verdicts = verdicts_of(detector, columns_of(nines(30, begin=april - 40 * HOUR) + nines(1, 1_000, begin=april)), state)
    assert len(verdicts.alarms) > 0
    assert verdicts.evidence["digits"][-1] < 10
    assert verdicts.unit[-2] // UNITS_A_YEAR == 2025
    assert verdicts.unit[-1] // UNITS_A_YEAR == 2026
    late = verdicts_of(detector, columns_of(nines(1, 2_000, begin=april - DAY)), state)
    assert late.unit[0] == verdicts.unit[-1]
    assert state.rows["counts"][0, DISTINCT] == 2


def test_the_accounting_clock_may_be_ahead_of_utc():
    eve = BEGIN + 364 * DAY + 22 * HOUR  # 31 December, 22:00 UTC
    units = [
        verdicts_of(BenfordDetector(utc_offset=offset, **EXACT), columns_of(nines(1, begin=eve))).unit[0] // UNITS_A_YEAR
        for offset in (0, 119, 120)
    ]
    assert units == [2026, 2026, 2027]


def test_listed_approval_limits_hold_for_postings_that_name_none():
    named = verdicts_of(BenfordDetector(**EXACT), columns_of(nines(40)))
    unnamed = [(who, at, amount, limit, -1) for who, at, amount, limit, _ in nines(40)]
    listed = verdicts_of(BenfordDetector(approval_limits=[100_000], **EXACT), columns_of(unnamed))
    assert listed.evidence["band"].tolist() == named.evidence["band"].tolist()
    assert (verdicts_of(BenfordDetector(**EXACT), columns_of(unnamed)).evidence["band"] == 1.0).all()
    several = verdicts_of(BenfordDetector(approval_limits=[100_000, 400_000], **EXACT), columns_of(unnamed))
    assert 1.0 < several.evidence["band"][-1] < named.evidence["band"][-1]


def verdict(test, said, unit=10**10):
    return {"verdicts": [{"slot": 0, "test": test, "verdict": said, "last_unit": unit}]}


@pytest.mark.parametrize("test", [DIGITS, ONSET, BAND_TEST])
def test_cleared_evidence_begins_anew_at_half_the_level(test):
    detector = BenfordDetector(**EXACT)
    state = detector.new_state()
    verdicts_of(detector, columns_of(nines(60)), state)
    detector.adopt(state, verdict(test, "cleared"))
    again = verdicts_of(detector, columns_of(nines(60, 96_000, begin=BEGIN + 10 * DAY)), state)
    mine = np.flatnonzero(again.alarms.places[:, TEST] == test)[0]
    assert again.alarms.places[mine, ROW] > 2
    level = 0.005 / PARTS[test] / 2
    assert again.alarms.numbers[mine, THRESHOLD] == pytest.approx(boundary(level, 1) if test == ONSET else 1 / level)
    assert "halved once by an alert that was cleared" in " ".join(detector.explain(again.alarms, mine).reasons)


def test_confirmed_postings_are_taken_out_and_the_level_stays():
    detector = BenfordDetector(**EXACT)
    state = detector.new_state()
    verdicts_of(detector, columns_of(nines(60)), state)
    detector.adopt(state, verdict(DIGITS, "confirmed"))
    assert state.rows["counts"][0, DISTINCT] == 0
    assert state.rows["hits"][0, :9].sum() == 0
    again = verdicts_of(detector, columns_of(nines(60, 96_000, begin=BEGIN + 10 * DAY)), state)
    mine = np.flatnonzero(again.alarms.places[:, TEST] == DIGITS)[0]
    assert again.alarms.numbers[mine, THRESHOLD] == pytest.approx(1 / (0.005 / PARTS[DIGITS]))


def postings_of(rng, n, fraud):
    """`n` honest distinct amounts without a limit, and `fraud` just below an approval limit of 1,000.00 among them."""
    amounts = rng.permutation(np.concatenate([np.unique(honest(rng, 2 * n))[:n], 90_000 + rng.permutation(10_000)[:fraud]]))
    return [("e", BEGIN + i * HOUR, int(a), -1, 100_000) for i, a in enumerate(amounts)]


@pytest.mark.parametrize("test", [DIGITS, ONSET, BAND_TEST])
def test_confirmed_takes_out_the_surplus_of_the_place_that_was_named_and_nothing_else(test):
    rng = np.random.default_rng(8)
    detector = BenfordDetector(**EXACT)
    state = detector.new_state()
    verdicts_of(detector, columns_of(postings_of(rng, 900, 100)), state)
    row = {name: state.rows[name][0].copy() for name in ("counts", "hits", "expected", "late", "evidence", "onset", "drivers")}
    detector.adopt(state, verdict(test, "confirmed"))
    place, trials = (8, DISTINCT) if test != BAND_TEST else (9, BAND_TRIALS)
    if test == ONSET and row["hits"][8] == state.rows["hits"][0, 8]:
        place, trials = 9, BAND_TRIALS  # what the onset named
    now = {name: state.rows[name][0] for name in row}
    gone = row["hits"][place] - now["hits"][place]
    assert 70 <= gone <= 130  # a hundred were fraud
    assert row["counts"][trials] - now["counts"][trials] == gone
    assert now["hits"][place] / now["counts"][trials] == pytest.approx(now["expected"][place] / now["counts"][trials], abs=0.002)
    others = [p for p in range(11) if p != place]
    assert (now["hits"][others] == row["hits"][others]).all()
    assert not now["drivers"][place].any()
    assert (now["drivers"][others] == row["drivers"][others]).all()
    assert now["late"][place if place < 9 else LATE_BAND] < row["late"][place if place < 9 else LATE_BAND]
    began = {DIGITS: now["evidence"][:, :9], ONSET: now["onset"], BAND_TEST: now["evidence"][:, 9]}
    assert (began.pop(test) == (0.0 if test == ONSET else 1.0)).all()
    for name, other in began.items():
        before = {DIGITS: row["evidence"][:, :9], ONSET: row["onset"], BAND_TEST: row["evidence"][:, 9]}[name]
        assert (other == before).all()


def test_after_a_confirmation_honest_postings_alarm_no_more_and_further_fraud_does():
    rng = np.random.default_rng(9)
    detector = BenfordDetector(**EXACT)
    state = detector.new_state()
    state.population.scatters[:] = 0.001, 1.0, 0.001
    verdicts_of(detector, columns_of(postings_of(rng, 900, 100)), state)
    for test in (DIGITS, ONSET, BAND_TEST):
        detector.adopt(state, verdict(test, "confirmed"))
    later = [(who, at + 60 * DAY, *rest) for who, at, *rest in postings_of(rng, 1_000, 0)]
    assert len(verdicts_of(detector, columns_of(later), state).alarms) == 0
    again = [(who, at + 120 * DAY, *rest) for who, at, *rest in postings_of(rng, 900, 100)]
    assert {BAND_TEST, DIGITS} <= set(verdicts_of(detector, columns_of(again), state).alarms.places[:, TEST].tolist())


@given(hits=st.integers(0, 500), others=st.integers(0, 500), share=st.floats(0.0, 1.0))
def test_what_is_left_of_a_place_is_its_expected_share(hits, others, share):
    n = hits + others
    gone = surplus(hits, n, share * n)
    assert 0 <= gone <= hits
    if gone > 0:
        assert hits - gone == pytest.approx(share * (n - gone), rel=1e-9, abs=1e-6)


def test_a_verdict_on_a_year_that_is_over_changes_nothing():
    detector = BenfordDetector(**EXACT)
    state = detector.new_state()
    verdicts_of(detector, columns_of(nines(60)), state)
    before = snapshot.pack(detector.freeze(state))
    detector.adopt(state, verdict(DIGITS, "cleared", 2025 * UNITS_A_YEAR + 300))
    assert snapshot.pack(detector.freeze(state)) == before
    with pytest.raises(ValueError, match="verdict = 'maybe': wanted 'confirmed' or 'cleared'"):
        detector.adopt(state, verdict(DIGITS, "maybe"))


def test_at_a_period_s_end_those_who_stand_out_are_named_over_all_partitions():
    detector = BenfordDetector(**EXACT)
    rng = np.random.default_rng(4)
    states, told = [], []
    for part in range(3):
        state = detector.new_state()
        postings = [(f"{part}-{i % 20}", BEGIN + i * HOUR, int(a), 500_000, 100_000) for i, a in enumerate(honest(rng, 2_000))]
        if part == 1:
            postings += [("fraudster", BEGIN + 80 * DAY + i, 95_000 + i, 500_000, 100_000) for i in range(60)]
        postings.append(("later", BEGIN + 92 * DAY, 1_234, 500_000, 100_000))
        verdicts_of(detector, columns_of(postings), state)
        states.append(state)
        told.append(detector.contribution(state))
    inputs = detector.merged(told)
    assert inputs["period_end"] | {"threshold": 0} == {
        "period": 2026 * UNITS_A_YEAR + 1, "threshold": 0, "employees": 61, "taken": 1, "q": 0.05,
    }  # fmt: skip
    assert inputs["period_end"]["threshold"] == pytest.approx(61 / 0.05)
    said = [detector.adopt(state, inputs) for state in states]
    assert [len(alarm) for alarm in said] == [0, 1, 0]
    (place,) = said[1].places.tolist()
    assert (place[ROW], place[TEST], place[UNIT]) == (NO_ROW, PERIOD_TEST, 2026 * UNITS_A_YEAR + 1)
    assert states[1].keys.key(place[SLOT]) == b"fraudster"
    explanation = detector.explain(said[1], 0)
    assert "at the end of period 1 of the accounting year 2026. 1 of 61 employees reach" in explanation.reasons[1]
    assert explanation.budget == {"false_discovery_rate": 0.05, "per": "period"}
    assert all(len(detector.adopt(state, inputs)) == 0 for state in states)  # a period ends once


def test_what_an_employee_posts_after_a_period_s_end_is_not_held_against_him_in_it():
    detector = BenfordDetector(**EXACT)
    state = detector.new_state()
    verdicts_of(detector, columns_of([("e", BEGIN, 1_234, -1), *nines(80, begin=BEGIN + 95 * DAY)]), state)
    told = detector.contribution(state)
    assert told["period"] == {"period": 2026 * UNITS_A_YEAR + 1, "employees": 1, "e_values": []}


def test_an_alert_names_the_digits_that_matter_and_the_postings_that_drive_them():
    ordinary = honest(np.random.default_rng(8), 100).tolist()
    fraud = [95_000 + i for i in range(30)]
    amounts = [a for pair in zip(ordinary, [*fraud, *[None] * 70], strict=True) for a in pair if a is not None]
    detector = BenfordDetector(mu=2.5, sigma=0.6)
    verdicts = verdicts_of(detector, columns_of([("e", BEGIN + i * HOUR, a, 500_000, 100_000) for i, a in enumerate(amounts)]))
    said = verdicts.alarms
    i = int(np.flatnonzero(said.places[:, TEST] == DIGITS)[-1])
    row = said.places[i, ROW]
    explanation = detector.explain(said, i)
    kept = list(dict.fromkeys(a for a in amounts[: row + 1] if a <= 500_000))
    found = sum(1 for a in kept if naive.leading_digits(a) == 9)
    assert explanation.reasons[0].startswith(f"{found} of {len(kept)} distinct amounts begin with 9; ")
    assert "to 1 that" in explanation.reasons[1]
    assert "digit 9 leads too often" in explanation.reasons[2]
    assert "By a single look: chi-square" in explanation.reasons[3]
    assert "cut off at the accounting limit 5,000.00" in explanation.reasons[4]
    driving = explanation.evidence["driving_postings"]
    assert len(driving) == 5
    assert all(amounts[posting["posting"] - 1] == round(100 * float(posting["amount"].replace(",", ""))) for posting in driving)
    assert all(posting["offset"] == posting["posting"] - 1 for posting in driving)
    assert explanation.basis == "e-process"
    assert explanation.budget["alpha"] == pytest.approx(0.005 / 6)
    for j in range(len(said)):
        assert len(json.dumps(dict(detector.explain(said, j).evidence), allow_nan=False)) < 8_000
    band = detector.explain(said, int(np.flatnonzero(said.places[:, TEST] == BAND_TEST)[0]))
    assert "lie just below the approval limit, from 900.00 to below 1,000.00" in band.reasons[0]


def late_fraud(**settings):
    """300 honest postings, then 40 of 100 just below 1,000.00 (driven up from a card's transactions)."""
    ordinary = honest(np.random.default_rng(8), 360).tolist()
    amounts = [*ordinary[:300], *[a for pair in zip(ordinary[300:340], range(95_000, 95_040), strict=True) for a in pair]]
    columns = columns_of([("e", BEGIN + i * HOUR, a, 500_000, 100_000) for i, a in enumerate(amounts)])
    columns.fields = {**columns.fields, "upstream": (np.arange(len(amounts)) >= 300).astype(np.int64)}
    detector = BenfordDetector(mu=2.5, sigma=0.6, alpha=0.5, **settings)
    state = detector.new_state()
    return detector, state, verdicts_of(detector, columns, state).alarms


def test_a_late_alarm_tells_of_the_late_stretch_and_not_of_the_whole_year():
    detector, state, said = late_fraud()
    i = int(np.flatnonzero(said.places[:, TEST] == ONSET)[-1])
    explanation = detector.explain(said, i)
    assert explanation.reasons[0].startswith("Of late ")
    observed, expected = explanation.evidence["of_late"]["band"]
    assert observed > 5 * expected
    assert (
        f"{observed:.1f} distinct amounts lie just below the approval limit, from 900.00 to below 1,000.00; {expected:.1f} are expected"
        in (explanation.reasons[0])
    )
    late = state.rows["late"][0]
    assert 0 < late[LATE_BAND_EXPECTED] < late[17]  # of the nines expected of late, those in the band


def test_the_late_stretch_of_the_band_is_what_its_hits_decay_to():
    _, state, _ = late_fraud(half_life=50.0)
    ordinary = honest(np.random.default_rng(8), 360).tolist()
    amounts = [*ordinary[:300], *[a for pair in zip(ordinary[300:340], range(95_000, 95_040), strict=True) for a in pair]]
    kept = [a for a in dict.fromkeys(amounts) if a <= 500_000]
    reference = sum(0.5 ** ((len(kept) - 1 - k) / 50.0) for k, a in enumerate(kept) if 90_000 <= a < 100_000)
    assert state.rows["late"][0, LATE_BAND] == pytest.approx(reference)


def test_odds_and_thresholds_are_written_as_people_write_them():
    detector, _, said = late_fraud()
    for i in range(len(said)):
        assert "e+" not in " ".join(detector.explain(said, i).reasons)
    assert any(" to 1 that " in detector.explain(said, i).reasons[1] for i in range(len(said)))
    # a part of the level is divided, not multiplied: the threshold is a round number to the bit
    assert set(said.numbers[said.places[:, TEST] == BAND_TEST, THRESHOLD].tolist()) == {6.0}


def test_evidence_names_the_topic_that_each_posting_stands_in():
    detector, _, said = late_fraud()
    detector.topics = "employee.postings", "card.transactions"
    driving = detector.explain(said, len(said) - 1).evidence["driving_postings"]
    assert {posting["topic"] for posting in driving} == {"card.transactions"}


def test_a_limit_by_setting_is_that_of_postings_that_name_none():
    amounts = honest(np.random.default_rng(3), 200).tolist()
    told = [("e", BEGIN + i, a, 300_000 if i % 2 else 400_000) for i, a in enumerate(amounts)]
    silent = [(key, at, amount, limit if limit == 300_000 else -1) for key, at, amount, limit in told]
    named, by_setting = BenfordDetector(**EXACT), BenfordDetector(limit=400_000, **EXACT)
    reference, computed = named.new_state(), by_setting.new_state()
    verdicts_of(named, columns_of(told), reference)
    verdicts_of(by_setting, columns_of(silent), computed)
    assert snapshot.pack(by_setting.freeze(computed)) == snapshot.pack(named.freeze(reference))
    with pytest.raises(ValueError, match="limit = -1: wanted an amount of minor units"):
        BenfordDetector(limit=-1)


def test_evicted_employees_leave_nothing_behind():
    detector = BenfordDetector(key_limit=2, **EXACT)
    state = detector.new_state()
    visitors = [(f"visitor {i}", BEGIN, 4_200 + i, -1) for i in range(500) for _ in range(15)]
    verdicts = verdicts_of(detector, columns_of([*visitors, ("visitor 0", BEGIN, 5, -1)]), state)
    assert verdicts.seen[-1] == 1
    assert len(state.keys) == 2


def test_an_employee_takes_six_kibibytes():
    detector = BenfordDetector()
    state = detector.new_state()
    verdicts_of(detector, columns_of(nines(3)), state)
    assert state.rows.whole[0].nbytes <= 6_144


def test_where_amounts_are_not_log_normal_their_own_law_is_the_reference():
    """Three amounts in ten lie just below 1,000, everybody's: nobody is a fraudster for that."""
    rng = np.random.default_rng(6)
    n = 30_000
    amounts = honest(rng, n)
    crowded = rng.random(n) < 0.3
    amounts[crowded] = rng.integers(90_000, 100_000, int(crowded.sum()))
    at = BEGIN + np.arange(n) * 60_000_000
    columns = columns_of([(str(i % 50), int(at[i]), int(a), -1) for i, a in enumerate(amounts)])
    detector = BenfordDetector()
    state, parts = detector.new_state(), []
    for a in range(0, n, 3_000):
        parts.append(verdicts_of(detector, columns.span(a, a + 3_000), state))
        detector.adopt(state, {"population": detector.merged([detector.contribution(state)])["population"]})
    assert not state.population.fits
    assert Verdicts.join(parts).alert.sum() == 0
    assert len(set(alerted(BenfordDetector(mu=2.5, sigma=0.6), columns))) == 50


def alerted(detector, columns):
    return [columns.keys[int(row)] for row in np.flatnonzero(verdicts_of(detector, columns).alert)]


def test_honest_employees_are_alerted_no_more_often_than_promised():
    """2,000 honest employees, 1,000 postings each, looked at after every one."""
    employees, alpha = 2_000, 0.05
    rng = np.random.default_rng(11)
    amounts = 10 ** rng.normal(math.log10(350.0) + 2, 0.6, employees * 1_100)
    amounts = amounts[amounts < 500_000][: employees * 1_000].astype(np.int64)
    keys = PackedKeys.pack([str(i % employees) for i in range(len(amounts))])
    limits, zeros = np.full(len(amounts), 500_000), np.zeros(len(amounts), np.int64)
    fields = {"amount": amounts, "limit": limits, "approval_limit": np.full(len(amounts), 100_000), "upstream": zeros}
    columns = Columns(keys, np.full(len(amounts), BEGIN), fields | {"partition": zeros, "offset": zeros})
    verdicts = verdicts_of(BenfordDetector(alpha=alpha, mu=math.log10(350.0), sigma=0.6), columns)
    alerted = len({keys[int(row)] for row in np.flatnonzero(verdicts.alert)})
    assert 0 < alerted / employees <= alpha


def test_fraudsters_are_found_with_a_reference_learnt_from_the_stream():
    drawn, columns = simulated(employees=40, postings=24_000, fraudsters=4, fraud_share=0.12, seed=3)
    detector = BenfordDetector()
    state, parts = detector.new_state(), []
    for a in range(0, len(columns), 1_000):
        parts.append(verdicts_of(detector, columns.span(a, a + 1_000), state))
        detector.adopt(state, detector.merged([detector.contribution(state)]))
    verdicts = Verdicts.join(parts)
    guilty = set(drawn["employee_id"][drawn["label"] == 1].tolist())
    assert set(drawn["employee_id"][verdicts.alert].tolist()) == guilty
    tests = {TESTS[t] for t in verdicts.alarms.places[:, TEST].tolist()}
    assert {"digits", "band"} <= tests


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"alpha": 1.5}, "alpha = 1.5: wanted a probability strictly between 0 and 1"),
        ({"false_alarms_per_1000_employees_per_year": 0.0}, "false_alarms_per_1000_employees_per_year = 0.0: wanted"),
        ({"false_discovery_rate": 1.0}, "false_discovery_rate = 1.0: wanted"),
        ({"period_months": 5}, "period_months = 5: wanted 1, 2, 3, 4, 6 or 12"),
        ({"tolerance_mu": -0.1}, "tolerance_mu = -0.1: wanted"),
        ({"tolerance_sigma": 2.0}, "tolerance_sigma = 2.0: wanted"),
        ({"band_width": 0.5}, "band_width = 0.5: wanted"),
        ({"approval_limits": [5, 3]}, r"approval_limits = \[5, 3\]: wanted ascending"),
        ({"distinct": 0}, "distinct = 0: wanted"),
        ({"window": 5}, "window = 5: wanted 10"),
        ({"minimum_expected": 0.0}, "minimum_expected = 0.0: wanted"),
        ({"half_life": 0.5}, "half_life = 0.5: wanted"),
        ({"quiet_units": 0}, "quiet_units = 0: wanted"),
        ({"utc_offset": 1_440}, "utc_offset = 1440: wanted"),
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


def test_the_tests_have_their_names():
    assert [TESTS[t] for t in (DIGITS, ONSET, BAND_TEST, REPEATS_TEST, PERIOD_TEST)] == ["digits", "onset", "band", "repeats", "period"]
