"""What agents get from Apache Kafka: chunks with the very records that aiokafka's own consumer reads."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from faust.types import TP

from streams.engine import run
from streams.transport.kafka import url
from tests.streams.apps import Reader, until

FETCH = ["records", "record_batches"]


async def by_aiokafka(kafka, topic, partition, isolation_level="read_committed"):
    """Every record of a partition, by aiokafka's own consumer."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka, auto_offset_reset="earliest", isolation_level=isolation_level, enable_auto_commit=False
    )
    tp = TopicPartition(topic, partition)
    consumer.assign([tp])
    await consumer.start()
    try:
        end = (await consumer.end_offsets([tp]))[tp]
        records = []
        while await consumer.position(tp) < end:
            records += (await consumer.getmany(tp, timeout_ms=500)).get(tp, [])
        return records, end
    finally:
        await consumer.stop()


def rows_of(chunks):
    """The chunks' rows as aiokafka's records would show them; checks that the chunks join without a gap."""
    rows = []
    for before, chunk in zip([None, *chunks], chunks, strict=False):
        assert before is None or chunk.first == before.next
        assert chunk.buffer.flags.writeable
        assert chunk.offsets.dtype == chunk.timestamps.dtype == chunk.key_from.dtype == np.int64
        for row in range(len(chunk)):
            headers = tuple((name, value) for name, value in chunk.headers(row))
            rows.append((int(chunk.offsets[row]), int(chunk.timestamps[row]), chunk.key(row), chunk.value(row), headers))
    return rows


async def read_whole(kafka, topic, fetch, name, isolation_level="read_committed"):
    """Read a topic through a Faust agent until all of it has come; held against aiokafka's own reading of it."""
    reader = Reader(url(kafka), topic, name, limits=None)
    reader.app.chunks.record_batches = fetch == "record_batches"
    reader.app.chunks.isolation_level = isolation_level
    expected = {partition: await by_aiokafka(kafka, topic, partition, isolation_level) for partition in range(2)}

    def complete():
        last = {p: records[-1].offset for p, (records, _) in expected.items() if records}
        return all(reader.next.get(TP(topic, p), 0) > offset for p, offset in last.items())

    await run(reader.app, until(complete, 20.0))
    for partition, (records, _) in expected.items():
        computed = rows_of([chunk for chunk in reader.chunks if chunk.partition == partition])
        assert computed == [(r.offset, r.timestamp, r.key, r.value, r.headers) for r in records]
    return reader


async def produced(kafka, topic, records, **settings):
    producer = AIOKafkaProducer(bootstrap_servers=kafka, linger_ms=5, **settings)
    await producer.start()
    try:
        sent = [
            await producer.send(topic, value, key=key, partition=number % 2, headers=headers, timestamp_ms=1_700_000_000_000 + number)
            for number, (key, value, headers) in enumerate(records)
        ]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


@pytest.mark.parametrize("fetch", FETCH)
@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
def test_chunks_hold_the_records_that_aiokafka_reads(kafka, topic, codec, fetch):
    async def go():
        records = [(b"k%d" % (n % 7), b'{"value": %d, "more": "%s"}' % (n, b"x" * (n % 50)), []) for n in range(2_000)]
        await produced(kafka, topic, records, compression_type=codec)
        reader = await read_whole(kafka, topic, fetch, topic)
        assert sum(map(len, reader.chunks)) == 2_000

    asyncio.run(go())


@pytest.mark.parametrize("fetch", FETCH)
def test_null_and_empty_keys_and_values_and_headers_come_as_they_are(kafka, topic, fetch):
    async def go():
        parts = [None, b"", b"x", b"a longer one"]
        records = [(key, value, []) for key in parts for value in parts if (key, value) != (None, None)]
        records += [(b"k", b"v", [("origin", b"1"), ("empty", b""), ("origin", b"2")])] * 3
        await produced(kafka, topic, records)
        await read_whole(kafka, topic, fetch, topic)

    asyncio.run(go())


@pytest.mark.parametrize("fetch", FETCH)
@pytest.mark.parametrize("isolation_level", ["read_committed", "read_uncommitted"])
def test_records_of_transactions_come_when_they_are_committed(kafka, topic, fetch, isolation_level):
    async def go():
        producer = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=topic)
        await producer.start()
        try:
            for number in range(6):
                await producer.begin_transaction()
                for each in range(20):
                    await producer.send(topic, b"%d-%d" % (number, each), partition=each % 2)
                await (producer.abort_transaction() if number % 3 == 1 else producer.commit_transaction())
        finally:
            await producer.stop()
        await produced(kafka, topic, [(None, b"last", [])] * 2)
        reader = await read_whole(kafka, topic, fetch, topic, isolation_level)
        values = reader.values()
        assert (b"1-0" in values) == (isolation_level == "read_uncommitted")
        assert {b"0-0", b"2-0", b"5-19", b"last"} <= set(values)

    asyncio.run(go())
