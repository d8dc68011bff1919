"""How long from a reading's append to its alert's, at a steady rate: both times are the broker's own (log-append time, ms)."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import numpy as np

from tests.bench import events, fill
from tests.bench.machine import Cores

RATE = 5_000  # readings a second
SECONDS = 60
TICK = 0.01  # seconds between two bursts of the producer
ROOM = 5.0  # seconds for the worker to say its last word


def measure(address: str, cores: Cores) -> dict[str, float]:
    """p50, p99 and largest time in milliseconds, and over how many alerts."""
    prefix = "latency."
    source, alerts = prefix + "sensor.readings", prefix + "alerts.sensors"
    for topic in (source, alerts):
        fill.make_topic(address, topic, message_timestamp_type="LogAppendTime")
    readings = list(events.faults(RATE * SECONDS))
    warm_up = len(readings) - RATE * SECONDS
    fill.produce(address, source, readings[:warm_up])
    given = {"address": address, "prefix": prefix, "messages": warm_up, "cores": cores.client, "stay": True}
    command = [sys.executable, "-m", "tests.bench.worker", "sensors", json.dumps(given)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as worker:
        try:
            assert worker.stdout is not None
            if not worker.stdout.readline():
                raise RuntimeError("the worker ended before it had folded the warm-up")
            began = time.time() * 1000.0
            fill.produce(address, source, _paced(readings[warm_up:]), linger_ms=0)
            time.sleep(ROOM)
        finally:
            worker.terminate()
    appended = {(partition, offset): at for partition, offset, at, _ in _read(address, source)}
    times = []
    for _, _, at, value in _read(address, alerts):
        origin = json.loads(value)["data"].get("origin")
        if origin is not None and appended[origin["partition"], origin["offset"]] >= began:
            times.append(at - appended[origin["partition"], origin["offset"]])
    if not times:
        raise RuntimeError("no reading led to an alert")
    p50, p99 = np.percentile(times, [50, 99]).tolist()
    return {"p50": p50, "p99": p99, "max": max(times), "alerts": len(times)}


def _paced(records: Sequence[fill.Record]) -> Iterator[fill.Record]:
    """The records, each burst when its time has come."""
    burst, began = int(RATE * TICK), time.perf_counter()
    for first in range(0, len(records), burst):
        ahead = began + first / RATE - time.perf_counter()
        if ahead > 0:
            time.sleep(ahead)
        yield from records[first : first + burst]


def _read(address: str, topic: str) -> Iterator[tuple[int, int, int, bytes]]:
    """Partition, offset, timestamp and value of all that a topic holds."""
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": address, "group.id": "bench-latency", "enable.auto.commit": False})
    try:
        places = [TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(fill.PARTITIONS)]
        wanted = sum(high - low for low, high in map(consumer.get_watermark_offsets, places))
        consumer.assign(places)
        while wanted > 0:
            for message in consumer.consume(5000, timeout=1.0):
                wanted -= 1
                yield message.partition(), message.offset(), message.timestamp()[1], message.value()
    finally:
        consumer.close()
