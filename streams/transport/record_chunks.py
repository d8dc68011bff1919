"""aiokafka's records as a chunk: of batches in older formats, and wherever record batches are not read as columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from streams.transport.chunk import NULL, Chunk, Headers, no_headers

NO_TIMESTAMP = -1  # Kafka's own: format v0 has no timestamps


def chunk_of_records(topic: str, partition: int, first: int, following: int, records: Sequence[Any]) -> Chunk:
    """`ConsumerRecord`s, whose offsets lie in [first, following) and rise, as a chunk that decides these offsets."""
    content = bytearray()
    headers: list[Headers] = [tuple(record.headers) for record in records]
    places = np.empty((4, len(records)), np.int64)
    for row, record in enumerate(records):
        for column, part in ((0, record.key), (2, record.value)):
            start = len(content)
            content += part or b""
            places[column : column + 2, row] = (NULL, NULL) if part is None else (start, len(content))
    return Chunk(
        topic,
        partition,
        first,
        following,
        np.array([record.offset for record in records], np.int64),
        np.array([NO_TIMESTAMP if record.timestamp is None else record.timestamp for record in records], np.int64),
        np.frombuffer(content or bytearray(1), np.uint8),
        key_from=places[0],
        key_to=places[1],
        value_from=places[2],
        value_to=places[3],
        headers=headers.__getitem__ if any(headers) else no_headers,
    )


def chunk_without_rows(topic: str, partition: int, first: int, following: int) -> Chunk:
    """What says that the offsets [first, following) hold nothing to fold."""
    return chunk_of_records(topic, partition, first, following, ())
