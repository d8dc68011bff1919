"""What the detectors are measured on: events of the project's own simulators, a record each."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from streams.simulators.cards import simulate_cards
from streams.simulators.postings import simulate_postings
from streams.simulators.sensors import simulate_sensors
from tests.bench.fill import Record, as_records

SENSORS = 100
PERIOD = 100  # readings of a sensor's normal wave
BURST = 75  # readings of a fault, the length of the subsequences that are judged
WARM_UP = 3_400  # readings after which every sensor is judged, at the default settings

KEYS = {"sensors": "sensor_id", "cards": "card_id", "employees": "employee_id", "errors": "source_id"}
SOURCES = {"sensors": "sensor.readings", "cards": "card.transactions", "employees": "employee.postings", "errors": "model.errors"}


def records(stream: str, many: int) -> Iterator[Record]:
    """About so many records of a stream, in order of time."""
    return as_json(stream, {"sensors": _sensors, "cards": _cards, "employees": _employees, "errors": _errors}[stream](many))


def faults(many: int) -> Iterator[Record]:
    """A warm-up of all sensors, then so many readings in which a sensor has a fault every 300, each at another time; they end now."""
    whole = WARM_UP + many // SENSORS
    columns = simulate_sensors(sensors=SENSORS, points=whole, anomalies=0, period=PERIOD, interval=20_000)
    value = columns["value"].reshape(whole, SENSORS)
    for sensor in range(SENSORS):
        for begin in range(WARM_UP + 100 + sensor * 3, whole - BURST, 300):
            value[begin : begin + BURST, sensor] = value[begin, sensor] + np.sin(2 * np.pi * 2.7 * np.arange(BURST) / PERIOD)
    columns["at"] += int(time.time() * 1e6) - int(columns["at"][-1])
    return as_json("sensors", columns)


def as_json(stream: str, columns: Mapping[str, Any]) -> Iterator[Record]:
    """A simulator's columns as the records of a stream."""
    plain = (_plain(name, column) for name, column in columns.items() if name != "label")
    return as_records(KEYS[stream], dict(plain))


def _plain(name: str, given: Any) -> tuple[str, list[Any]]:
    """A simulator's column as JSON holds it: times in seconds, limits in major units, and null for what is not given."""
    column = np.asarray(given)
    if name == "at" and column.dtype == np.int64 and column[0] > 10**11:
        return name, list((column / 1e6).tolist())
    if name == "amount":
        return "amount_minor", list(column.tolist())
    if name in ("limit", "approval_limit", "credit_limit"):
        return name, [None if cents < 0 else cents / 100 for cents in column.tolist()]
    if name == "address_match":
        return name, [None if match < 0 else match for match in column.tolist()]
    return name, list(column.tolist())


def _sensors(many: int) -> Mapping[str, Any]:
    points = 2 * many // SENSORS
    return simulate_sensors(sensors=SENSORS // 2, points=points, anomalies=points // 2_000, period=PERIOD)


def _cards(many: int) -> Mapping[str, Any]:
    return simulate_cards(cards=many // 150, days=150)


def _employees(many: int) -> Mapping[str, Any]:
    return simulate_postings(employees=400, postings=many)


def _errors(many: int) -> Mapping[str, Any]:
    rng = np.random.default_rng(0)
    hardness = rng.gamma(2.0, 1.0, many)
    source = rng.integers(0, 40, many)
    return {
        "source_id": np.array([f"model-{number}" for number in range(40)])[source],
        "at": 1_700_000_000.0 + np.arange(many) / 100,
        "error": hardness * rng.lognormal(0.0, 0.5, many),
        "hardness": hardness,
    }
