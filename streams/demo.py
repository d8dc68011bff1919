"""What flows in the demo: a real taxi series, and pumps, cards, postings and a model's errors that the simulators make.

Everything is produced as a gateway would, JSON record by JSON record, at a steady pace and with event times of its own; now and
then comes a record that nobody can read.
"""

from __future__ import annotations

import asyncio
import csv
import time
from collections.abc import Iterator
from datetime import datetime
from heapq import heappop, heappush, merge
from itertools import count
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from config.settings import Settings
from streams import topics
from streams.decoding.times import written
from streams.simulators.cards import simulate_cards
from streams.simulators.postings import census_postings, simulate_postings
from streams.simulators.sensors import simulate_sensors
from streams.transport.broker import Broker

TAXI = Path(__file__).parent / "samples" / "nyc_taxi.csv"
START = 1_420_070_400  # 2015-01-01: so far back that hours of demo do not reach the present
DAY = 86_400

TAXI_START = 1_404_172_800  # 2014-07-01
HALF_HOUR = 1_800
PUMP_POINTS = 40_000

Record = tuple[bytes, bytes]  # key, value
Reading = tuple[float, str, dict[str, Any]]  # time, sensor, record


def readings() -> Iterator[Record]:
    """The taxi series and the pumps, in order of time: sensors of one partition share its clock, by which one falls silent."""
    for _, key, record in merge(taxi(), pumps(), key=itemgetter(0)):
        yield key.encode(), msgspec.json.encode(record)


def taxi() -> Iterator[Reading]:
    """Passengers of New York's taxis by half-hours, July 2014 to January 2015 (Numenta Anomaly Benchmark, MIT licence); then nothing."""
    with TAXI.open(newline="") as file:
        for row in csv.DictReader(file):
            at = datetime.fromisoformat(row["at"]).timestamp()
            yield at, row["sensor_id"], {"sensor_id": row["sensor_id"], "at": row["at"], "value": float(row["value"])}


def pumps() -> Iterator[Reading]:
    """Four pumps: sines on a random walk, and stretches of another frequency."""
    start = TAXI_START
    for seed in count():
        interval = HALF_HOUR if seed == 0 else 1  # s; as the taxis at first, then so that hours of demo do not reach the present
        made = simulate_sensors(
            anomalies=12,
            noise=5.0,
            length=336,
            period=168,
            points=PUMP_POINTS,
            sensors=4,
            seed=seed,
            interval=interval * 1_000_000,
            start=start * 1_000_000,
        )
        for name, at, value in zip(made["sensor_id"].tolist(), made["at"].tolist(), made["value"].tolist(), strict=True):
            key = name.replace("sensor", "pump")
            yield at / 1e6, key, {"sensor_id": key, "at": at / 1e6, "value": round(value, 4)}
        start += PUMP_POINTS * interval


def payments() -> Iterator[tuple[str, Record]]:
    """Fifteen hundred cards, some of them in the wrong hands for days, and the labels of what is found out of that, late; by topic."""
    days = 30
    rng = np.random.default_rng(0)
    told: list[tuple[float, Record]] = []  # a heap of labels, by when they are known
    for seed in count():
        made = simulate_cards(cards=1_500, days=days, seed=seed, start=START + seed * days * DAY, fraud_free=0.1, episode_probability=0.3)
        for row in _rows(made):
            while told and told[0][0] <= row["at"] / 1e6:
                yield topics.CARD_LABELS, heappop(told)[1]
            record = {
                "card_id": row["card_id"],
                "transaction_id": f"{seed}-{row['transaction_id']}",
                "at": written(row["at"]),
                "amount_minor": row["amount"],
                "mode": row["mode"],
                "credit_limit": row["credit_limit"] // 100,
                "merchant_id": row["merchant_id"],
            }
            if row["address_match"] >= 0:
                record["address_match"] = bool(row["address_match"])
            if row["label"]:
                known = row["at"] / 1e6 + DAY * rng.uniform(0.1, 1.0)
                label = {"card_id": row["card_id"], "transaction_id": record["transaction_id"], "label": 1, "at": round(known)}
                heappush(told, (known, (row["card_id"].encode(), msgspec.json.encode(label))))
            yield topics.source("cards"), (row["card_id"].encode(), msgspec.json.encode(record))


