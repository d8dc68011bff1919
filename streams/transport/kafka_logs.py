"""Apache Kafka's logs outside every consumer group, by plain requests: no consumer that would have to be sought, paused and closed.

aiokafka's consumer without a group reads one assignment at a time and, stopped right after its start, raises `CancelledError` into
whoever stops it. Here any number of readings go on at once over one connection a broker.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError, OffsetOutOfRangeError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest
from mode import get_logger

from streams.transport.chunk import Chunk
from streams.transport.cutting import split_at
from streams.transport.log import Record
from streams.transport.record_batches import RecordBatchReader
from streams.transport.silence import SILENCE, ImpatientClient
from streams.transport.tail import Whole

logger = get_logger("faust.transport.kafka_logs")

READ_COMMITTED = 1
EARLIEST, LATEST = -2, -1
# Bytes a fetch may bring (a larger batch comes alone),
FETCH_BYTES = 4 << 20
# and the fewest that are asked for when so many do not come in time.
LEAST_BYTES = 64 << 10
# Of the limit, what one answer may take; then the connection is given up and another made. It may have died without a word.
ANSWER_SHARE = 0.7
# How often a tail that has reached the end looks again, in seconds: a fetch that waits would hold up the others on its connection.
TAIL_PAUSE = 0.2
# Between two attempts while a partition has no leader or a broker is away, in seconds, at first and at most.
BACKOFF, LONGEST_BACKOFF = 0.1, 2.0


class KafkaLogs:
    """A connection of its own; `async with` opens and closes it.

    Parameters
    ----------
    options
        Addresses and security (`security.client_options`).
    limit
        Seconds that an answer may take, whatever has to be tried again for it.
    """

    def __init__(self, options: Mapping[str, Any], limit: float = 20.0) -> None:
        self._options = dict(options)
        self._limit = limit
        self._client: Any = None
        self._bytes = FETCH_BYTES

    async def __aenter__(self) -> KafkaLogs:
        client = ImpatientClient(**self._options, request_timeout_ms=int(ANSWER_SHARE * self._limit * 1000))
        client.silence = min(SILENCE, ANSWER_SHARE * self._limit)
        try:
            await client.bootstrap()
        except BaseException:
            await client.close()
            raise
        self._client = client
        return self

    async def __aexit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        await self._client.close()

    async def begin(self, topic: str, partition: int) -> int:
        """The first offset that the log still holds."""
        return await self._offset(topic, partition, EARLIEST)

    async def end(self, topic: str, partition: int) -> int:
        """The offset after the last record that can be read now: below an open transaction."""
        return await self._offset(topic, partition, LATEST)

    async def read_to_end(self, topic: str, partition: int, start: int = 0) -> Whole:
        """The records from `start` (or from what is still held) to the end as it is when this is called.

        Raises
        ------
        TimeoutError
            A fetch was not answered in time.
        aiokafka.errors.KafkaError
            What cannot be helped by asking again.
        """
        begin, end = await asyncio.gather(self.begin(topic, partition), self.end(topic, partition))
        records: list[Record] = []
        offset = max(start, begin)
        while offset < end:
            try:
                found, offset = await self._records(topic, partition, offset)
            except OffsetOutOfRangeError:  # deleted while it was read
                begin = await self.begin(topic, partition)
                offset = max(offset, begin)
                continue
            records += [record for record in found if record.offset < end]
        return Whole(begin, end, records)

    async def chunks(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[Chunk]:
        """What the log holds of the offsets [start, end), in columns, as agents get it."""
        offset = start
        while offset < end:
            found, offset = await self._fetch(topic, partition, offset)
            for chunk in found:
                yield split_at(chunk, end)[0] if chunk.next > end else chunk
                if chunk.next >= end:
                    return

    async def tail(self, topic: str, partition: int = 0, start: int = 0) -> AsyncIterator[Record]:
        """The records from `start` on, and then for ever as they come; a broker that is away is waited for."""
        offset = start
        while True:
            try:
                try:
                    found, offset = await self._records(topic, partition, offset)
                except OffsetOutOfRangeError:
                    offset = await self.begin(topic, partition)
                    continue
            except (TimeoutError, KafkaConnectionError) as problem:
                logger.warning("Still trying to read %s/%d: %r", topic, partition, problem)
                continue
            for record in found:
                yield record
            if not found:
                await asyncio.sleep(TAIL_PAUSE)

    async def _offset(self, topic: str, partition: int, which: int) -> int:
        _, (_, offset) = await self._ask(topic, partition, OffsetRequest(-1, READ_COMMITTED, [(topic, [(partition, which)])]))
        return int(offset)

    async def _records(self, topic: str, partition: int, offset: int) -> tuple[list[Record], int]:
        chunks, following = await self._fetch(topic, partition, offset)
        return [record for chunk in chunks for record in _records(chunk)], following

    async def _fetch(self, topic: str, partition: int, offset: int) -> tuple[list[Chunk], int]:
        """What one fetch brings from `offset` on, and where the next one goes on."""
        many = self._bytes
        request = FetchRequest(0, 1, many, READ_COMMITTED, [(topic, [(partition, offset, many)])])
        try:
            version, (_, *data) = await self._ask(topic, partition, request)
        except TimeoutError:
            self._bytes = max(LEAST_BYTES, many // 4)  # a narrow line brings less in time
            raise
        self._bytes = min(FETCH_BYTES, max(self._bytes, 2 * many))
        aborted = data[2] if version >= 11 else data[-2]  # before: last stable offset[, log's begin]; behind: [replica,] records
        reader = RecordBatchReader(topic, partition, data[-1], offset, aborted=aborted or (), committed=True)
        return list(reader.chunks()), reader.next_offset

    async def _ask(self, topic: str, partition: int, request: Any) -> tuple[int, list[Any]]:
        """Ask the partition's leader, again as long as there is none or it does not answer; the version and what it says."""
        last: Any = None
        backoff, end = BACKOFF, time.monotonic() + self._limit
        while True:
            rest = end - time.monotonic()
            if rest <= 0.0:
                raise TimeoutError(f"{topic}/{partition}: no answer within {self._limit:g} s ({last!r})")
            try:
                async with asyncio.timeout(rest):
                    await self._client.add_topic(topic)
                    leader = self._client.cluster.leader_for_partition(TopicPartition(topic, partition))
                    if leader is None or leader == -1:
                        raise UnknownTopicOrPartitionError(f"{topic}/{partition} has no leader")
                    response = await self._client.send(leader, request)
            except TimeoutError:
                continue
            except KafkaError as problem:
                if not problem.retriable:
                    raise
                last = problem
            else:
                ((_, ((_, code, *data),)),) = response.topics
                if code == 0:
                    return int(response.API_VERSION), data
                last = for_code(code)(f"{topic}/{partition}")
                if not last.retriable:
                    raise last
            await asyncio.sleep(min(backoff, max(0.0, end - time.monotonic())))
            backoff = min(2 * backoff, LONGEST_BACKOFF)
            self._client.force_metadata_update()


def _records(chunk: Chunk) -> list[Record]:
    return [
        Record(chunk.topic, chunk.partition, offset, stamp, chunk.key(row), chunk.value(row), chunk.headers(row))
        for row, (offset, stamp) in enumerate(zip(chunk.offsets.tolist(), chunk.timestamps.tolist(), strict=True))
    ]
