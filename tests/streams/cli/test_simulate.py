from __future__ import annotations

import numpy as np
import pytest

from streams.simulators.cards import simulate_cards
from streams.simulators.postings import simulate_postings
from streams.simulators.sensors import simulate_sensors
from tests.kafka.commands import here


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("sensors", "wanted one of --out FILE and --topic T"),
        ("cards --out cards.csv --topic card.transactions", "wanted one of --out FILE and --topic T"),
        ("sensors --out sensors.csv --speed 2", "--speed goes with --topic"),
        ("postings --topic employee.posting", "--topic employee.posting: wanted one of sensor.readings"),
        ("postings --topic card.labels", "--topic card.labels: takes cards, and these are employees"),
        ("cards --topic card.labels --label-delay soon --cards 9 --days 9", "wanted a whole number of days"),
        ("sensors --topic sensor.readings --speed 0 --points 300 --anomalies 0", "--speed 0"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_sent(arguments, problem):
    assert problem in here("simulate", *arguments.split(), code=2)


@pytest.mark.parametrize(
    "columns",
    [
        simulate_sensors(sensors=3, points=500, anomalies=1, seed=1),
        simulate_cards(cards=20, days=30, seed=1),
        simulate_postings(employees=5, postings=500, seed=1),
    ],
    ids=["sensors", "cards", "postings"],
)
def test_what_is_simulated_comes_in_the_order_of_event_time(columns):
    assert (np.diff(np.asarray(columns["at"])) >= 0).all()
