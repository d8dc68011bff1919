"""The simulated fleet is what its parameters say, and the same for the same seed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from detectors.benford.fit import goodness_of_fit
from detectors.benford.reference import digit_probabilities
from streams.simulators.postings import census_populations, census_postings, simulate_postings
from tests.papers.benford.counted import count_digits

both = pytest.mark.parametrize("simulate", [simulate_postings, census_postings])


@both
def test_the_same_seed_gives_the_same_postings(simulate):
    reference, again, other = simulate(seed=7, postings=500), simulate(seed=7, postings=500), simulate(seed=8, postings=500)
    assert all((again[name] == column).all() for name, column in reference.items())
    assert (other["amount"] != reference["amount"]).any()


@both
def test_postings_are_in_order_within_their_days_and_limits(simulate):
    drawn = simulate(postings=5_000, days=30.0, limit=2_500.0, approval_limit=500.0, fraudsters=3, accomplices=2, fraud_share=0.5, seed=1)
    assert {name: column.dtype.kind for name, column in drawn.items()} == {
        "employee_id": "U", "at": "i", "amount": "i", "limit": "i", "approval_limit": "i", "label": "i",
    }  # fmt: skip
    assert (np.diff(drawn["at"]) >= 0).all()
    assert drawn["at"][-1] - drawn["at"][0] < 30 * 86_400_000_000
    assert drawn["amount"].min() >= 1
    assert drawn["amount"].max() <= 250_000
    fraud = drawn["label"] == 1
    assert ((drawn["amount"][fraud] >= 45_000) & (drawn["amount"][fraud] < 50_000)).all()
    assert len(set(drawn["employee_id"][fraud].tolist())) == 5


def test_honest_amounts_follow_the_cut_off_log_normal():
    drawn = simulate_postings(postings=50_000, fraudsters=0, limit=5_000.0, mu=math.log10(1_800.0), seed=2)
    law = digit_probabilities(math.log10(1_800.0), 0.6, 0.01, 5_000.01)
    assert goodness_of_fit(count_digits(drawn["amount"]), law)[2] > 0.001


def test_a_fraudster_posts_fraud_at_his_rate_and_an_accomplice_at_a_tenth_of_it():
    drawn = simulate_postings(employees=2, postings=40_000, fraudsters=1, accomplices=1, fraud_share=0.2, seed=3)
    first = drawn["employee_id"] == "employee-0"
    assert drawn["label"][first].mean() == pytest.approx(0.2, abs=0.01)
    assert drawn["label"][~first].mean() == pytest.approx(0.02, abs=0.005)


def test_spells_of_fraud_come_and_go_take_accomplices_with_them_and_keep_the_share():
    fleet = {"employees": 3, "fraudsters": 1, "accomplices": 1, "fraud_share": 0.1, "days": 10_000.0, "onset": 100.0, "spell": 8.0}
    drawn = simulate_postings(postings=600_000, **fleet, seed=4)
    fraud, day = drawn["label"] == 1, (drawn["at"] - 1_767_225_600_000_000) // 86_400_000_000
    first, second = drawn["employee_id"] == "employee-0", drawn["employee_id"] == "employee-1"
    assert day[fraud].min() >= 100
    after = day >= 100
    assert drawn["label"][first & after].mean() == pytest.approx(0.1, abs=0.02)
    days = np.unique(day[first & fraud])
    assert len(days) / 9_900 == pytest.approx(0.2, abs=0.04)
    lengths = np.diff(np.flatnonzero(np.diff(days, prepend=-9) != 1))
    assert lengths.mean() == pytest.approx(8.0, abs=1.5)
    assert set(day[second & fraud].tolist()) <= set(days.tolist())
    assert drawn["label"][second & after].mean() == pytest.approx(0.01, abs=0.003)


def test_an_accomplice_helps_his_own_fraudster():
    drawn = simulate_postings(employees=6, postings=60_000, fraudsters=2, accomplices=3, fraud_share=0.15, days=400.0, spell=10.0, seed=5)
    day, fraud = drawn["at"] // 86_400_000_000, drawn["label"] == 1
    spells = [set(day[fraud & (drawn["employee_id"] == f"employee-{number}")].tolist()) for number in range(6)]
    # employees 0 and 1 are fraudsters, 2, 3 and 4 help the first, the second, the first
    assert spells[2] <= spells[0]
    assert spells[3] <= spells[1]
    assert spells[4] <= spells[0]
    assert not spells[5]


def test_employees_may_differ_in_their_limits_their_amounts_and_how_often_they_post():
    drawn = simulate_postings(employees=4, postings=80_000, fraudsters=0, limit=(2_000.0, None), activity=0.5, spread=0.3, seed=6)
    employees, counts = np.unique(drawn["employee_id"], return_counts=True)
    means = []
    for number, employee in enumerate(employees.tolist()):
        own = drawn["employee_id"] == employee
        assert set(drawn["limit"][own].tolist()) == {-1 if number % 2 else 200_000}
        assert number % 2 or drawn["amount"][own].max() <= 200_000
        means.append(np.log10(drawn["amount"][own]).mean())
    assert counts.max() > 2 * counts.min()
    assert np.ptp(means) > 0.2


def test_standing_amounts_repeat():
    drawn = simulate_postings(employees=5, postings=20_000, fraudsters=1, repeats=0.4, seed=7)
    for number in range(5):
        own = drawn["amount"][(drawn["employee_id"] == f"employee-{number}") & (drawn["label"] == 0)]
        _, counts = np.unique(own, return_counts=True)
        assert np.sort(counts)[-3:].sum() / len(own) == pytest.approx(0.4, abs=0.03)


@both
def test_what_is_switched_on_changes_nothing_else(simulate):
    reference, computed = simulate(repeats=0.0, seed=9), simulate(repeats=0.5, spell=1.0, fraud_share=0.2, seed=9)
    assert all((computed[name] == reference[name]).all() for name in ("employee_id", "at", "limit"))


def test_census_amounts_are_county_populations():
    drawn = census_postings(fraudsters=0, limit=None, postings=2_000)
    assert set(drawn["amount"].tolist()) <= set(census_populations().tolist())
    assert (drawn["limit"] == -1).all()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"employees": 0}, "at least one employee"),
        ({"fraudsters": 41}, "no more than the 40 employees"),
        ({"fraud_share": 1.5}, "fraud_share = 1.5"),
        ({"limit": 0.5}, "limit = 0.5"),
        ({"approval_limit": 9_000.0}, "approval_limit = 9000.0"),
        ({"limit": (5_000.0, 500.0)}, "the accounting limit 500.0"),
        ({"fraudsters": 0, "accomplices": 1}, "wanted a fraudster for them to help"),
        ({"spell": 5.0, "fraud_share": 0.3}, "wanted a share between 0 and 0.2"),
        ({"spell": 0.5}, "spell = 0.5"),
        ({"onset": 91.0}, "onset = 91.0"),
        ({"spread": -0.1}, "spread = -0.1"),
        ({"activity": math.nan}, "activity = nan"),
        ({"repeats": 1.0}, "repeats = 1.0"),
        ({"days": 0.0}, "days = 0.0"),
        ({"mu": 30.0, "sigma": 0.1}, "hardly any amount"),
    ],
)
def test_a_fleet_that_can_not_be_is_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        simulate_postings(**setting)
