"""Kafka's codecs, within bounds: a batch that inflates to more than a limit is refused before it takes the memory.

`aiokafka.codec` inflates a gigabyte from 32 kB. What inflates here does so into an array that is there already, and stops at its
end; zstd and lz4 frames of most producers say nothing of their size, so the array grows fourfold until the content fits.
"""

from __future__ import annotations

import struct

import cramjam
import numpy as np
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
_NAMES = {GZIP: "gzip", SNAPPY: "snappy", LZ4: "lz4", ZSTD: "zstd"}
_INTO = {GZIP: cramjam.gzip.decompress_into, LZ4: cramjam.lz4.decompress_into, ZSTD: cramjam.zstd.decompress_into}

# A batch of 1 MiB, the most that a broker takes by default, holds this at 64:1; JSON has 5:1 to 25:1.
LARGEST_BATCH = 64 << 20
_USUAL_BATCH = 64 << 10
_USUAL_RATIO = 8
_GROWTH = 4

# Java's snappy streams: these bytes, version and compatible version (1 and 1), then blocks behind their lengths. librdkafka: one raw block.
_XERIAL = b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1)


class Inflater:
    """Inflates one payload after another into the same scratch.

    Parameters
    ----------
    limit
        The most bytes that one payload may hold.
    """

    def __init__(self, limit: int = LARGEST_BATCH) -> None:
        self.limit = limit
        self._scratch = memoryview(bytearray(1))

    def inflate(self, codec: int, payload: memoryview) -> memoryview:
        """What the payload holds; it stands in the scratch until the next call.

        Raises
        ------
        CorruptRecordException
            The payload is no such stream, or holds more than the limit.
        UnsupportedCodecError
            The codec is none of Kafka's.
        """
        try:
            size = self._snappy(payload) if codec == SNAPPY else self._framed(codec, payload)
        except cramjam.DecompressionError as problem:
            raise CorruptRecordException(f"{len(payload):,} bytes of {_NAMES[codec]}: {problem}") from problem
        return self._scratch[:size]

    def _framed(self, codec: int, payload: memoryview) -> int:
        if codec not in _INTO:
            raise UnsupportedCodecError(f"codec {codec}: Kafka has 1 (gzip), 2 (snappy), 3 (lz4), 4 (zstd)")
        room = _USUAL_RATIO * len(payload)
        if len(self._scratch) < max(room, _USUAL_BATCH):
            self._make_room(min(self.limit, max(room, _USUAL_BATCH)))
        while True:
            try:
                return int(_INTO[codec](payload, self._scratch))
            except cramjam.DecompressionError as problem:
                # Any error may be that of a full array: it has no type of its own, and to try again costs little.
                room = len(self._scratch)
                if room == self.limit:
                    if "whole buffer" in str(problem):
                        raise self._too_large(codec, payload) from problem
                    raise
            self._make_room(min(self.limit, _GROWTH * room))

    def _too_large(self, codec: int, payload: memoryview) -> CorruptRecordException:
        return CorruptRecordException(f"{len(payload):,} bytes of {_NAMES[codec]} hold more than {self.limit:,}: refused as a bomb")

    def _snappy(self, payload: memoryview) -> int:
        if payload[: len(_XERIAL)] != _XERIAL:
            return self._block(payload, 0)
        size, at = 0, len(_XERIAL)
        while at < len(payload):
            if len(payload) - at < 4:
                raise CorruptRecordException("a snappy stream ends within the length of a block")
            length = int.from_bytes(payload[at : at + 4], "big", signed=True)
            at += 4
            if not 0 <= length <= len(payload) - at:
                raise CorruptRecordException(f"a snappy block of {length:,} bytes, {len(payload) - at:,} are left")
            size = self._block(payload[at : at + length], size)
            at += length
        return size

    def _block(self, block: memoryview, size: int) -> int:
        """Inflate a raw block behind the first `size` bytes of the scratch; return the new size."""
        end = size + int(cramjam.snappy.decompress_raw_len(block))
        if end > self.limit:
            raise self._too_large(SNAPPY, block)
        self._make_room(end, kept=size)
        return size + int(cramjam.snappy.decompress_raw_into(block, self._scratch[size:end]))

    def _make_room(self, size: int, kept: int = 0) -> None:
        if size > len(self._scratch):
            # numpy's memory is not touched before it is written to: a large room costs what it comes to hold.
            grown = np.empty(max(size, min(self.limit, 2 * len(self._scratch))), np.uint8).data
            grown[:kept] = self._scratch[:kept]
            self._scratch = grown
