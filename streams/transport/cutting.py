"""Chunks made smaller: cut so that the event loop breathes, trimmed to begin where a fold stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from streams.transport.chunk import NULL, Chunk, Headers, no_headers


class LostPosition(Exception):
    """Records came from above the position that was asked for: some were passed over. Never folded, always an error."""


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """How large a chunk may be: so many records, and so many bytes of keys and values (one larger record may stand alone).

    Commits, heartbeats and other partitions wait no longer than one chunk: 4,096 records of 60 bytes take about 3 ms to decode, and a
    quarter of a MiB of frames holds some 35,000 readings, a quarter of a second's work for the dearest detector.
    """

    records: int = 4096
    bytes: int = 1 << 18

    def __post_init__(self) -> None:
        if self.records < 1 or self.bytes < 1:
            raise ValueError(f"chunks of {self.records} records and {self.bytes} bytes: wanted at least 1 of each")


def from_position(chunk: Chunk, position: int) -> Chunk | None:
    """What a fold that stands at `position` still wants of a chunk; None if it has folded all of it.

    Kafka begins a fetch with a whole batch, and an actor that was at work during a rebalance, in which its partition stayed,
    gets its chunk once more, perhaps with others behind it.

    Raises
    ------
    LostPosition
        The chunk begins above the position.
    """
    if chunk.first > position:
        raise LostPosition(f"{chunk.topic}/{chunk.partition}: wanted offset {position}, got a chunk from {chunk.first}")
    if chunk.next <= position:
        return None
    return chunk if chunk.first == position else trim(chunk, position)


def split_at(chunk: Chunk, offset: int) -> tuple[Chunk, Chunk | None]:
    """What a chunk decides below an offset, which lies above its first, and the rest; both may be without rows."""
    if chunk.next <= offset:
        return chunk, None
    head = take(chunk, 0, int(np.searchsorted(chunk.offsets, offset)))
    return replace(head, next=offset), trim(chunk, offset)


def cut(chunk: Chunk, limits: ChunkLimits) -> Iterator[Chunk]:
    """The same records in the same order, in chunks within the limits; together they decide the same offsets."""
    rows = len(chunk)
    ends = _ends(chunk)
    if rows <= limits.records and (rows == 0 or ends[-1] <= limits.bytes):
        yield chunk
        return
    a = 0
    while a < rows:
        spent = ends[a - 1] if a else 0
        fitting = int(np.searchsorted(ends, spent + limits.bytes, side="right"))
        b = min(max(fitting, a + 1), a + limits.records, rows)
        yield take(chunk, a, b)
        a = b


def trim(chunk: Chunk, offset: int) -> Chunk:
    """The records from `offset` on, which lies within the chunk; copied, so that what was cut off can be freed."""
    rest = take(chunk, int(np.searchsorted(chunk.offsets, offset)), len(chunk))
    return replace(rest, first=offset, buffer=rest.buffer.copy())


def take(chunk: Chunk, a: int, b: int) -> Chunk:
    """Rows [a, b) as a chunk of their own. It decides the offsets from row a's hole on: neighbours join without a gap."""
    low, high = _span(chunk, a, b)
    return Chunk(
        topic=chunk.topic,
        partition=chunk.partition,
        first=int(chunk.offsets[a - 1]) + 1 if a else chunk.first,
        next=int(chunk.offsets[b - 1]) + 1 if 0 < b < len(chunk) else chunk.next,
        offsets=chunk.offsets[a:b],
        timestamps=chunk.timestamps[a:b],
        buffer=chunk.buffer[low:high],
        key_from=_moved(chunk.key_from[a:b], low),
        key_to=_moved(chunk.key_to[a:b], low),
        value_from=_moved(chunk.value_from[a:b], low),
        value_to=_moved(chunk.value_to[a:b], low),
        headers=_headers_from(chunk.headers, a),
    )


def _ends(chunk: Chunk) -> NDArray[np.int64]:
    """How many bytes of keys and values the rows up to each one hold."""
    return np.cumsum(chunk.key_to - chunk.key_from + chunk.value_to - chunk.value_from)


def _span(chunk: Chunk, a: int, b: int) -> tuple[int, int]:
    """The part of the buffer that rows [a, b) lie in, wherever in it they are."""
    begins = np.concatenate([chunk.key_from[a:b], chunk.value_from[a:b]])
    begins = begins[begins != NULL]
    if not len(begins):
        return 0, 0
    return int(begins.min()), int(max(chunk.key_to[a:b].max(), chunk.value_to[a:b].max()))


def _moved(places: NDArray[np.int64], low: int) -> NDArray[np.int64]:
    return np.where(places == NULL, NULL, places - low)


def _headers_from(headers: Callable[[int], Headers], first: int) -> Callable[[int], Headers]:
    return no_headers if headers is no_headers else lambda row: headers(first + row)
