"""A partition's log, kept in memory as the columns that chunks are made of: reading is copying."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection
from threading import Lock
from typing import NamedTuple

import numpy as np
from aiokafka.errors import OffsetOutOfRangeError
from numpy.typing import NDArray

from streams.transport.chunk import NULL, Chunk, Headers, no_headers


class Record(NamedTuple):
    """One record, as a test or a person wants to see it."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Log:
    """Records in offset order. Every record carries its offset, so that an offset may be missing (transactions, compaction).

    Appending and reading may happen in different threads.

    Parameters
    ----------
    retention
        Bytes of keys and values that are kept at least; the oldest records go when there are twice as many. None keeps all.
    """

    def __init__(self, topic: str, partition: int, retention: int | None = None) -> None:
        self.topic = topic
        self.partition = partition
        self.retention = retention
        self.begin = 0  # the first offset that can still be asked for
        self.end = 0  # the offset that the next record gets
        self._lock = Lock()
        self._offsets = array("q")
        self._timestamps = array("q")
        self._key_from = array("q")
        self._key_to = array("q")
        self._value_from = array("q")
        self._value_to = array("q")
        self._ends = array("q")  # where a record's bytes end; they begin where the record before ends
        self._bytes = bytearray()
        self._headers: list[Headers] = []

    def __len__(self) -> int:
        return len(self._offsets)

    def append(self, key: bytes | None, value: bytes | None, headers: Headers, timestamp_ms: int) -> int:
        """Add a record and return its offset."""
        with self._lock:
            offset = self.end
            self._offsets.append(offset)
            self._timestamps.append(timestamp_ms)
            self._put(key, self._key_from, self._key_to)
            self._put(value, self._value_from, self._value_to)
            self._ends.append(len(self._bytes))
            self._headers.append(headers)
            self.end = offset + 1
            if self.retention is not None and len(self._bytes) > 2 * self.retention:
                self._drop(bisect_right(self._ends, len(self._bytes) - self.retention))
            return offset

    def delete_before(self, offset: int) -> None:
        """Delete the records below an offset, as `kafka-delete-records` does.

        Raises
        ------
        aiokafka.errors.OffsetOutOfRangeError
            Below what the log still holds, or above its end.
        """
        with self._lock:
            self._check(offset)
            self._drop(bisect_left(self._offsets, offset))
            self.begin = offset

    def skip(self, offsets: int) -> None:
        """Leave a hole at the end, as the markers of a transaction do: offsets that no record will ever have."""
        with self._lock:
            self.end += offsets

    def remove(self, offsets: Collection[int]) -> None:
        """Take records out and leave holes, as compaction does; what can be asked for stays as it is."""
        gone = frozenset(offsets)
        with self._lock:
            kept = [row for row, offset in enumerate(self._offsets) if offset not in gone]
            whole, starts = bytes(self._bytes), [0, *self._ends]
            self._bytes = bytearray().join(whole[starts[row] : starts[row + 1]] for row in kept)
            shifts, ends = [], array("q")
            for row in kept:
                shifts.append(starts[row] - (ends[-1] if ends else 0))
                ends.append(starts[row + 1] - shifts[-1])
            for name in ("_key_from", "_key_to", "_value_from", "_value_to"):
                places = getattr(self, name)
                moved = (NULL if places[row] == NULL else places[row] - shift for row, shift in zip(kept, shifts, strict=True))
                setattr(self, name, array("q", moved))
            self._ends = ends
            self._offsets = array("q", (self._offsets[row] for row in kept))
            self._timestamps = array("q", (self._timestamps[row] for row in kept))
            self._headers = [self._headers[row] for row in kept]

    def _drop(self, rows: int) -> None:
        if not rows:
            return
        size = self._ends[rows - 1]
        del self._bytes[:size]
        del self._headers[:rows], self._offsets[:rows], self._timestamps[:rows]
        for name in ("_key_from", "_key_to", "_value_from", "_value_to", "_ends"):
            places = getattr(self, name)
            setattr(self, name, array("q", _places(places, rows, len(places), size).tobytes()))
        self.begin = self._offsets[0] if self._offsets else self.end

    def _put(self, content: bytes | None, begins: array[int], ends: array[int]) -> None:
        if content is None:
            begins.append(NULL)
            ends.append(NULL)
            return
        begins.append(len(self._bytes))
        self._bytes += content
        ends.append(len(self._bytes))

    def chunk(self, offset: int, max_records: int, max_bytes: int) -> Chunk | None:
        """The records from `offset` on, at least one if there is any, as a chunk; None at the log's end.

        Where only holes are left before the end, the chunk has no rows and its `next` is the end.

        Raises
        ------
        aiokafka.errors.OffsetOutOfRangeError
            Below what the log still holds, or above its end.
        """
        with self._lock:
            self._check(offset)
            if offset == self.end:
                return None
            a = bisect_left(self._offsets, offset)
            low = self._ends[a - 1] if a else 0
            b = min(a + max_records, len(self._offsets))
            b = max(min(b, bisect_right(self._ends, low + max_bytes, a, b)), min(a + 1, b))
            high = self._ends[b - 1] if b > a else low
            headers = self._headers[a:b]
            return Chunk(
                topic=self.topic,
                partition=self.partition,
                first=offset,
                next=self._offsets[b - 1] + 1 if b < len(self._offsets) else self.end,
                offsets=_copy(self._offsets, a, b),
                timestamps=_copy(self._timestamps, a, b),
                buffer=np.frombuffer(self._bytes[low:high], np.uint8),
                key_from=_places(self._key_from, a, b, low),
                key_to=_places(self._key_to, a, b, low),
                value_from=_places(self._value_from, a, b, low),
                value_to=_places(self._value_to, a, b, low),
                headers=headers.__getitem__ if any(headers) else no_headers,
            )

    def records(self, offset: int, limit: int) -> list[Record]:
        """At most `limit` records from `offset` on.

        Raises
        ------
        aiokafka.errors.OffsetOutOfRangeError
            Below what the log still holds, or above its end.
        """
        chunk = self.chunk(offset, limit, len(self._bytes))
        if chunk is None:
            return []
        return [
            Record(self.topic, self.partition, place, timestamp, chunk.key(row), chunk.value(row), chunk.headers(row))
            for row, (place, timestamp) in enumerate(zip(chunk.offsets.tolist(), chunk.timestamps.tolist(), strict=True))
        ]

    def _check(self, offset: int) -> None:
        if not self.begin <= offset <= self.end:
            raise OffsetOutOfRangeError(f"{self.topic}/{self.partition} holds offsets {self.begin} to {self.end}, asked for {offset}")


def _copy(column: array[int], a: int, b: int) -> NDArray[np.int64]:
    # A view would forbid the array to grow.
    return np.frombuffer(column[a:b], np.int64)


def _places(column: array[int], a: int, b: int, low: int) -> NDArray[np.int64]:
    places = _copy(column, a, b)
    places[places != NULL] -= low
    return places
