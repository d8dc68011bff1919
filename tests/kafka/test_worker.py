"""The whole on Apache Kafka: `nilometer worker` and `nilometer replay` of a file say what `nilometer backtest` says of it, row by row."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from detectors.protocol import REASONS
from streams import topics
from streams.cuts import dump
from streams.durable.cut_log import counting
from streams.scores import decoded
from streams.simulators.cards import simulate_cards
from streams.simulators.layout import table
from streams.simulators.postings import simulate_postings
from streams.simulators.sensors import simulate_sensors
from streams.transport.broker import partition_of_key
from streams.transport.kafka_logs import KafkaLogs
from tests.kafka.commands import PARTITIONS, here, installation, working
from tests.streams import real
from tests.streams.live import COORDINATES


async def said(environment, stream, rows):
    """What stands in the topics once every row has been decided."""
    prefix = environment["NILOMETER_KAFKA__PREFIX"]
    async with KafkaLogs({"bootstrap_servers": environment["NILOMETER_KAFKA__BOOTSTRAP_SERVERS"]}) as logs:

        async def values(topic, partitions=PARTITIONS):
            return [r for p in range(partitions) for r in (await logs.read_to_end(prefix + topic, p)).records]

        end = time.monotonic() + 120
        while True:
            scores, letters = {}, set()
            for record in await values(topics.scores(stream)):
                columns = decoded(record.value)
                names = [name for name in columns if name not in COORDINATES]
                for i, offset in enumerate(columns["offset"]):
                    scores[record.partition, offset] = {name: columns[name][i] for name in names}
            for record in await values(topics.DEAD_LETTERS, 1):
                headers = defaultdict(bytes, record.headers)
                letters.add((int(headers["nilometer-partition"]), int(headers["nilometer-offset"])))
            if len(scores) + len(letters) >= rows:
                break
            assert time.monotonic() < end, f"{len(scores)} scores and {len(letters)} letters of {rows} rows"
            await asyncio.sleep(0.2)
        alerts = [record.value for record in await values(topics.alerts(stream))]
        log = await values(topics.cuts(stream))
    cuts = [
        dump(cut) for number in range(PARTITIONS) for cut in counting(number, [(r.offset, r.value) for r in log if r.partition == number])
    ]
    return scores, letters, alerts, cuts


def held_against_backtest(environment, stream, file, folder):
    scores, letters, alerts, cuts = asyncio.run(said(environment, stream, pq.read_metadata(file).num_rows))
    (folder / "cuts").write_bytes(b"\n".join(cuts))
    quiet = {name: value for name, value in environment.items() if "KAFKA" not in name and "PORT" not in name}
    arguments = [
        "backtest",
        stream,
        str(file),
        "--out",
        str(folder / "out"),
        "--partitions",
        str(PARTITIONS),
        "--cuts",
        str(folder / "cuts"),
    ]
    if stream == "cards":  # whatever was trained meanwhile
        (folder / "models").write_text(here("state", "cuts", stream, "--models", **environment))
        arguments += ["--models", str(folder / "models")]
    here(*arguments, **quiet)
    reference = pq.read_table(folder / "out" / "scores.parquet")
    reference = {**reference.to_pydict(), "at": reference["at"].cast(pa.int64()).to_pylist()}
    offsets = [0] * PARTITIONS
    for row, key in enumerate(reference["key"]):
        partition = 0 if key is None else partition_of_key(key.encode("utf-8", "surrogateescape"), PARTITIONS)
        place = partition, offsets[partition]
        offsets[partition] += 1
        if reference["is_alert"][row] is None:
            assert place in letters
            assert place not in scores
            continue
        for name, value in scores[place].items():
            wanted = reference[name][row]
            if name == "reason":
                value = REASONS[value] or None
            if isinstance(wanted, float) and np.isinf(wanted):
                wanted = "inf"
            assert value == wanted, f"row {row}, {name}: worker {value}, backtest {wanted}"
    told = [msgspec.json.decode(line) for line in (folder / "out" / "alerts.jsonl").read_bytes().splitlines()]
    assert sorted(msgspec.json.decode(alert)["id"] for alert in alerts) == sorted(alert["id"] for alert in told)
    return scores, alerts, cuts


def written(columns, file):
    pq.write_table(table(columns), file)
    return file


MADE = {
    "sensors": lambda: simulate_sensors(points=8_000, sensors=4, anomalies=6, length=60, period=40, seed=2),
    "cards": lambda: simulate_cards(cards=60, days=60, rate=2.0, seed=3, episode_probability=0.3),
    "employees": lambda: simulate_postings(employees=12, postings=6_000, fraudsters=2, fraud_share=0.2, days=200.0, seed=4),
}


@pytest.mark.parametrize(("stream", "fetch"), [("sensors", "record_batches"), ("cards", "records"), ("employees", "record_batches")])
def test_a_worker_says_of_a_replayed_file_what_backtest_says(kafka, tmp_path, stream, fetch):
    file = written(MADE[stream](), tmp_path / "file.parquet")
    more = {"NILOMETER_SENSORS__LENGTH": "40", "NILOMETER_KAFKA__FETCH": fetch}
    with installation(kafka, stream, **more) as environment:
        with working(environment):
            output = here("replay", str(file), "--topic", topics.source(stream), "--speed", "6e6", **environment)
            assert "records to" in output
            asyncio.run(said(environment, stream, pq.read_metadata(file).num_rows))
        # It has left: all that it said has been delivered.
        scores, alerts, cuts = held_against_backtest(environment, stream, file, tmp_path)
        assert len(scores) == pq.read_metadata(file).num_rows
        # Employees' reference is the population's, from whichever posting on it reaches a partition: alerts before or behind.
        assert cuts if stream == "employees" else alerts


@pytest.mark.slow
@pytest.mark.parametrize("fetch", ["record_batches", "records"])
@pytest.mark.parametrize("stream", ["sensors", "cards", "employees"])
def test_whole_real_files(kafka, tmp_path, data, stream, fetch):
    file = getattr(real, stream)(data, tmp_path / f"{stream}.parquet")
    with installation(kafka, stream, NILOMETER_KAFKA__FETCH=fetch) as environment:
        with working(environment):
            here("replay", str(file), "--topic", topics.source(stream), **environment)
            asyncio.run(said(environment, stream, pq.read_metadata(file).num_rows))
        scores, _, _ = held_against_backtest(environment, stream, file, tmp_path)
        assert len(scores) == pq.read_metadata(file).num_rows
