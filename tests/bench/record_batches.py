"""How fast fetched bytes become records: our reader of record batches against aiokafka's iterator, without a broker.

Run ``python -m tests.bench.record_batches`` from the repository's root; ratios first, since machines differ. One fetch of about
1 MiB of 60-byte JSON readings, best of several rounds. "index" ends with a chunk's columns, "decoded" with a struct a record.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

import msgspec
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from streams.transport.record_batches import RecordBatchReader, warm

RECORDS = 14_000
ROUNDS = 7
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
PER_BATCH = (1, 140, RECORDS)


class Reading(msgspec.Struct, gc=False):
    """A sensor's reading, as the worker decodes it."""

    sensor_id: str
    at: float
    value: float


decode = msgspec.json.Decoder(Reading).decode


def fetch(codec: int, per_batch: int) -> bytes:
    """What a broker sends for `RECORDS` readings."""
    data = bytearray()
    for base in range(0, RECORDS, per_batch):
        builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 30)
        for i in range(per_batch):
            n = base + i
            value = b'{"sensor_id":"s%03d","at":%.2f,"value":%9.4f}' % (n % 250, 1_700_000_000 + n / 100, n * 7919 % 100_000 / 97)
            builder.append(i, 1_700_000_000_000 + n, b"s%03d" % (n % 250), value, [])
        batch = builder.build()
        struct.pack_into(">q", batch, 0, base)
        data += batch
    return bytes(data)


def index(data: bytes) -> int:
    """Records counted, none touched."""
    return sum(map(len, RecordBatchReader("t", 0, data, 0).chunks()))


def decoded(data: bytes) -> int:
    return sum(len([decode(value) for value in chunk.values() if value]) for chunk in RecordBatchReader("t", 0, data, 0).chunks())


def aiokafkas(data: bytes) -> int:
    return len(list(PartitionRecords(TopicPartition("t", 0), MemoryRecords(data), None, 0, None, None, True, 0)))


def aiokafkas_decoded(data: bytes) -> int:
    records = list(PartitionRecords(TopicPartition("t", 0), MemoryRecords(data), None, 0, None, None, True, 0))
    return len([decode(record.value) for record in records])


def rate(way: Callable[[bytes], int], data: bytes) -> float:
    """Records a second, in the best round."""
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        count = way(data)
        best = min(best, time.perf_counter() - begin)
        assert count == RECORDS
    return RECORDS / best


def main() -> None:
    warm()
    print(f"{'codec':8}{'a batch':>8}{'kB':>7} | {'ratio':>7}{'ratio':>9} | {'records/s':>11}{'':>12}{'aiokafka':>12}{'aiokafka':>12}")
    print(f"{'':8}{'':8}{'':7} | {'index':>7}{'decoded':>9} | {'index':>11}{'decoded':>12}{'iterator':>12}{'decoded':>12}")
    for per_batch in reversed(PER_BATCH):
        for number, name in enumerate(CODECS):
            data = fetch(number, per_batch)
            ours, ours_decoded, theirs, theirs_decoded = (rate(way, data) for way in (index, decoded, aiokafkas, aiokafkas_decoded))
            print(
                f"{name:8}{per_batch:8,}{len(data) // 1000:7,} | {ours / theirs:7.1f}{ours_decoded / theirs_decoded:9.1f} | "
                f"{ours:11,.0f}{ours_decoded:12,.0f}{theirs:12,.0f}{theirs_decoded:12,.0f}"
            )


if __name__ == "__main__":
    main()
