"""JSON lines are records already: each goes through the record layer under its own id as the Kafka key."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np

from config.settings import Settings
from detectors.protocol import Columns, Ints
from streams.decoding import times
from streams.decoding.layouts import LAYOUTS, TableBatch
from streams.decoding.times import Moment
from streams.records import DECODERS
from streams.transport.chunk import NULL, Chunk


class _Beside(msgspec.Struct, gc=False):
    """What a line may carry beside its record."""

    label: float | bool | None = None
    timestamp: float | Moment | None = None


def read_lines(stream: str, path: Path, settings: Settings, batch: int) -> Iterator[TableBatch]:
    """Read a stream's file of one JSON record a line, `batch` lines at a time."""
    first = 0
    with path.open("rb") as file:
        while lines := list(islice(_filled(file), batch)):
            yield _line_batch(stream, lines, first, settings)
            first += len(lines)


def _filled(file: BinaryIO) -> Iterator[bytes]:
    """Lines that are not blank."""
    for line in file:
        stripped = line.strip()
        if stripped:
            yield stripped


def _line_batch(stream: str, lines: list[bytes], first: int, settings: Settings) -> TableBatch:
    beside = [_beside(line) for line in lines]
    keys = [_key(line, LAYOUTS[stream].key) for line in lines]
    stamps = np.array([-1 if b.timestamp is None else int(times.of_mixed([b.timestamp])[0]) // 1000 for b in beside], np.int64)
    decoded = DECODERS[stream](_chunk(keys, lines, stamps), settings)
    bad = [(letter.offset, letter.reason) for letter in decoded.dead]
    columns, rows, texts = decoded.columns, decoded.record, decoded.texts
    events = np.bincount(rows, minlength=len(lines))
    frames = set(np.flatnonzero(events > 1).tolist())
    if frames or len({place for place, _ in bad} & set(rows.tolist())):
        frames |= {place for place, _ in bad}
        keep = np.array([at for at, row in enumerate(rows.tolist()) if row not in frames], np.int64)
        named = {place for place, _ in bad}
        bad += [(place, "values: a file has one reading a row, wanted value") for place in frames - named]
        columns = Columns(columns.keys.take(keep), columns.at[keep], {name: column[keep] for name, column in columns.fields.items()})
        rows = rows[keep]
    labels = np.array([np.nan if b.label is None else float(b.label) for b in beside])
    label = None if np.isnan(labels).all() else labels
    return TableBatch(first, columns, rows, keys, sorted(bad), label, texts, lines, stream)


def _beside(line: bytes) -> _Beside:
    try:
        return msgspec.json.decode(line, type=_Beside)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _Beside()


def _key(line: bytes, name: str) -> bytes | None:
    try:
        text = msgspec.json.decode(line).get(name)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, AttributeError):
        try:
            text = json.loads(line).get(name)
        except (ValueError, RecursionError, AttributeError):
            return None
    return text.encode(errors="surrogatepass") if isinstance(text, str) and text else None


def _chunk(keys: Sequence[bytes | None], values: Sequence[bytes], timestamps: Ints) -> Chunk:
    """The chunk that a topic of these records would give, offsets counted from 0."""
    n = len(values)
    key_lengths = np.array([0 if key is None else len(key) for key in keys], np.int64)
    value_lengths = np.array([len(value) for value in values], np.int64)
    null = np.array([key is None for key in keys])
    stop = np.cumsum(key_lengths)
    total = int(stop[-1]) if n else 0
    value_stop = total + np.cumsum(value_lengths)
    buffer = np.frombuffer(bytearray(b"".join([key or b"" for key in keys]) + b"".join(values)) or bytearray(1), np.uint8)
    return Chunk(
        "", 0, 0, n, np.arange(n), timestamps, buffer,
        np.where(null, NULL, stop - key_lengths), np.where(null, NULL, stop), value_stop - value_lengths, value_stop,
    )  # fmt: skip
