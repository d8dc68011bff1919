"""Headers of records, parsed when asked for: most are never looked at."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from streams.transport.chunk import Headers


def headers_on_demand(buffer: NDArray[np.uint8], places: NDArray[np.int64]) -> Callable[[int], Headers]:
    """A chunk's `headers`: of a row, from the place of its header count; a negative place says that there are none."""

    def headers(row: int) -> Headers:
        at = int(places[row])
        return () if at < 0 else parse_headers(buffer, at)

    return headers


def parse_headers(buffer: NDArray[np.uint8], at: int) -> Headers:
    """Headers from their count on, which the kernel has seen to be whole.

    A name that is not UTF-8, which makes aiokafka raise for the whole fetch, keeps its bytes as surrogates:
    ``name.encode("utf-8", "surrogateescape")`` gives them back.
    """
    count, at = _varint(buffer, at)
    headers = []
    for _ in range(count):
        length, at = _varint(buffer, at)
        name = buffer[at : at + length].tobytes().decode("utf-8", "surrogateescape")
        size, at = _varint(buffer, at + length)
        headers.append((name, None if size < 0 else buffer[at : at + size].tobytes()))
        at += max(size, 0)
    return tuple(headers)


def _varint(buffer: NDArray[np.uint8], at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = int(buffer[at])
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return (value >> 1) ^ -(value & 1), at
        shift += 7
