"""What the benchmark reads: topics made and filled, by librdkafka, before anything is measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

PARTITIONS = 4
SENSORS = 250
# A little under what a Java or Python producer with 64 KiB batches puts into one.
LINGER_MS = 50
BATCH_BYTES = 64 << 10

Record = tuple[bytes, bytes]


def make_topic(address: str, name: str, partitions: int = PARTITIONS, **configs: str) -> None:
    from kafka import KafkaAdminClient

    client = KafkaAdminClient(bootstrap_servers=address)
    try:
        configs = {"retention.ms": "-1", **{key.replace("_", "."): value for key, value in configs.items()}}
        made = {name: {"num_partitions": partitions, "replication_factor": 1, "configs": configs}}
        client.create_topics(made, wait_for_metadata=True)
    finally:
        client.close()


def readings(messages: int) -> Iterator[Record]:
    """Readings of 60 bytes, keyed by sensor."""
    for n in range(messages):
        sensor = n % SENSORS
        value = b'{"sensor_id":"s%03d","at":%.3f,"value":%11.7f}' % (sensor, 1_700_000_000 + n / 1000, 100 + n * 7919 % 899_000 / 1007)
        yield b"s%03d" % sensor, value


def produce(address: str, topic: str, records: Iterable[Record], **settings: Any) -> int:
    """Send records, keyed as Kafka's own clients partition them; returns how many when all have been taken."""
    from confluent_kafka import Producer

    producer = Producer(
        {
            "bootstrap.servers": address,
            "partitioner": "murmur2_random",
            "linger.ms": LINGER_MS,
            "batch.size": BATCH_BYTES,
            "queue.buffering.max.messages": 100_000,
            **{name.replace("_", "."): value for name, value in settings.items()},
        }
    )
    sent = 0
    for key, value in records:
        while True:
            try:
                producer.produce(topic, value, key)
                break
            except BufferError:
                producer.poll(0.05)
        sent += 1
    if producer.flush(120):
        raise RuntimeError(f"{topic}: the broker did not take all records")
    return sent


def produce_one_by_one(address: str, topic: str, records: Iterable[Record]) -> int:
    """The same from a producer that does not linger: a record batch a record."""
    return produce(address, topic, records, linger_ms=0, batch_num_messages=1, max_in_flight=1000, acks=1)


def as_records(key: str, columns: Mapping[str, Iterable[Any]]) -> Iterator[Record]:
    """Columns of a simulator as JSON records keyed by one of them."""
    names = list(columns)
    encode = msgspec.json.Encoder().encode
    for values in zip(*columns.values(), strict=True):
        record = dict(zip(names, values, strict=True))
        yield record[key].encode(), encode(record)
