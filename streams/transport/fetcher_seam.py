"""Where aiokafka's consumer hands over: chunks instead of records, for our source topics only.

aiokafka's fetcher turns a fetched partition into `MemoryRecords` and then `PartitionRecords`, two names of its module. A subclass
of each is put in their place; the second is chosen by topic, and topics that were not named get aiokafka's own. `getmany` then
returns chunks where it returned records, and the positions of the consumer are what they would be:

>>> from streams.transport import fetcher_seam
>>> fetcher_seam.install({"sensor.readings"})   # before the first fetch; again with the same or other topics whenever wanted
>>> fetcher_seam.uninstall()                    # for tests: aiokafka as it was

Three things to know. `max_records` of `getmany` counts chunks: leave it None. A fetch that ends with offsets that hold nothing
(a transaction's marker, an aborted transaction, a compacted tail) ends with a chunk without rows, so that the chunks of a
partition meet without a gap and `cutting.from_position` can tell a passed-over marker from a lost record. And a partition paused
between fetch and `getmany` loses its buffer, as always with aiokafka: it is fetched again.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

import aiokafka
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.record.memory_records import MemoryRecords

from streams.transport.chunk import Chunk
from streams.transport.record_batches import RecordBatchReader
from streams.transport.record_chunks import chunk_without_rows

_ARGUMENTS = [
    "tp",
    "records",
    "aborted_transactions",
    "fetch_offset",
    "key_deserializer",
    "value_deserializer",
    "check_crcs",
    "isolation_level",
]
_ATTRIBUTES = ("_tp", "_records", "_aborted_transactions", "_check_crcs", "_isolation_level", "next_fetch_offset")

_topics: set[str] = set()


class SeamChanged(Exception):
    """aiokafka's fetcher is not what the seam was made for; chunks of aiokafka's records are the way out."""


class KeptRecords(MemoryRecords):  # type: ignore[misc]  # aiokafka ships no types
    """aiokafka's, with the bytes kept. `has_next` stays its own: a buffer without a whole batch raises `RecordTooLargeError`."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data


class ChunkIterator(PartitionRecords):  # type: ignore[misc]  # aiokafka ships no types
    """An iterator over a fetch that yields chunks.

    All work is done in the iterator: an exception in a constructor here ends aiokafka's fetch task, and the consumer is deaf from
    then on, without an error. `next_fetch_offset` stays at the fetch's offset until the first step, since aiokafka compares it with
    the position before it begins.
    """

    next_fetch_offset: int

    def _unpack_records(self) -> Iterator[Chunk]:
        begin = self.next_fetch_offset
        reader = RecordBatchReader(
            self._tp.topic,
            self._tp.partition,
            self._records.data,
            begin,
            aborted=self._aborted_transactions,
            committed=self._isolation_level == fetcher.READ_COMMITTED,
            check_crcs=bool(self._check_crcs),
        )
        for chunk in reader.chunks():
            self.next_fetch_offset = reader.next_offset
            begin = chunk.next
            yield chunk
        self.next_fetch_offset = reader.next_offset
        if begin < reader.next_offset:
            yield chunk_without_rows(reader.topic, reader.partition, begin, reader.next_offset)


def _iterator(tp: Any, *rest: Any, **named: Any) -> Any:
    return (ChunkIterator if tp.topic in _topics else PartitionRecords)(tp, *rest, **named)


def install(topics: Iterable[str]) -> None:
    """Read these topics as chunks, in every consumer of this process, besides those named before.

    Raises
    ------
    SeamChanged
        The fetcher of the installed aiokafka looks otherwise than it did.
    """
    found = changes()
    if found:
        raise SeamChanged(
            f"aiokafka {aiokafka.__version__} is not what the reader of record batches was made for: {'; '.join(found)}. "
            "Install aiokafka 0.14, or let chunks be made of aiokafka's records"
        )
    _topics.update(topics)
    fetcher.MemoryRecords, fetcher.PartitionRecords = KeptRecords, _iterator


def uninstall() -> None:
    """Give aiokafka its own names back and forget all topics."""
    _topics.clear()
    fetcher.MemoryRecords, fetcher.PartitionRecords = MemoryRecords, PartitionRecords


def changes() -> list[str]:
    """What is otherwise in the installed aiokafka than the seam relies on, in words; empty if nothing is."""
    found = []
    arguments = list(inspect.signature(PartitionRecords.__init__).parameters)[1:]
    if arguments != _ARGUMENTS:
        found.append(f"PartitionRecords takes ({', '.join(arguments)})")
    set_up = inspect.getsource(PartitionRecords.__init__)
    found += [f"PartitionRecords has no {name}" for name in _ATTRIBUTES if f"self.{name} = " not in set_up]
    if "self._records_iterator = self._unpack_records()" not in set_up:
        found.append("PartitionRecords iterates over something else than _unpack_records")
    fetch = inspect.getsource(fetcher.Fetcher._proc_fetch_request)
    for line in ("records = MemoryRecords(part_data[-1])", "if records.has_next():", "partition_records = PartitionRecords("):
        if line not in fetch:
            found.append(f"the fetcher no longer says {line!r}")
    if "for msg in self._partition_records:" not in inspect.getsource(fetcher.FetchResult.getall):
        found.append("FetchResult no longer iterates over PartitionRecords")
    if "position != self._partition_records.next_fetch_offset" not in inspect.getsource(fetcher.FetchResult.check_assignment):
        found.append("FetchResult no longer compares its position with next_fetch_offset")
    if "consumed_to(self._partition_records.next_fetch_offset)" not in inspect.getsource(fetcher.FetchResult._update_position):
        found.append("FetchResult no longer takes the position from next_fetch_offset")
    return found
