"""What is said at the start, by `config check` and by `status` of the history that budgets need."""

from __future__ import annotations

from config.load import load
from streams.agents import sensors
from streams.notices import notices


def told(*streams, classes=None, **overrides):
    named = {name.replace("__", "."): value for name, value in overrides.items()}
    return notices(load(environment={}, overrides=named, classes=classes), streams)


def test_a_sensors_budget_says_what_history_it_needs_at_two_paces():
    assert told("sensors") == [
        "sensors: 0.1 alarms a sensor-day, once there is history enough; until then 1 % of readings (epsilon)",
        "  at a reading a second: 769 blocks of 3.75 min (2.003 days) without an interruption, or 7,681 of its whole class "
        "(6.812 h with 100 such sensors)",
        "  at a reading a minute: 129 blocks of 3.75 h (20.16 days) without an interruption, or 129 of its whole class "
        "(5.312 days with 100 such sensors)",
    ]


def test_without_a_budget_the_papers_rule_is_named():
    assert told("sensors", sensors__false_alarms_per_sensor_day=0.0) == [
        "sensors: no budget is set, the paper's rule decides: 1 % of readings (epsilon)"
    ]


def test_a_class_is_named_where_it_differs():
    lines = told("sensors", classes={"fan": {"length": 20}, "pump": {"centroids": 2}})
    assert [line.split(":")[0] for line in lines if line.startswith("sensors")] == ["sensors", "sensors of class fan"]


def test_an_epsilon_that_few_ranks_lie_below_is_a_caution():
    assert told("cards") == []
    (line,) = told("errors")
    assert line.startswith("errors: epsilon = 0.01: 5.0 of 500 ranks lie below it")
    assert told("errors", calibration__epsilon=0.05) == []


def test_the_promise_of_sensors_is_the_budget_where_one_is_set():
    words = [
        sensors.define(load(environment={}, overrides=overrides)).promise.words
        for overrides in ({}, {"sensors.promise": "false"}, {"sensors.false_alarms_per_sensor_day": 0.0})
    ]
    assert words == ["0.1 alarms a sensor-day", "0.1 false alarms a sensor-day", "1 % of readings"]
