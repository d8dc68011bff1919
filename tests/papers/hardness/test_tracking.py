from __future__ import annotations

import pytest

from tests.papers.hardness import tables
from tests.papers.hardness.drifting import drifting, judged, random_control, rates, static


def test_a_promise_is_kept_on_a_stream_that_drifts():
    stream = drifting(1)
    found = rates(judged(stream), ~stream.anomaly)
    assert abs(found["overall"] - 5.0) <= 0.2
    assert found["within"] >= 0.9
    assert all(abs(rate - 5.0) <= 0.6 for rate in found["quartiles"])
    assert rates(static(stream), ~stream.anomaly)["overall"] > 15.0


def test_chance_at_the_same_rate_finds_nothing():
    stream = drifting(0, share=0.01)
    found, chance = judged(stream), random_control(stream, 0)
    assert found.alert[stream.anomaly[found.place]].mean() >= 0.8
    assert chance.alert[stream.anomaly].mean() < 0.1


def test_a_key_takes_forty_kibibytes_at_most():
    assert tables.bytes_of_a_key() <= 40 * 1024


@pytest.mark.slow
@pytest.mark.parametrize("table", ["theorem", "drift", "uniform", "anomalies"])
def test_every_bar_of_a_table_is_held(table):
    bars = tables.TABLES[table][1]()[1]
    assert all(bars.values()), bars
