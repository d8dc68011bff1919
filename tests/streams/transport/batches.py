"""Record batches made by hand, byte by byte, and by aiokafka; and what aiokafka's own reader makes of them: the oracle."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import codec as aiokafkas
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

from streams.transport.chunk import Chunk
from streams.transport.record_batches import RecordBatchReader

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
PACKED = {
    0: bytes,
    1: aiokafkas.gzip_encode,
    2: aiokafkas.snappy_encode,
    3: aiokafkas.lz4_encode,
    4: aiokafkas.zstd_encode,
}
HEADER = struct.Struct(">qiibIhiqqqhii")
LOG_APPEND, TRANSACTIONAL, CONTROL = 0x08, 0x10, 0x20
COMMIT, ABORT = struct.pack(">hh", 0, 1), struct.pack(">hh", 0, 0)

Shown = tuple[int, int, bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]]

aiokafkas_iterator = fetcher.PartitionRecords


@dataclass
class Record:
    """A record of a batch: deltas to the batch's base offset and first timestamp."""

    delta: int
    key: bytes | None = b"k"
    value: bytes | None = b"v"
    time: int = 0
    headers: Sequence[tuple[bytes, bytes | None]] = ()


def varint(value: int) -> bytes:
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value > 127:
        out.append(128 | value & 127)
        value >>= 7
    return bytes([*out, value])


def content(part: bytes | None) -> bytes:
    return varint(-1) if part is None else varint(len(part)) + part


def encoded(record: Record) -> bytes:
    body = b"\0" + varint(record.time) + varint(record.delta) + content(record.key) + content(record.value) + varint(len(record.headers))
    body += b"".join(content(name) + content(value) for name, value in record.headers)
    return varint(len(body)) + body


def batch(
    records: Iterable[Record],
    base: int = 0,
    *,
    codec: int = 0,
    attributes: int = 0,
    producer: int = -1,
    first_timestamp: int = 1000,
    max_timestamp: int = 5000,
    last_delta: int | None = None,
    count: int | None = None,
) -> bytes:
    """A batch in format v2. `last_delta` and `count` say otherwise than the records do."""
    records = list(records)
    payload = b"".join(map(encoded, records))
    last = last_delta if last_delta is not None else max((record.delta for record in records), default=0)
    return sealed(
        payload, base, codec, attributes, producer, first_timestamp, max_timestamp, last, len(records) if count is None else count
    )


def sealed(
    payload: bytes,
    base: int = 0,
    codec: int = 0,
    attributes: int = 0,
    producer: int = -1,
    first_timestamp: int = 1000,
    max_timestamp: int = 5000,
    last_delta: int = 0,
    count: int = 1,
) -> bytes:
    """A batch around uncompressed records, whatever they are, with a right checksum."""
    return with_crc(
        HEADER.pack(
            base, 0, -1, 2, 0, attributes | codec, last_delta, first_timestamp, max_timestamp, producer, 0, -1, count
        )
        + PACKED[codec](payload)
    )  # fmt: skip


def with_crc(content: bytes) -> bytes:
    """The batch with its length and checksum put right."""
    whole = bytearray(content)
    struct.pack_into(">i", whole, 8, len(whole) - 12)
    struct.pack_into(">I", whole, 17, calc_crc32c(bytes(whole[21:])))
    return bytes(whole)


def built(records: Iterable[tuple[Any, ...]], base: int = 0, *, codec: int = 0, transactional: bool = False, producer: int = -1) -> bytes:
    """A batch by aiokafka's builder: (timestamp, key, value, headers) at consecutive offsets from `base`."""
    builder = DefaultRecordBatchBuilder(2, codec, int(transactional), producer, 0, 0, 1 << 30)
    for offset, (timestamp, key, value, headers) in enumerate(records):
        builder.append(offset, timestamp, key, value, list(headers))
    whole = builder.build()
    struct.pack_into(">q", whole, 0, base)  # the broker's doing; no part of the checksum
    return bytes(whole)


def marker(base: int, producer: int, kind: bytes) -> bytes:
    """The control batch that ends a transaction."""
    return batch([Record(0, key=kind, value=b"\0\0\0\0\0\0")], base, attributes=CONTROL | TRANSACTIONAL, producer=producer)


def rows(chunk: Chunk) -> list[Shown]:
    return [
        (int(chunk.offsets[row]), int(chunk.timestamps[row]), chunk.key(row), chunk.value(row), tuple(chunk.headers(row)))
        for row in range(len(chunk))
    ]


def read(data: bytes, offset: int = 0, **settings: Any) -> tuple[list[Shown], int]:
    """What our reader makes of a fetch, and where the next one begins; checks what every chunk must keep."""
    reader = RecordBatchReader("source", 3, data, offset, **settings)
    shown: list[Shown] = []
    end = offset
    for chunk in reader.chunks():
        assert len(chunk), "an empty chunk"
        assert chunk.first == end, "chunks that do not meet"
        assert chunk.first <= chunk.offsets[0]
        assert chunk.offsets[-1] < chunk.next
        assert chunk.next == reader.next_offset
        assert chunk.buffer.flags.writeable
        assert chunk.buffer.flags.c_contiguous
        assert all(part.flags.c_contiguous for part in (chunk.offsets, chunk.timestamps, chunk.key_from, chunk.value_to))
        assert list(chunk.values()) == [chunk.value(row) for row in range(len(chunk))]
        end = chunk.next
        shown += rows(chunk)
    return shown, reader.next_offset


def aiokafka_reads(
    data: bytes, offset: int = 0, *, aborted: Sequence[tuple[int, int]] = (), committed: bool = False
) -> tuple[list[Shown], int]:
    """The same by aiokafka's own iterator, record by record; but not below `offset`.

    aiokafka's position goes back at a batch that lies below it, and it then shows what was not asked for.
    """
    iterator = aiokafkas_iterator(TopicPartition("source", 3), MemoryRecords(data), list(aborted), offset, None, None, True, int(committed))
    shown = [
        (record.offset, -1 if record.timestamp is None else record.timestamp, record.key, record.value, tuple(record.headers))
        for record in iterator
        if record.offset >= offset
    ]
    return shown, max(offset, iterator.next_fetch_offset)
