"""A savepoint: one file with the state of every partition of a stream, and where in its logs each stands.

It says what it is: a line with the format and the digest of the next line, a line of JSON (`Savepoint`), then the parts, each the bytes
of a checkpoint as they lie in its topic: zstd over a snapshot, so nothing in it can execute. `head -2 FILE` shows all but the states.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from state import snapshot
from state.snapshot import SnapshotError
from streams.durable.manifest import CutPosition
from streams.errors import UserError

FORMAT = 1
_FIRST = re.compile(rb"nilometer savepoint (\d{1,9}) ([0-9a-f]{32})\n")
_LONGEST_LINE = 1 << 24  # bytes: some 100,000 partitions


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One partition's state.

    Attributes
    ----------
    offset
        The next event to fold; None for the first that the source holds.
    drained
        Whether the source must end at `offset` when this is imported: keys have moved, and what stands behind it was keyed otherwise.
    cuts
        The place in the cut log behind which nothing is in the state; None where no cut of the log concerns it.
    checkpoint
        The name of the checkpoint that this was, for people.
    length
        Bytes in the file.
    bytes, digest
        Length and digest of the snapshot, uncompressed.
    """

    partition: int
    offset: int | None
    cuts: CutPosition | None
    checkpoint: str
    length: int
    bytes: int
    digest: str
    drained: bool = False


class Savepoint(msgspec.Struct, frozen=True, kw_only=True):
    """What the file says of itself; `made` is RFC 3339, `topic` the source without the prefix."""

    stream: str
    topic: str
    build: str
    made: str
    partitions: int
    signatures: dict[str, str]
    parts: list[Part]


_decoder = msgspec.json.Decoder(Savepoint)


def part(number: int, data: bytes | bytearray, *, offset: int | None, cuts: CutPosition | None, checkpoint: str) -> tuple[Part, bytes]:
    """A part of a packed snapshot, and its bytes in the file."""
    packed = snapshot.condense([memoryview(data)])
    head = Part(
        partition=number, offset=offset, cuts=cuts, checkpoint=checkpoint, length=len(packed.data), bytes=packed.size, digest=packed.digest
    )
    return head, packed.data


def write(file: Path, about: Savepoint, bodies: Iterable[bytes]) -> None:
    """Write a savepoint; what stood there before stays until the new one is whole."""
    line = msgspec.json.encode(about)
    unfinished = file.with_name(f".{file.name}.unfinished")
    try:
        with unfinished.open("wb") as out:
            out.write(f"nilometer savepoint {FORMAT} {snapshot.digest(line)}\n".encode() + line + b"\n")
            for body in bodies:
                out.write(body)
            out.flush()
            os.fsync(out.fileno())
        unfinished.replace(file)
    finally:
        with suppress(FileNotFoundError):
            unfinished.unlink()


def read(file: Path) -> Savepoint:
    """What a savepoint says of itself.

    Raises
    ------
    UserError
        The file is none, is damaged, or was written by a newer build.
    """
    with file.open("rb") as source:
        return _head(file, source)


def states(file: Path) -> Iterator[tuple[Part, bytearray]]:
    """Every part with its snapshot, one after another.

    Raises
    ------
    UserError
        A part is damaged or cut off.
    """
    with file.open("rb") as source:
        about = _head(file, source)
        for each in about.parts:
            body = source.read(each.length)
            try:
                data = snapshot.decompress(body, each.bytes)
            except SnapshotError as problem:
                raise UserError(f"{file}: partition {each.partition} is damaged or cut off: {problem}") from problem
            if snapshot.digest(data) != each.digest:
                raise UserError(f"{file}: partition {each.partition} is damaged: its digest is not the one that the head names")
            yield each, data
        if source.read(1):
            raise UserError(f"{file}: more bytes than its head names")


def _head(file: Path, source: BinaryIO) -> Savepoint:
    found = _FIRST.fullmatch(source.readline(80))
    if found is None:
        raise UserError(f"{file} is no savepoint: its first line is not `nilometer savepoint …` (nilometer state export makes one)")
    if int(found[1]) > FORMAT:
        raise UserError(f"{file} has format {int(found[1])}, this build reads up to {FORMAT}: use the newer build that wrote it")
    line = source.readline(_LONGEST_LINE).removesuffix(b"\n")
    if snapshot.digest(line) != found[2].decode():
        raise UserError(f"{file}: its second line is damaged: the digest is not the one that the first names")
    try:
        about = _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise UserError(f"{file}: its second line cannot be read: {problem}") from problem
    rest = file.stat().st_size - source.tell()
    if any(not 0 <= each.length <= rest for each in about.parts):
        raise UserError(f"{file} is damaged or cut off: its head names parts longer than what follows it")
    if [each.partition for each in about.parts] != list(range(min(max(about.partitions, 0), len(about.parts) + 1))):
        raise UserError(f"{file} has not every partition of {about.partitions} once, in order")
    return about
