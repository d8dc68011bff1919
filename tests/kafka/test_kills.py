"""A worker on Apache Kafka is killed in mid-stream, again and again, and nobody can tell from what it has said."""

from __future__ import annotations

import pytest

from tests.kafka.soak import killed, paused, soaking


def test_a_worker_killed_three_times_says_what_backtest_says(kafka, tmp_path):
    with soaking(kafka, tmp_path, cards=60, days=60, postings=6_000) as soak:
        report = killed(soak, tmp_path, kills=3, share=0.6, seconds=15.0, commits=1, bury=True)
    print(report)
    assert report.kills == 3
    assert report.faults == 0, report
    assert report.cuts > 0
    assert report.verdicts > 0
    assert report.alerts > 0


@pytest.mark.slow
def test_a_worker_killed_twenty_times_says_what_backtest_says(kafka, tmp_path):
    with soaking(kafka, tmp_path, cards=300, days=120, postings=30_000) as soak:
        report = killed(soak, tmp_path, kills=20, share=0.75, seconds=240.0, commits=3)
    print(report)
    assert report.kills == 20
    assert min(report.left) >= 10_000
    assert report.faults == 0, report
    assert report.doubled > 0
    assert report.cuts > 0
    assert report.models > 0
    assert report.verdicts > 0
    assert report.alerts > 0


@pytest.mark.slow
def test_a_worker_paused_past_its_session_among_rebalances_says_what_backtest_says(kafka, tmp_path):
    with soaking(kafka, tmp_path, cards=60, days=60, postings=6_000) as soak:
        report = paused(soak, tmp_path, share=0.8, seconds=30.0)
    print(report)
    assert max(report.recoveries) > 10.0, "the session had not run out"
    assert report.faults == 0, report
    assert report.cuts > 0
    assert report.models > 0
    assert report.verdicts > 0
    assert report.alerts > 0
