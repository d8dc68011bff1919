"""Chunks made by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from streams.transport.chunk import NULL, Chunk

STAMP = 1_700_000_000_000  # milliseconds


def chunk_of(pairs: Sequence[tuple[bytes | None, bytes | None]], first: int = 100, stamp: int = STAMP) -> Chunk:
    """Records of keys and values at consecutive offsets from `first`, all of one timestamp."""
    buffer = bytearray()
    places: list[tuple[int, int]] = []
    for pair in pairs:
        for part in pair:
            start = len(buffer)
            buffer += part or b""
            places.append((NULL, NULL) if part is None else (start, len(buffer)))
    ends = np.array(places, np.int64).reshape(-1, 2, 2)
    n = len(pairs)
    columns = [np.ascontiguousarray(ends[:, part, side]) for part in (0, 1) for side in (0, 1)]
    bytes_ = np.frombuffer(buffer or bytearray(1), np.uint8)
    return Chunk("source", 3, first, first + n, first + np.arange(n), np.full(n, stamp), bytes_, *columns)


def record(key: str, **fields: Any) -> tuple[bytes, bytes]:
    """A key and its JSON."""
    return key.encode(), json.dumps(fields).encode()
