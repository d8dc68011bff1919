"""Records whose order is relied upon: when a batch is not taken, nothing that comes after it is sent."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaTimeoutError
from aiokafka.producer.message_accumulator import BatchBuilder

from streams.transport.kafka import Producer


def test_what_comes_after_a_batch_that_was_not_taken_is_not_sent():
    async def go():
        taken = []

        async def partitions_for(topic):
            return {0}

        async def send_batch(batch, topic, *, partition):
            future = asyncio.get_running_loop().create_future()
            taken.append(batch.record_count())
            assert batch.closed(), "the producer would hold it back for more"
            if len(taken) == 2:
                future.set_exception(KafkaTimeoutError())
            else:
                future.set_result(None)
            return future

        def create_batch():
            return BatchBuilder(500, 0, is_transactional=False, key_serializer=None, value_serializer=None)

        client = SimpleNamespace(partitions_for=partitions_for, send_batch=send_batch, create_batch=create_batch)
        producer = SimpleNamespace(_ensure_producer=lambda: client)
        with pytest.raises(KafkaTimeoutError):
            await Producer.deliver(producer, "employee.postings", [(b"e", b"%d" % n, [("from", b"here")]) for n in range(100)])
        return taken

    taken = asyncio.run(go())

    assert len(taken) == 2
    assert sum(taken) < 100
