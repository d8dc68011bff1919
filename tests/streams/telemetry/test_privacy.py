"""No id of a card or an employee stands in what a worker logs or measures."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from prometheus_client import generate_latest

from config.load import defaults, load, replaced
from streams import topics
from streams.app import assemble
from streams.engine import run
from streams.telemetry import logs
from streams.telemetry.privacy import hashed, masked
from streams.topic_settings import create_topics
from streams.transport.broker import Broker
from streams.transport.tail import MemoryLogs
from tests.streams.live import at_rest

SECRET_IDS = {"cards": "card-4711-0815", "employees": "employee-Müller"}
KEYS = {"sensors": "sensor_id", "cards": "card_id", "employees": "employee_id", "errors": "source_id"}


def test_ids_are_hashed_where_the_stream_says_so():
    settings = replaced(defaults(), log={"hash_secret": "ours"}).log
    assert masked("id-17", "cards", settings) == hashed("id-17", "ours") == "d2c6a683cfaa9683"
    assert masked("id-17", "sensors", settings) == "id-17"
    assert masked(b"id-17", "cards", replaced(defaults(), log={"hash_keys": []}).log) == "id-17"


@pytest.mark.parametrize("hides", [True, False])
def test_ids_are_in_no_line_and_no_label(hides, capsys, caplog):
    caplog.set_level(logging.DEBUG)
    settings = load(
        environment={
            "NILOMETER_STREAMS__PARTITIONS": "1",
            "NILOMETER_METRICS__WATCH": json.dumps(["pump-7", *SECRET_IDS.values()]),
            "NILOMETER_LOG__HASH_KEYS": '["cards", "employees"]' if hides else "[]",
            "NILOMETER_LOG__HASH_SECRET": "ours",
        }
    )
    broker = Broker.named("privacy")
    create_topics(broker.create_topic, settings, settings.streams.enabled)
    pipeline = assemble(settings, broker_url="memory://privacy", logs=MemoryLogs(broker))
    bodies = {
        "sensors": {"value": 1.5}, "cards": {"transaction_id": "t", "amount": 5}, "employees": {"amount": 5},
        "errors": {"error": 0.5, "hardness": 0.5},
    }  # fmt: skip

    async def feed():
        for stream, body in bodies.items():
            key = SECRET_IDS.get(stream, "pump-7")
            for i in range(3):
                record = {KEYS[stream]: key, "at": 1_700_000_000 + i, **body}
                broker.produce(topics.source(stream), key.encode(), json.dumps(record).encode())
            broker.produce(topics.source(stream), key.encode(), json.dumps({KEYS[stream]: key, "at": key}).encode())
        watchers = pipeline.watchers
        while not all(
            watchers[name].position(0) == broker.end_offset(topics.source(name), 0) and at_rest(watchers[name]) for name in bodies
        ):
            await asyncio.sleep(0.02)

    try:
        asyncio.run(run(pipeline.app, feed()))
        watcher = pipeline.watchers["employees"]
        assert watcher.metrics is pipeline.metrics
        measured = generate_latest(pipeline.metrics.registry).decode()
    finally:
        pipeline.executor.shutdown()
        Broker.forget("privacy")
    said = "\n".join([*(logs.InText(settings).format(record) for record in caplog.records), capsys.readouterr().err])
    assert "pump-7" in measured
    for key in SECRET_IDS.values():
        assert key not in said
        assert key not in measured or not hides
    assert (hashed(SECRET_IDS["employees"], "ours") in measured) == hides
    assert (SECRET_IDS["employees"] in measured) != hides
