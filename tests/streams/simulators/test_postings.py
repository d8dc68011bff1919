"""The simulated fleet is what its parameters say, and the same for the same seed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from detectors.benford.digits import count_digits
from detectors.benford.fit import goodness_of_fit
from detectors.benford.reference import digit_probabilities
from streams.simulators.postings import census_populations, census_postings, simulate_postings

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
        ({"days": 0.0}, "days = 0.0"),
        ({"mu": 30.0, "sigma": 0.1}, "hardly any amount"),
    ],
)
def test_a_fleet_that_can_not_be_is_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        simulate_postings(**setting)
