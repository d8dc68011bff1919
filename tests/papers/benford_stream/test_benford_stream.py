"""Short forms of `python -m tests.papers.benford_stream`: the bars, with fewer employees."""

from __future__ import annotations

import pytest

from detectors.benford.detector import BenfordDetector
from detectors.benford.rows import BAND_TEST, DIGITS, ONSET
from tests.papers.benford.purchasing_cards import FILE, place
from tests.papers.benford_stream.__main__ import threshold
from tests.papers.benford_stream.purchases import alarmed
from tests.papers.benford_stream.simulated import NAMES, false_discoveries, many, median, naive_chi_square, share, where_people_differ


def test_a_chi_square_looked_at_again_and_again_condemns_two_honest_employees_in_five():
    assert naive_chi_square(4_000, 9_000) == pytest.approx(0.40, abs=0.03)


def test_fraud_just_below_the_approval_limit_is_found_within_the_default_budget():
    found = many(30, 2_000, fraud=0.05)["budget"]
    assert share(found[BAND_TEST]) == 1.0
    assert median(found[BAND_TEST]) < 800
    assert share(found[DIGITS]) >= 0.9


@pytest.mark.slow
def test_without_fraud_no_test_ever_alarms_more_often_than_its_level():
    found = many(1_000, 9_000)
    for test in NAMES:
        assert share(found["level"][test]) <= 0.05
        assert share(found["budget"][test]) <= 0.005


@pytest.mark.slow
@pytest.mark.parametrize("every", [0, 500])
def test_one_per_cent_of_fraud_is_found_with_one_reference_and_with_many(every):
    found = many(200, 9_000, fraud=0.01, seed=2, every=every)["level"]
    assert share(found[DIGITS]) >= 0.65  # 70 % of many; two standard errors of 200
    assert share(found[BAND_TEST]) >= 0.98
    assert median(found[BAND_TEST]) <= 2_200


@pytest.mark.slow
def test_fraud_that_begins_late_is_found_soon():
    found = many(200, 10_000, fraud=0.05, onset=8_000, seed=3)["level"]
    assert share(found[ONSET], 8_000) >= 0.95
    assert median(found[ONSET], 8_000) <= 500


@pytest.mark.slow
def test_at_a_period_s_end_few_of_those_named_are_honest():
    found = false_discoveries(5)
    assert all(false <= 0.05 for false, _ in found.values())
    assert found["band"][1] >= 0.93


@pytest.mark.slow
def test_honest_employees_who_differ_are_not_alarmed_once_it_is_known_how_much():
    assert where_people_differ(100, 3_000, 600.0, allowed=False)[0] > 0.5
    ever, rho = where_people_differ(100, 3_000, 600.0, allowed=True)
    assert ever <= 0.05
    assert rho == pytest.approx(1 / 601, rel=0.3)


@pytest.mark.slow
def test_the_threshold_of_late_onset_is_drawn_by_a_command():
    assert len(threshold(200)) == 7


@pytest.mark.slow
def test_real_purchasing_cards_are_seldom_alarmed_and_fraud_among_them_often():
    path = place()
    if path is None:
        pytest.skip(f"no {FILE} under $NILOMETER_DATA or ../shared/data")
    detector = BenfordDetector()
    assert alarmed(detector, path)[0] <= 0.05
    assert alarmed(detector, path, 0.1)[0] >= 0.75
