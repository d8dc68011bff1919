"""Fetched bytes as chunks: Kafka's record batches read as columns, without an object a record.

A reader treats batches as aiokafka's `PartitionRecords` does: control batches are never shown; with `committed`, neither are
records of aborted transactions; a first batch that begins before the wanted offset is trimmed; a batch that is cut off at the end
of the fetch is left to the next; `next_offset` also moves over what is passed over, and never back. Three things differ. Offsets
of one chunk come from many batches. What lies before a corrupt batch is delivered: the error is raised only once nothing is. And
a fetch inflates no more than `INFLATED_BUDGET`, one batch no more than `codecs.LARGEST_BATCH`; the rest is fetched again.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException, KafkaError
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from numpy.typing import NDArray

from streams.transport import batch_scan as scan
from streams.transport.chunk import Chunk, no_headers
from streams.transport.codecs import LARGEST_BATCH, Inflater
from streams.transport.record_chunks import chunk_of_records
from streams.transport.record_headers import headers_on_demand

# 600 ordinary zstd batches of 900 kB fit into one fetch of 1 MiB.
INFLATED_BUDGET = 16 << 20
# Compressed batches are inflated into one block until it holds so much: a producer that does not linger compresses record by record.
JOINED = 1 << 20
# No producer gathers so many records into one compressed batch; their index takes 56 bytes each.
MOST_RECORDS = 1 << 20

_LENGTH = struct.Struct(">i")


class RecordBatchReader:
    """Reads one fetch of one partition.

    Parameters
    ----------
    topic, partition
        Where the bytes come from.
    data
        What the broker sent: batches, the last one usually cut off.
    fetch_offset
        The first offset that is wanted.
    aborted
        Producer id and first offset of the aborted transactions, as the broker lists them.
    committed
        Whether records of aborted transactions are passed over (isolation level read_committed).
    check_crcs
        Whether checksums are held against the bytes.
    budget, largest
        How many bytes a fetch and a batch may inflate to.

    Attributes
    ----------
    next_offset
        The offset that the next fetch begins at: what lies below has been handed out or passed over.
    """

    def __init__(
        self,
        topic: str,
        partition: int,
        data: bytes,
        fetch_offset: int,
        *,
        aborted: Iterable[tuple[int, int]] = (),
        committed: bool = False,
        check_crcs: bool = True,
        budget: int = INFLATED_BUDGET,
        largest: int = LARGEST_BATCH,
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.next_offset = fetch_offset
        self._data = data
        self._fetch_offset = fetch_offset
        self._handed_out = fetch_offset  # the end of the chunk before
        self._aborted = sorted(aborted, key=lambda transaction: transaction[1])
        self._committed = committed
        self._check_crcs = check_crcs
        self._budget = budget
        self._inflater = Inflater(largest)

    def chunks(self) -> Iterator[Chunk]:
        """The fetch's records, in offset order; no chunk is empty, and each begins where the one before it ends.

        `next_offset` stands at a chunk's end, or above it, when the chunk is handed out.

        Raises
        ------
        CorruptRecordException
            The first bytes that matter are no batch. Behind a good batch the iterator just ends: the next fetch begins with the bad one.
        UnsupportedCodecError
            Likewise, for a codec that is none of Kafka's.
        """
        try:
            yield from self._chunks()
        except KafkaError:
            if self.next_offset == self._fetch_offset:
                raise

    def _chunks(self) -> Iterator[Chunk]:
        # A copy is writable, as the kernels' one signature wants it, and takes 25 µs a MiB.
        rest = np.frombuffer(bytearray(self._data), np.uint8)
        transactions = np.array([(producer, offset, scan.AHEAD) for producer, offset in self._aborted], np.int64).reshape(-1, 3)
        begin = 0
        while True:
            code, at, following, rows, index, listed, compressed, headers = scan.walk(rest, self._check_crcs, self._committed, transactions)
            if listed:
                yield from self._inflated(memoryview(self._data)[begin:], compressed[:listed].tolist())
                if self._budget <= 0:
                    return
            else:
                yield from self._chunk(rest[:at], index[:, :rows], following, headers)
            if code == scan.END:
                return
            if code == scan.CORRUPT:
                raise CorruptRecordException(f"{self}: no whole and sound record batch at byte {begin + at:,} of {len(self._data):,}")
            if code == scan.OLD:
                at = yield from self._old(rest, begin, at)
                if self._budget <= 0:
                    return
            rest, begin = rest[at:], begin + at

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition} at offset {self.next_offset}"

    def _chunk(self, buffer: NDArray[np.uint8], index: NDArray[np.int64], following: int, headers: bool) -> Iterator[Chunk]:
        """The rows that are wanted still, as a chunk; the position moves even if there are none."""
        known = int(np.searchsorted(index[scan.OFFSET], self.next_offset))
        self.next_offset = max(self.next_offset, following)
        if known == index.shape[1]:
            return
        if known:
            buffer, index = _trimmed(buffer, index, known)
        first, self._handed_out = self._handed_out, self.next_offset
        yield Chunk(
            self.topic,
            self.partition,
            first,
            self.next_offset,
            index[scan.OFFSET],
            index[scan.TIMESTAMP],
            buffer,
            index[scan.KEY_FROM],
            index[scan.KEY_TO],
            index[scan.VALUE_FROM],
            index[scan.VALUE_TO],
            headers=headers_on_demand(buffer, index[scan.HEADERS]) if headers else no_headers,
        )

    def _inflated(self, rest: memoryview, compressed: Sequence[Sequence[int]]) -> Iterator[Chunk]:
        """Compressed batches, made plain and joined; ends early when the budget is spent."""
        joined, behind = bytearray(), -1
        for at, end, following, codec, count in compressed:
            try:
                if count > MOST_RECORDS:
                    raise CorruptRecordException(f"{self}: {count:,} records in a compressed batch: refused as a bomb")
                block = self._inflater.inflate(codec, rest[at + scan.HEADER : end])
            except KafkaError:
                yield from self._plain(joined, behind)
                raise
            header, size = len(joined), len(block)
            joined += rest[at : at + scan.HEADER]
            joined += block
            _LENGTH.pack_into(joined, header + 8, scan.HEADER - scan.LOG_OVERHEAD + size)
            joined[header + scan.ATTRIBUTES_AT + 1] &= scan.LOG_APPEND_TIME
            behind = following
            self._budget -= size
            if self._budget <= 0:
                break
            if len(joined) >= JOINED:
                yield from self._plain(joined, behind)
                joined = bytearray()
        yield from self._plain(joined, behind)

    def _plain(self, joined: bytearray, behind: int) -> Iterator[Chunk]:
        """Batches whose checksums and transactions have been seen to, and the offset behind them and what follows them."""
        rest = np.frombuffer(joined or bytearray(1), np.uint8)[: len(joined)]
        while len(rest):
            code, at, following, rows, index, _, _, headers = scan.walk(rest, False, False, np.empty((0, 3), np.int64))
            yield from self._chunk(rest[:at], index[:, :rows], max(following, behind) if at == len(rest) else following, headers)
            if code == scan.CORRUPT:
                raise CorruptRecordException(f"{self}: the records of a compressed batch are not sound")
            rest = rest[at:]

    def _old(self, rest: NDArray[np.uint8], begin: int, at: int) -> Generator[Chunk, None, int]:
        """Messages in formats v0 and v1, by aiokafka's own iterator; returns the place behind them."""
        end = _end_of_old(rest, at)
        message = memoryview(self._data)[begin + at : begin + end]
        if message[scan.MAGIC_AT + 1] & scan.CODEC:
            self._budget -= self._inflated_size(message)
        iterator = PartitionRecords(
            TopicPartition(self.topic, self.partition),
            MemoryRecords(bytes(message)),
            None,
            self.next_offset,
            None,
            None,
            self._check_crcs,
            READ_COMMITTED if self._committed else READ_UNCOMMITTED,
        )
        records, problem = _taken(iterator)
        records = [record for record in records if record.offset >= self.next_offset]  # its position can go back
        self.next_offset = max(self.next_offset, iterator.next_fetch_offset)
        if records:
            first, self._handed_out = self._handed_out, self.next_offset
            yield chunk_of_records(self.topic, self.partition, first, self.next_offset, records)
        if problem is not None:
            raise CorruptRecordException(f"{self}: {problem}") from problem
        return end

    def _inflated_size(self, message: memoryview) -> int:
        """How much a compressed message of an old format holds, found within bounds: aiokafka's iterator has none."""
        key_at = scan.MAGIC_AT + 2 + (8 if message[scan.MAGIC_AT] else 0)
        key = int.from_bytes(message[key_at : key_at + 4], "big", signed=True)
        value_at = key_at + 8 + max(key, 0)
        return len(self._inflater.inflate(message[scan.MAGIC_AT + 1] & scan.CODEC, message[value_at:]))


