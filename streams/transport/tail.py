"""Reading logs outside every consumer group: a partition to its end, or for ever.

So the inputs that a stream's partitions make together are read, and checkpoints, and cut logs. One `Logs` is opened once and asked
as often as one likes; `kafka_logs` has the one for Apache Kafka.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple, Protocol, TypeVar

from streams.transport.broker import Broker
from streams.transport.log import Record

T = TypeVar("T")
logger = logging.getLogger("streams.transport.tail")


class Whole(NamedTuple):
    """What a partition held: the first offset that can still be asked for, the offset after the last record, the records."""

    begin: int
    end: int
    records: list[Record]


class Logs(Protocol):
    """A broker's partitions, to be read. Every call ends within a time limit of the implementation, or raises."""

    async def begin(self, topic: str, partition: int) -> int:
        """The first offset that the log still holds."""

    async def end(self, topic: str, partition: int) -> int:
        """The offset after the last record that can be read now."""

    async def read_to_end(self, topic: str, partition: int, start: int = 0) -> Whole:
        """The records from `start` (or from what is still held) to the end as it is when this is called."""

    def tail(self, topic: str, partition: int = 0, start: int = 0) -> AsyncIterator[Record]:
        """The records from `start` on, and then for ever as they come; a broker that is away is waited for."""


class MemoryLogs:
    """The logs of an embedded broker."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker

    async def begin(self, topic: str, partition: int) -> int:
        return self.broker.begin_offset(topic, partition)

    async def end(self, topic: str, partition: int) -> int:
        return self.broker.end_offset(topic, partition)

    async def read_to_end(self, topic: str, partition: int, start: int = 0) -> Whole:
        begin, end = self.broker.begin_offset(topic, partition), self.broker.end_offset(topic, partition)
        records = [record for record in self.broker.read(topic, partition, max(start, begin)) if record.offset < end] if start < end else []
        return Whole(begin, end, records)

    async def tail(self, topic: str, partition: int = 0, start: int = 0) -> AsyncIterator[Record]:
        loop, offset = asyncio.get_running_loop(), start
        news = asyncio.Event()
        while True:
            news.clear()
            self.broker.wake_once([(topic, partition)], lambda: loop.call_soon_threadsafe(news.set))
            for record in self.broker.read(topic, partition, max(offset, self.broker.begin_offset(topic, partition))):
                offset = record.offset + 1
                yield record
            await news.wait()


class PatientLogs:
    """Others' logs, asked again for as long as nothing answers.

    For those who have time and whose end would be the worker's: a broker that is away for a while, or a machine that is busy with
    something else, must not end them.
    """

    def __init__(self, logs: Logs) -> None:
        self._logs = logs

    async def begin(self, topic: str, partition: int) -> int:
        return await _answered(lambda: self._logs.begin(topic, partition))

    async def end(self, topic: str, partition: int) -> int:
        return await _answered(lambda: self._logs.end(topic, partition))

    async def read_to_end(self, topic: str, partition: int, start: int = 0) -> Whole:
        return await _answered(lambda: self._logs.read_to_end(topic, partition, start))

    def tail(self, topic: str, partition: int = 0, start: int = 0) -> AsyncIterator[Record]:
        return self._logs.tail(topic, partition, start)


async def _answered(ask: Callable[[], Awaitable[T]]) -> T:
    while True:
        try:
            return await ask()
        except TimeoutError as silence:  # it took its time: no other pause is needed
            logger.warning("Asking again: %s", silence)


async def values(logs: Logs, topic: str) -> AsyncIterator[bytes]:
    """The values of the only partition of a topic, for ever."""
    async for record in logs.tail(topic):
        if record.value is not None:
            yield record.value
