from __future__ import annotations

import numpy as np
import pytest
from aiokafka.errors import OffsetOutOfRangeError
from hypothesis import given
from hypothesis import strategies as st

from streams.transport.log import Log
from tests.streams.transport.records import drawn_records, filled, rows

holes = st.frozensets(st.integers(0, 45), max_size=10)


@given(drawn_records, holes)
def test_what_was_appended_is_read(drawn, hole):
    log, reference = filled(drawn, hole)

    assert log.records(0, 100) == reference


@given(drawn_records, holes)
def test_a_chunk_holds_the_records_appended_column_by_column(drawn, hole):
    log, reference = filled(drawn, hole)

    computed = log.chunk(0, 100, 1 << 20)

    if computed is None:
        assert log.end == 0
        return
    assert rows(computed) == reference
    assert list(computed.values()) == [record.value for record in reference]
    assert (computed.first, computed.next) == (0, log.end)


@given(drawn_records, holes, st.integers(1, 50), st.integers(1, 100))
def test_reading_chunk_after_chunk_brings_every_offset_once_and_in_order(drawn, hole, max_records, max_bytes):
    log, reference = filled(drawn, hole)
    position, computed = 0, []

    while (chunk := log.chunk(position, max_records, max_bytes)) is not None:
        assert chunk.first == position < chunk.next
        assert len(chunk) <= max_records
        assert len(chunk) <= 1 or len(chunk.buffer) <= max_bytes
        computed += rows(chunk)
        position = chunk.next

    assert position == log.end
    assert computed == reference


@given(drawn_records.filter(bool), holes, st.data())
def test_a_chunk_may_begin_anywhere(drawn, hole, data):
    log, reference = filled(drawn, hole)
    offset = data.draw(st.integers(0, log.end - 1))

    chunk = log.chunk(offset, 100, 1 << 20)

    assert rows(chunk) == [record for record in reference if record.offset >= offset]
    assert chunk.first == offset


def test_kernels_get_writable_columns_of_their_own():
    log = Log("topic", 0)
    log.append(b"key", b"value", (), 7)
    chunk = log.chunk(0, 10, 100)

    chunk.buffer[:] = 0
    chunk.offsets[:] = 99

    assert log.records(0, 1)[0].value == b"value"
    for column in (chunk.offsets, chunk.timestamps, chunk.key_from, chunk.key_to, chunk.value_from, chunk.value_to):
        assert column.dtype == np.int64
        assert column.flags.c_contiguous
        assert column.flags.writeable


def test_a_log_read_from_goes_on_growing():
    log = Log("topic", 0)
    log.append(None, b"1", (), 0)
    chunk = log.chunk(0, 10, 100)

    log.append(None, b"2", (), 0)

    assert chunk.value(0) == b"1"
    assert log.end == 2


@pytest.mark.parametrize("offset", [-1, 2])
def test_an_offset_outside_the_log_is_refused(offset):
    log = Log("topic", 0)
    log.append(None, b"1", (), 0)

    with pytest.raises(OffsetOutOfRangeError, match="topic/0 holds offsets 0 to 1, asked for"):
        log.chunk(offset, 10, 100)


@given(drawn_records.filter(bool), holes, st.data())
def test_deleting_the_oldest_records_leaves_the_others_where_they_were(drawn, hole, data):
    log, reference = filled(drawn, hole)
    before = data.draw(st.integers(0, log.end))

    log.delete_before(before)
    after = log.append(b"k", b"v", (), 1)

    assert log.records(log.begin, 100)[:-1] == [record for record in reference if record.offset >= before]
    assert log.records(after, 1) == [("topic", 3, after, 1, b"k", b"v", ())]
    assert log.begin == before
    if before:
        with pytest.raises(OffsetOutOfRangeError):
            log.chunk(before - 1, 1, 1)


def test_a_log_keeps_between_once_and_twice_its_retention():
    log = Log("topic", 0, retention=1000)

    for n in range(5000):
        log.append(b"%05d" % n, b"12345", (), n)
        kept = 10 * len(log.records(log.begin, 5000)) if n % 50 == 0 else 1000
        assert min(1000, 10 * (n + 1)) <= kept <= 2000

    reference = [(n, b"%05d" % n) for n in range(log.begin, 5000)]
    assert [(record.offset, record.key) for record in log.records(log.begin, 5000)] == reference
