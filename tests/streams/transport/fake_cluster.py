"""aiokafka's own fetcher before a broker that is a dictionary of bytes: all of the consumer that the seam touches, without a network."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.structs import TopicPartition

OFFSET_OUT_OF_RANGE = 1


def split(log: bytes) -> list[bytes]:
    batches, at = [], 0
    while at < len(log):
        end = at + 12 + struct.unpack_from(">i", log, at + 8)[0]
        batches.append(log[at:end])
        at = end
    return batches


def end_of(batch: bytes) -> int:
    base, last = struct.unpack_from(">q", batch)[0], struct.unpack_from(">i", batch, 23)[0]
    return int(base + last + 1)


class Broker:
    """Answers fetches as a broker does: from the batch that holds the offset, and the last one cut off.

    Attributes
    ----------
    logs
        The bytes of each partition: whole batches.
    aborted
        The aborted transactions of each partition: producer id, first offset, the marker's offset.
    begins
        A log's start, where it is not 0.
    largest
        How many bytes a fetch brings.
    """

    def __init__(self, logs: dict[TopicPartition, bytes], largest: int = 1 << 20) -> None:
        self.logs = logs
        self.aborted: dict[TopicPartition, list[tuple[int, int, int]]] = {}
        self.begins: dict[TopicPartition, int] = {}
        self.largest = largest
        self.fetches = 0
        self._metadata_max_age_ms = 1_000_000
        self._loop = asyncio.get_running_loop()
        self.cluster = SimpleNamespace(leader_for_partition=lambda tp: 0, broker_metadata=lambda node: node)

    async def send(self, node: int, request: Any) -> Any:
        await asyncio.sleep(0.0005)
        self.fetches += 1
        topics = [
            (topic, [self._fetched(TopicPartition(topic, partition), offset) for partition, offset, _ in partitions])
            for topic, partitions in request.topics
        ]
        return SimpleNamespace(API_VERSION=11, topics=topics)

    def _fetched(self, tp: TopicPartition, offset: int) -> tuple[Any, ...]:
        if offset < self.begins.get(tp, 0):
            return tp.partition, OFFSET_OUT_OF_RANGE, -1, -1, -1, None, -1, b""
        data = b"".join(batch for batch in split(self.logs[tp]) if end_of(batch) > offset)[: self.largest]
        aborted = [(producer, first) for producer, first, end in self.aborted.get(tp, []) if end >= offset]
        return tp.partition, 0, 10_000, 10_000, 0, aborted, -1, data


class Reader:
    """A consumer's fetcher and its subscription."""

    def __init__(self, broker: Broker, **settings: Any) -> None:
        self.tps = list(broker.logs)
        self.subscription = SubscriptionState()
        self.subscription.assign_from_user(self.tps)
        for tp in self.tps:
            self.subscription.seek(tp, 0)
        self.fetcher = Fetcher(broker, self.subscription, fetcher_timeout=0.01, auto_offset_reset="none", **settings)

    async def getmany(self, timeout: float = 0.1) -> dict[TopicPartition, list[Any]]:
        found = await self.fetcher.fetched_records([], timeout)
        return dict(found)

    def position(self, tp: TopicPartition) -> int:
        return int(self.subscription.subscription.assignment.state_value(tp).position)

    @property
    def deaf(self) -> bool:
        return bool(self.fetcher._fetch_task.done())


@asynccontextmanager
async def reading(broker: Broker, **settings: Any) -> AsyncIterator[Reader]:
    reader = Reader(broker, **settings)
    try:
        yield reader
    finally:
        await reader.fetcher.close()