def postings() -> Iterator[Record]:
    """Forty employees, half with amounts of the 1990 census's shape; two of each half like to stay just below what needs approval."""
    days = 90.0
    for seed in count():
        fleet: dict[str, Any] = {"employees": 20, "postings": 12_000, "fraudsters": 2, "fraud_share": 0.15, "days": days}
        made = [simulate_postings(**fleet, seed=2 * seed), census_postings(**fleet, seed=2 * seed + 1)]
        shift = (START - 1_767_225_600 + int(seed * days * DAY)) * 1_000_000  # the simulators begin on 2026-01-01
        rows = [(row["at"] + shift, half, row) for half, part in enumerate(made) for row in _rows(part)]
        for at, half, row in sorted(rows, key=lambda r: r[0]):
            key = row["employee_id"].replace("employee", ("clerk", "buyer")[half])
            record = {
                "employee_id": key,
                "at": written(at),
                "amount": f"{row['amount'] / 100:.2f}",
                "limit": row["limit"] // 100,
                "approval_limit": row["approval_limit"] // 100,
            }
            yield key.encode(), msgspec.json.encode(record)


def model_errors() -> Iterator[Record]:
    """Three models whose error grows with the hardness of their input; now and then one errs more than that."""
    rng = np.random.default_rng(0)
    for number in count():
        source = f"autoencoder-{number % 3}"
        hardness = float(np.exp(0.5 * rng.standard_normal()))
        error = (0.1 + 0.5 * hardness) * float(np.exp(0.2 * rng.standard_normal()))
        if rng.random() < 0.002:
            error *= 4.0
        record = {"source_id": source, "at": START + number / 100, "error": round(error, 5), "hardness": round(hardness, 5)}
        yield source.encode(), msgspec.json.encode(record)


def unreadable() -> Iterator[Record]:
    """What a tired gateway sends."""
    for number in count():
        key, value = [
            (b"pump-1", b'{"sensor_id": "pump-1", "at": 1420070400, "val'),
            (b"pump-2", b'{"sensor_id": "pump-2", "at": 1420070400, "value": "off"}'),
            (b"pump-3", b'{"sensor_id": "pump-3", "at": "2093-01-01T00:00:00Z", "value": 1.5}'),
        ][number % 3]
        yield key, value


async def produce(broker: Broker, settings: Settings) -> None:
    """Produce for ever, each flow at its own pace (records a second)."""

    def to_source(stream: str, records: Iterator[Record]) -> Iterator[tuple[str, Record]]:
        return ((topics.source(stream), record) for record in records)

    flows = {
        "sensors": [(to_source("sensors", readings()), 3_000.0), (to_source("sensors", unreadable()), 0.5)],
        "cards": [(payments(), 1_000.0)],
        "employees": [(to_source("employees", postings()), 1_200.0)],
        "errors": [(to_source("errors", model_errors()), 1_000.0)],
    }
    running = [each for stream in settings.streams.enabled for each in flows[stream]]
    started, sent = time.monotonic(), [0] * len(running)
    while True:
        passed = time.monotonic() - started
        for number, (flow, pace) in enumerate(running):
            due = min(int(passed * pace) - sent[number], 2_000)
            for _ in range(due):
                found = next(flow, None)
                if found is None:
                    break
                topic, record = found
                broker.produce(settings.kafka.prefix + topic, *record)
            sent[number] += max(due, 0)
        await asyncio.sleep(0.02)


def _rows(columns: Any) -> Iterator[dict[str, Any]]:
    """A simulator's arrays, row by row."""
    names = list(columns)
    for values in zip(*(columns[name].tolist() for name in names), strict=True):
        yield dict(zip(names, values, strict=True))
