"""Reading logs outside every group, on both brokers the same."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer

from streams.transport.broker import Broker
from streams.transport.kafka_logs import KafkaLogs
from streams.transport.tail import MemoryLogs, values
from tests.kafka.test_member import delete_before
from tests.streams.apps import embedded


def logs_of(kafka, **settings):
    return KafkaLogs({"bootstrap_servers": kafka}, **settings)


class MemorySide:
    def __init__(self, broker: Broker) -> None:
        self.broker, self.topic = broker, "topic"

    async def produce(self, value, key=b"k"):
        self.broker.produce("topic", key, value, [("name", b"1")], partition=1)

    async def delete_before(self, offset):
        self.broker._log("topic", 1).delete_before(offset)


class KafkaSide:
    def __init__(self, producer, topic, admin):
        self.producer, self.topic, self.admin = producer, topic, admin

    async def produce(self, value, key=b"k"):
        await self.producer.send_and_wait(self.topic, value, key=key, headers=[("name", b"1")], partition=1)

    async def delete_before(self, offset):
        await asyncio.to_thread(delete_before, self.admin, self.topic, 1, offset)


@pytest.fixture(params=["memory", "kafka"])
def broker_and_logs(request):
    @asynccontextmanager
    async def opened():
        if request.param == "memory":
            with embedded(topic=2) as broker:
                yield MemorySide(broker), MemoryLogs(broker)
            return
        kafka, topic = request.getfixturevalue("kafka"), request.getfixturevalue("topic")
        producer = AIOKafkaProducer(bootstrap_servers=kafka)
        await producer.start()
        try:
            async with logs_of(kafka) as logs:
                yield KafkaSide(producer, topic, request.getfixturevalue("admin")), logs
        finally:
            await producer.stop()

    # Fixtures are made outside the loop.
    if request.param == "kafka":
        for name in ("kafka", "topic", "admin"):
            request.getfixturevalue(name)
    return opened


def test_a_partition_is_read_to_its_end(broker_and_logs):
    async def go():
        async with broker_and_logs() as (side, logs):
            assert await logs.read_to_end(side.topic, 1) == (0, 0, [])
            for n in range(50):
                await side.produce(b"%d" % n if n % 7 else None)
            whole = await logs.read_to_end(side.topic, 1)
            assert (whole.begin, whole.end) == (0, 50)
            assert [record.offset for record in whole.records] == list(range(50))
            assert [record.value for record in whole.records] == [b"%d" % n if n % 7 else None for n in range(50)]
            assert {(record.key, tuple(record.headers)) for record in whole.records} == {(b"k", (("name", b"1"),))}
            assert [record.offset for record in (await logs.read_to_end(side.topic, 1, 45)).records] == list(range(45, 50))
            assert (await logs.read_to_end(side.topic, 1, 50)).records == []
            assert (await logs.read_to_end(side.topic, 0)).end == 0
            await side.delete_before(20)
            whole = await logs.read_to_end(side.topic, 1, 10)
            assert (whole.begin, whole.end, whole.records[0].offset) == (20, 50, 20)
            assert (await logs.begin(side.topic, 1), await logs.end(side.topic, 1)) == (20, 50)

    asyncio.run(go())


def test_a_tail_goes_on_as_records_come(broker_and_logs):
    async def go():
        async with broker_and_logs() as (side, logs):
            await side.produce(b"before")
            seen = []

            async def follow(start):
                async for record in logs.tail(side.topic, 1, start):
                    seen.append((start, record.value))  # noqa: PERF401  # it has no end

            tails = [asyncio.ensure_future(follow(start)) for start in (0, 1)]
            await asyncio.sleep(0.1)
            await side.produce(b"after")
            async with asyncio.timeout(5):
                while len(seen) < 3:
                    await asyncio.sleep(0.01)
            for tail in tails:
                tail.cancel()
            assert sorted(seen) == [(0, b"after"), (0, b"before"), (1, b"after")]

    asyncio.run(go())


def test_only_committed_records_are_read_and_values_have_no_nulls(kafka, topic):
    async def go():
        producer = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=topic)
        await producer.start()
        async with logs_of(kafka) as logs:
            for number in range(3):
                await producer.begin_transaction()
                await producer.send_and_wait(topic, b"%d" % number, partition=0)
                if number == 2:
                    open_still = await logs.read_to_end(topic, 0)
                await (producer.abort_transaction() if number == 1 else producer.commit_transaction())
            await producer.stop()
            assert [record.value for record in open_still.records] == [b"0"]
            read = []
            async for value in values(logs, topic):
                read.append(value)
                if len(read) == 2:
                    break
            assert read == [b"0", b"2"]

    asyncio.run(go())


def test_a_topic_that_is_not_there_and_a_broker_that_is_away_are_errors_in_time(own_kafka):
    async def go():
        async with logs_of(own_kafka.address, limit=1.0) as logs:
            with pytest.raises(TimeoutError, match=r"nowhere/0: no answer within 1 s \(UnknownTopicOrPartitionError"):
                await logs.end("nowhere", 0)
            await asyncio.to_thread(own_kafka.kill)
            with pytest.raises((TimeoutError, OSError)):
                await logs.end("nowhere", 0)

    asyncio.run(go())
