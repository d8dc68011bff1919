from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.aggregation import policy
from detectors.aggregation.policy import ALERT, COST, EPSILON, HELD_BACK, PASSED, decide, expected_loss, new_pace, priority, rule_in_force
from tests import naive

HOUR, DAY = 3_600, 86_400


def decisions(stream, cap, rule=COST):
    pace, head = new_pace()
    return [decide(pace, head, now, rule, promised, cap) for now, promised in stream]


def test_the_rules_come_in_their_order():
    assert rule_in_force(False, 10_000) == EPSILON
    assert rule_in_force(True, policy.FRAUDS_NEEDED - 1) == EPSILON
    assert rule_in_force(True, policy.FRAUDS_NEEDED) == COST


def test_with_the_papers_costs_an_alert_needs_one_per_cent():
    """Eq. (6): a review costs 1, a missed fraud 100."""
    for probability, alerts in ((0.0099, False), (0.0101, True), (0.5, True)):
        loss = expected_loss(probability, 12_345.0, 100.0, 0.0)
        assert (priority(COST, loss, 1.0, 0.0, math.nan, 0.001) > 0.0) == alerts


def test_a_loss_may_depend_on_the_amount_and_a_refund_loses_none():
    assert expected_loss(0.1, 500.0, 0.0, 1.0) == 50.0
    assert expected_loss(0.1, -500.0, 20.0, 1.0) == 2.0


def test_before_labels_epsilon_decides_and_what_has_no_p_value_passes():
    assert priority(EPSILON, 99.0, 1.0, 12.0, 0.001, 0.001) == 12.0
    assert priority(EPSILON, 99.0, 1.0, 12.0, 0.0011, 0.001) == 0.0
    assert priority(EPSILON, 99.0, 1.0, 12.0, math.nan, 0.001) == 0.0
    assert priority(EPSILON, 99.0, 1.0, 0.0, 0.001, 0.001) > 0.0


def test_without_a_cap_every_candidate_alerts():
    assert set(decisions([(n, 5.0) for n in range(500)], 0.0)) == {ALERT}
    assert decisions([(0, 0.0)], 1.0) == [PASSED]


streams = st.lists(st.tuples(st.integers(0, 3 * DAY), st.floats(0.01, 1000)), max_size=80)


@settings(max_examples=100, deadline=None)
@given(streams, st.sampled_from([0.4, 1.0, 2.0, 5.5]))
def test_the_cap_equals_the_slow_one(stream, cap):
    reference = naive.paced([(now, policy.priority_bin(promised)) for now, promised in stream], cap)
    computed = [decision == ALERT for decision in decisions(stream, cap)]
    assert computed == reference


@settings(max_examples=60, deadline=None)
@given(streams.map(sorted), st.sampled_from([1.0, 3.0]))
def test_no_day_has_more_alerts_than_the_cap(stream, cap):
    times = [now for (now, _), decision in zip(stream, decisions(stream, cap), strict=True) if decision == ALERT]
    for begin in times:
        assert sum(begin <= now < begin + DAY for now in times) <= cap


def test_a_share_below_one_a_day_is_one_in_several_days():
    """Cap 1 a day over 4 partitions: one in four days each."""
    times = [
        now
        for now, decision in zip(range(0, 20 * DAY, HOUR), decisions([(t, 1.0) for t in range(0, 20 * DAY, HOUR)], 0.25), strict=True)
        if decision == ALERT
    ]
    assert 4 <= len(times) <= 5
    assert min(np.diff(times)) >= 4 * DAY


def test_what_saves_most_goes_first():
    """Twenty days of lognormal savings, ten alerts a day: those alerted on save nearly what hindsight's best ten would have."""
    rng = np.random.default_rng(2)
    savings = np.exp(rng.normal(0, 1.5, 20_000))
    times = np.sort(rng.integers(0, 20 * DAY, 20_000))
    alerts = np.array(decisions(list(zip(times.tolist(), savings.tolist(), strict=True)), 10.0)) == ALERT
    best = sum(np.sort(savings[times // DAY == day])[-10:].sum() for day in range(20))
    assert alerts.sum() <= 200
    assert alerts.sum() > 140
    assert savings[alerts].sum() > 0.7 * best
    first_come = sum(savings[times // DAY == day][:10].sum() for day in range(20))
    assert savings[alerts].sum() > 8 * first_come


def test_what_the_cap_holds_back_says_so():
    found = decisions([(0, 9.0), (1, 9.0), (2, 8.0), (2 * DAY, 8.0)], 1.0)
    assert found == [ALERT, HELD_BACK, HELD_BACK, ALERT]


def test_when_the_rule_changes_its_candidates_begin_anew_but_alerts_remain_alerts():
    pace, head = new_pace()
    assert decide(pace, head, 0, EPSILON, 30.0, 2.0) == ALERT
    assert decide(pace, head, 1, EPSILON, 30.0, 2.0) == ALERT
    assert decide(pace, head, 2, COST, 1.0, 2.0) == HELD_BACK
    assert decide(pace, head, 2 * DAY, COST, 1.0, 2.0) == ALERT


def test_time_does_not_go_back():
    assert decisions([(5 * DAY, 1.0), (0, 9.0)], 1.0) == [ALERT, HELD_BACK]
