"""Workers whose cards feed their employees are killed and paused on Apache Kafka, and every posting is counted once."""

from __future__ import annotations

import pytest

from tests.kafka.chain import beaten, chaining


@pytest.mark.slow
def test_a_chain_of_workers_killed_twelve_times_and_paused_counts_every_posting_once(kafka, tmp_path):
    with chaining(kafka, tmp_path, cards=300, days=120) as chain:
        report = beaten(chain, tmp_path, kills=12, share=0.75, seconds=150.0)
    print(report)
    assert report.kills >= 12
    assert report.pauses == 1
    assert report.faults == 0, report
    assert report.postings > 10_000
    assert report.again > 0
    assert report.told > 0
    assert report.alerts > 0
    assert report.verdicts > 0
