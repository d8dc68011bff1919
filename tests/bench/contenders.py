"""One contender, in a process of its own: reads a topic with every value decoded, and says how long that took.

``python -m tests.bench.contenders NAME '{"address": …, "topic": …, "messages": …, "cores": […]}'`` prints one line of JSON.
The clock starts when a tenth has come, and the topic holds more than is read: client and broker have as much under way at the end
as they had at the beginning.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tests.bench.machine import pin
from tests.bench.sampling import Sampler

PARTITIONS = 4


class Reading(msgspec.Struct, gc=False):
    """A reading as every contender with a typed decoder decodes it."""

    sensor_id: str
    at: float
    value: float


decode = msgspec.json.Decoder(Reading).decode
decode_list = msgspec.json.Decoder(list[Reading]).decode


def of_chunks() -> Callable[[Any], list[Reading]]:
    """How `streams.records` decodes a chunk's values: together where each is one whole object, else one by one."""
    from streams.decoding import joined  # nothing of ours is imported where others are measured

    joined.warm()

    def decoded(chunk: Any) -> list[Reading]:
        together = joined.as_list(chunk)
        return [decode(value) for value in chunk.values()] if together is None else decode_list(together)

    return decoded


class Meter:
    """Counts so many messages after a first tenth; then ends the process, with its result."""

    def __init__(self, messages: int, sampler: Sampler | None = None) -> None:
        self._messages = messages
        self._sampler = sampler
        self._count = 0
        self._first: int | None = None
        self._began = (0.0, 0.0)

    def add(self, records: int) -> None:
        self._count += records
        if self._first is None:
            if self._count < self._messages // 10:
                return
            self._first, self._began = self._count, (time.perf_counter(), time.process_time())
            if self._sampler is not None:
                self._sampler.start()
        elif self._count >= self._first + self._messages:
            wall, cpu = time.perf_counter() - self._began[0], time.process_time() - self._began[1]
            counted = self._count - self._first
            answer = {"rate": counted / wall, "per_cpu_second": counted / cpu, "messages": counted, "seconds": wall}
            if self._sampler is not None:
                answer["profile"] = self._sampler.shares()
            print(json.dumps(answer), flush=True)
            os._exit(0)  # what the contender does to leave is not measured


def name() -> str:
    return f"bench-{uuid.uuid4().hex[:8]}"


def stock_faust(address: str, topic: str, meter: Meter) -> None:
    """An agent on an ordinary topic of JSON."""
    import faust

    folder = Path(tempfile.gettempdir()) / "nilometer-bench"  # Faust makes a folder, even without tables
    app = faust.App(name(), broker=f"kafka://{address}", store="memory://", datadir=folder, web_enabled=False, topic_disable_leader=True)

    @app.agent(app.topic(topic, key_serializer="raw", value_serializer="json"))
    async def read(stream: Any) -> None:
        async for _ in stream:
            meter.add(1)

    async def go() -> None:
        await app.start()
        await asyncio.Event().wait()

    asyncio.run(go())


def quix(address: str, topic: str, meter: Meter) -> None:
    """A dataframe that passes decoded JSON through."""
    from quixstreams import Application

    app = Application(broker_address=address, consumer_group=name(), auto_offset_reset="earliest", loglevel="ERROR")
    frame = app.dataframe(app.topic(topic, value_deserializer="json"))
    frame.update(lambda value: meter.add(1))
    app.run()


def getmany(address: str, topic: str, meter: Meter, seam: bool = False) -> None:
    """aiokafka's own consumer; with our reader in its fetcher it is the floor."""
    from aiokafka import AIOKafkaConsumer, TopicPartition

    if seam:
        from streams.transport import fetcher_seam, record_batches

        record_batches.warm()
        decoded = of_chunks()
        fetcher_seam.install({topic})

    async def go() -> None:
        consumer = AIOKafkaConsumer(bootstrap_servers=address, enable_auto_commit=False, auto_offset_reset="earliest")
        consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
        await consumer.start()
        while True:
            for fetched in (await consumer.getmany(timeout_ms=1000)).values():
                if seam:
                    for chunk in fetched:
                        meter.add(len(decoded(chunk)))
                else:
                    meter.add(len([decode(record.value) for record in fetched]))

    asyncio.run(go())


def floor(address: str, topic: str, meter: Meter) -> None:
    getmany(address, topic, meter, seam=True)


def confluent(address: str, topic: str, meter: Meter) -> None:
    """librdkafka, 5,000 messages a call."""
    from confluent_kafka import Consumer

    consumer = Consumer({"bootstrap.servers": address, "group.id": name(), "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.subscribe([topic])
    while True:
        found = consumer.consume(5000, timeout=1.0)
        if found:
            meter.add(len([decode(message.value()) for message in found]))


def ours(address: str, topic: str, meter: Meter, record_batches: bool = True) -> None:
    """A Faust agent whose topic comes in chunks, every value decoded."""
    from streams.engine import create_app, run
    from streams.transport.kafka import url

    decoded = of_chunks()
    app = create_app(name=name(), broker_url=url(address))
    app.chunks.record_batches = record_batches

    async def read(stream: Any) -> None:
        async for chunk in stream:
            meter.add(len(decoded(chunk)))

    app.agent(app.chunked_topic(topic), isolated_partitions=True)(read)
    asyncio.run(run(app, asyncio.Event().wait()))


def ours_records(address: str, topic: str, meter: Meter) -> None:
    """The same with chunks made of aiokafka's records (`kafka.fetch = "records"`)."""
    ours(address, topic, meter, record_batches=False)


CONTENDERS: dict[str, Callable[[str, str, Meter], None]] = {
    "stock Faust": stock_faust,
    "Quix Streams": quix,
    "aiokafka getmany": getmany,
    "confluent-kafka": confluent,
    "ours": ours,
    "ours, records mode": ours_records,
    "floor": floor,
}


def main() -> None:
    contender, settings = sys.argv[1], json.loads(sys.argv[2])
    pin(tuple(settings["cores"]))
    meter = Meter(settings["messages"], Sampler() if settings.get("profile") else None)
    CONTENDERS[contender](settings["address"], settings["topic"], meter)


if __name__ == "__main__":
    main()