def warm() -> None:
    """Compile the kernels, or load them from their cache, before the group is joined: 4 s, or 0.3 s, most of which is numba waking up."""
    scan.walk(np.zeros(1, np.uint8), True, False, np.empty((0, 3), np.int64))


def _trimmed(buffer: NDArray[np.uint8], index: NDArray[np.int64], known: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Buffer and index without the first rows; copied where that frees half of them or more."""
    if 2 * known < index.shape[1]:
        return buffer, index[:, known:]
    index = index[:, known:].copy()
    places = index[scan.KEY_FROM :]
    low = int(places.min(initial=len(buffer), where=places >= 0))
    places[places >= 0] -= low
    return buffer[low:].copy(), index


def _end_of_old(rest: NDArray[np.uint8], at: int) -> int:
    """The end of the old message at `at`, and of those behind it as far as they are of its format; a compressed one stands alone."""
    magic, alone = rest[at + scan.MAGIC_AT], bool(rest[at + scan.MAGIC_AT + 1] & scan.CODEC)
    end = at
    while len(rest) - end > scan.MAGIC_AT + 1 and rest[end + scan.MAGIC_AT] == magic:
        length = int.from_bytes(rest[end + 8 : end + 12].tobytes(), "big", signed=True)
        compressed = bool(rest[end + scan.MAGIC_AT + 1] & scan.CODEC)
        if length < scan.LEAST_OLD or end + scan.LOG_OVERHEAD + length > len(rest) or (compressed and end > at):
            break
        end += scan.LOG_OVERHEAD + length
        if alone:
            break
    return end


def _taken(iterator: Iterator[Any]) -> tuple[list[Any], Exception | None]:
    """What aiokafka's iterator gives, and what ends it early: on corrupt bytes nearly anything."""
    records: list[Any] = []
    try:
        records.extend(iterator)
    except Exception as problem:
        return records, problem
    return records, None
