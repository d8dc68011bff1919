"""Avro in the source topics: values framed as serializers of schema registries do it, made into the JSON that the decoders read.

The frame is a byte 0 and the schema's number in four bytes. JSON begins otherwise, so records of both kinds may stand in one topic (our own
postings of cards are JSON). The fields' names are those of the JSON records; decimals become text, so that no digit is lost, timestamps
RFC 3339. What cannot be read goes to dead letters as it came, like any record.
"""

from __future__ import annotations

import asyncio
import io
import logging
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from config.settings import Settings
from streams.decoding.refusals import Refused
from streams.decoding.registry import NoSchema, Registry, Unanswered
from streams.definitions import Definition
from streams.records import Decoded
from streams.transport.chunk import NULL, Chunk

FRAME = struct.Struct(">bI")
PAUSE_SECONDS = 2.0  # between two questions to a registry that does not answer
logger = logging.getLogger("streams.decoding.avro")


def reading(definition: Definition, settings: Settings) -> Definition:
    """The same stream, its records in Avro or JSON."""
    reader = Reader(definition.name, Registry(settings.kafka), definition.decode)
    return replace(definition, decode=reader.decode, prepare=reader.prepare)


class Reader:
    """Reads the chunks of one stream."""

    def __init__(self, stream: str, registry: Registry, decode: Callable[[Chunk], Decoded]) -> None:
        self._stream, self._registry, self._decode = stream, registry, decode

    async def prepare(self, chunk: Chunk) -> None:
        """Fetch the schemas of a chunk beside the event loop, however long the registry takes to answer."""
        for number in sorted(_numbers(chunk)):
            while number not in self._registry:
                try:
                    await asyncio.to_thread(self._registry.schema, number)
                except NoSchema:
                    break  # a matter of the records that name it
                except Unanswered as problem:
                    where = {"stream": self._stream, "partition": chunk.partition}
                    logger.warning("%s; %s/%d waits", problem, chunk.topic, chunk.partition, extra=where)
                    await asyncio.sleep(PAUSE_SECONDS)

    def decode(self, chunk: Chunk) -> Decoded:
        """A chunk's records; letters of those that cannot be read hold the original bytes.

        Raises
        ------
        Unanswered
            A schema is wanted that was not prepared, and the registry does not answer.
        """
        if not _numbers(chunk):
            return self._decode(chunk)
        values = chunk.values()
        reasons: dict[int, str] = {}
        texts: list[bytes | None] = []
        for row, value in enumerate(values):
            try:
                texts.append(self._json(value) if value is not None and value[:1] == b"\0" else value)
            except Refused as refused:
                texts.append(b"")
                reasons[int(chunk.offsets[row])] = str(refused)
        decoded = self._decode(_with_values(chunk, texts))
        original = dict(zip(chunk.offsets.tolist(), values, strict=True))
        decoded.dead = [
            replace(letter, value=original[letter.offset], reason=reasons.get(letter.offset, letter.reason)) for letter in decoded.dead
        ]
        return decoded

    def _json(self, value: bytes) -> bytes:
        """The JSON of one framed value."""
        if len(value) < FRAME.size:
            raise Refused(f"the value begins like Avro and ends after {len(value)} bytes")
        number = FRAME.unpack_from(value)[1]
        try:
            schema = self._registry.schema(number)
        except NoSchema as problem:
            raise Refused(str(problem)) from None
        import fastavro

        body = io.BytesIO(value)
        body.seek(FRAME.size)
        try:
            record: Any = fastavro.schemaless_reader(body, schema, None)
            if body.tell() != len(value):
                raise ValueError(f"{len(value) - body.tell()} bytes are left over")
            if not isinstance(record, dict):
                raise ValueError("it is no record")
            return msgspec.json.encode(record)
        except Exception as problem:  # bytes that are not of this schema lead anywhere
            raise Refused(f"the value is no Avro of schema {number} ({type(problem).__name__}: {problem})") from None


def _numbers(chunk: Chunk) -> set[int]:
    """The schemas that a chunk's values name."""
    rows = np.flatnonzero((chunk.value_from != NULL) & (chunk.value_to - chunk.value_from >= FRAME.size))
    framed = rows[chunk.buffer[chunk.value_from[rows]] == 0]
    return {FRAME.unpack_from(chunk.buffer.data, start)[1] for start in chunk.value_from[framed].tolist()}


def _with_values(chunk: Chunk, texts: list[bytes | None]) -> Chunk:
    """The chunk with other values; they stand behind the old ones, and the keys where they were."""
    lengths = np.array([0 if text is None else len(text) for text in texts], np.int64)
    stop = len(chunk.buffer) + np.cumsum(lengths)
    missing = np.array([text is None for text in texts])
    buffer = np.frombuffer(bytearray(chunk.buffer.tobytes() + b"".join(text or b"" for text in texts)), np.uint8)
    value_from, value_to = np.where(missing, NULL, stop - lengths), np.where(missing, NULL, stop)
    return replace(chunk, buffer=buffer, value_from=value_from, value_to=value_to)
