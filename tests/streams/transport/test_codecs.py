"""Inflating within bounds: bombs are refused before they take the memory, and a fetch has a budget."""

from __future__ import annotations

import time
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import cramjam
import numpy as np
import pytest
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from streams.transport import batch_scan, record_batches
from streams.transport.codecs import GZIP, LZ4, SNAPPY, ZSTD, Inflater
from tests.streams.transport.batches import PACKED, Record, aiokafka_reads, batch, encoded, read, sealed, with_crc

MIB = 1 << 20
XERIAL = b"\x82SNAPPY\0\0\0\0\1\0\0\0\1"
SIZED = {
    "gzip": (GZIP, lambda content: zlib.compress(content, 1, 31)),
    "snappy": (SNAPPY, lambda content: bytes(cramjam.snappy.compress_raw(content))),
    "xerial": (SNAPPY, PACKED[SNAPPY]),
    "lz4": (LZ4, PACKED[LZ4]),
    "zstd": (ZSTD, PACKED[ZSTD]),
}
NONE_ABORTED = np.empty((0, 3), np.int64)


@contextmanager
def most_memory() -> Iterator[list[int]]:
    """What Python and numpy hold at most, in bytes."""
    most = [0]
    tracemalloc.start()
    try:
        yield most
    finally:
        most[0] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()


@given(st.sampled_from(list(SIZED)), st.binary(max_size=300), st.integers(0, 2000))
def test_what_was_packed_comes_out(name: str, content: bytes, repeats: int) -> None:
    codec, pack = SIZED[name]
    inflater = Inflater()
    for part in (content * repeats, content):
        assert bytes(inflater.inflate(codec, memoryview(pack(part)))) == part


@pytest.mark.parametrize("name", SIZED)
def test_the_limit_is_exact(name: str) -> None:
    codec, pack = SIZED[name]
    content = b"a reading of a pump; " * 10_000
    packed = memoryview(pack(content))
    assert bytes(Inflater(limit=len(content)).inflate(codec, packed)) == content
    with pytest.raises(CorruptRecordException, match="refused as a bomb"):
        Inflater(limit=len(content) - 1).inflate(codec, packed)


@pytest.mark.parametrize("name", SIZED)
def test_pitfall_9_a_bomb_is_refused_soon_and_takes_no_more_than_its_limit(name: str) -> None:
    codec, pack = SIZED[name]
    bomb = memoryview(pack(bytes(64 * MIB)))
    inflater = Inflater(limit=4 * MIB)
    start = time.thread_time()  # our own work, however busy the machine is
    with most_memory() as most, pytest.raises(CorruptRecordException, match="refused as a bomb"):
        inflater.inflate(codec, bomb)
    assert time.thread_time() - start < 2.0
    assert most[0] < 8 * MIB


def test_pitfall_9_a_snappy_block_that_claims_gigabytes_takes_none() -> None:
    claim = b"\xff\xff\xff\xff\x0f" + b"\0" * 20
    for payload in (claim, XERIAL + len(claim).to_bytes(4, "big") + claim):
        with pytest.raises(CorruptRecordException, match="refused as a bomb"):
            Inflater().inflate(SNAPPY, memoryview(payload))


def test_a_corrupt_xerial_stream_is_refused() -> None:
    block = bytes(cramjam.snappy.compress_raw(b"content"))
    for tail in (b"\0", b"\xff\xff\xff\xff", b"\0\0\0\x7f" + block, len(block).to_bytes(4, "big") + block[:-1], b"\0\0\0\0"):
        with pytest.raises(CorruptRecordException):
            Inflater().inflate(SNAPPY, memoryview(XERIAL + tail))


def test_a_codec_that_is_none_of_kafkas_says_so() -> None:
    with pytest.raises(UnsupportedCodecError, match="codec 7"):
        Inflater().inflate(7, memoryview(b"content"))


def test_snappy_of_librdkafka_is_raw_and_that_of_java_framed() -> None:
    payload = encoded(Record(0, value=b"pump " * 20))
    raw = bytearray(sealed(b"")) + bytes(cramjam.snappy.compress_raw(payload))
    raw[22] = SNAPPY
    assert read(with_crc(bytes(raw))) == read(sealed(payload, codec=SNAPPY)) == aiokafka_reads(with_crc(bytes(raw)))


def test_pitfall_9_a_fetch_inflates_no_more_than_its_budget_and_the_rest_is_fetched_again() -> None:
    size = 100_000
    data = b"".join(batch([Record(0, value=bytes(size))], base, codec=ZSTD) for base in range(100))
    seen, offset, fetches = [], 0, 0
    while offset < 100:
        shown, offset = read(data[offset * (len(data) // 100) :], offset, budget=10 * size)
        seen += [row[0] for row in shown]
        assert len(shown) <= 11
        fetches += 1
    assert seen == list(range(100))
    assert fetches == 10


def test_pitfall_9_the_limits_of_a_fetch() -> None:
    bomb = batch([Record(0, value=bytes(3 * MIB))], 5, codec=ZSTD)
    good = batch([Record(0)], 4, codec=ZSTD)
    with pytest.raises(CorruptRecordException, match="refused as a bomb"):
        read(bomb, 5, largest=2 * MIB)
    assert read(good + bomb, 4, largest=2 * MIB)[1] == 5
    assert len(read(good + bomb, 4)[0]) == 2


def test_pitfall_9_a_bomb_in_an_old_format_is_refused_before_aiokafka_sees_it() -> None:
    builder = LegacyRecordBatchBuilder(1, GZIP, 1 << 30)
    builder.append(0, timestamp=1000, key=None, value=bytes(3 * MIB))
    bomb = bytes(builder.build())
    with pytest.raises(CorruptRecordException, match="refused as a bomb"):
        read(bomb, largest=2 * MIB)
    assert len(read(bomb)[0]) == 1


def test_pitfall_9_more_records_in_a_compressed_batch_than_any_producer_gathers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = batch([Record(i, None, None) for i in range(11)], codec=ZSTD)
    assert len(read(data)[0]) == 11
    monkeypatch.setattr(record_batches, "MOST_RECORDS", 10)
    with pytest.raises(CorruptRecordException, match="refused as a bomb"):
        read(data)


def test_pitfall_9_an_index_is_no_larger_than_the_bytes_could_need() -> None:
    lie = sealed(bytes(1000), count=2**31 - 1, last_delta=2**31 - 1)
    code, *_, index, _listed, _compressed, _headers = batch_scan.walk(np.frombuffer(bytearray(lie), np.uint8), True, False, NONE_ABORTED)
    assert code == batch_scan.CORRUPT
    assert index.nbytes <= 8 * len(lie)
