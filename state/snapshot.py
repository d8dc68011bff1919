"""State as bytes: named sections, each with a version of its own, and nothing that could execute on load.

Layout: ``b"NILO"``, format (u16), length of the table of contents (u32), length of the whole (u64), the table (MessagePack), zero bytes
up to a multiple of 8, then the arrays, each beginning at a multiple of 8. Integers are little-endian. Equal sections give equal bytes.
Format 1, which is still read, did not say how long the whole was.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import cramjam
import msgspec
import numpy as np
from numpy.typing import NDArray

FORMAT = 2
_MAGIC = b"NILO"
_START = struct.Struct("<4sH")  # of every format
_HEADS = {1: struct.Struct("<4sHI"), 2: struct.Struct("<4sHIQ")}
_DTYPE = re.compile(r"[<|][biuf][1248]")
_LARGEST = 1 << 32  # bytes of an unpacked snapshot that is still believed
_DIGEST_BYTES = 16
COMPRESSED_AT_ONCE = 16 << 20  # bytes
_BLOCK = 8 << 20  # bytes, about, of a block of an array that is made when it is written: large enough to leave when it is let go


class SnapshotError(ValueError):
    """These bytes are no snapshot that this build can read; the message says what to do."""


@dataclass(frozen=True)
class Later:
    """An array that is made when it is written, block by block, so that it is never there twice.

    Attributes
    ----------
    dtype, shape
        Of the whole.
    blocks
        Makes its rows, in order. Until the last of them is made, what they are made of must stand still.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    blocks: Callable[[], Iterator[NDArray[Any]]]

    @classmethod
    def of_rows(
        cls, dtype: Any, shape: tuple[int, ...], rows: NDArray[np.int64], take: Callable[[NDArray[np.int64]], NDArray[Any]]
    ) -> Later:
        """What `take` makes of these rows, some at a time.

        >>> squares = Later.of_rows(np.int64, (3,), np.array([3, 1, 2]), lambda rows: rows * rows)
        >>> squares.whole().tolist()
        [9, 1, 4]
        """
        dtype = np.dtype(dtype)
        step = max(1, _BLOCK * len(rows) // max(1, dtype.itemsize * int(np.prod(shape, dtype=np.int64))))
        return cls(dtype, shape, lambda: (take(rows[a : a + step]) for a in range(0, len(rows), step)))

    def whole(self) -> NDArray[Any]:
        """All of it at once."""
        return np.concatenate([np.empty((0, *self.shape[1:]), self.dtype), *self.blocks()])


@dataclass(frozen=True)
class Section:
    """One part of a state: small values in `meta` (JSON-like), numbers in `arrays`; large ones may be made `later`."""

    version: int
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    later: Mapping[str, Later] = field(default_factory=dict)


class _Array(msgspec.Struct, array_like=True):
    name: str
    dtype: str
    shape: list[int]
    start: int


class _Entry(msgspec.Struct, array_like=True):
    name: str
    version: int
    meta: dict[str, Any]
    arrays: list[_Array]


def pieces(sections: Mapping[str, Section]) -> Iterator[memoryview]:
    """Yield the bytes of a state, piece by piece; sections, arrays and meta are written in order of their names.

    The pieces are the arrays themselves, not copies, and blocks of those that are made later. What was yielded may be kept, and goes when
    it is let go; until the last piece is made, the state must stand still.
    """
    entries: list[_Entry] = []
    whole: list[NDArray[Any] | Later] = []
    place, section = 0, Section(0)
    for name in sorted(sections):
        section = sections[name]
        arrays: list[_Array] = []
        for label in sorted({*section.arrays, *section.later}):
            array = section.later[label] if label in section.later else np.asarray(section.arrays[label], order="C")
            if array.dtype.hasobject:
                raise TypeError(f"{name}.{label} holds Python objects: only numbers go into a snapshot")
            size = array.dtype.itemsize * int(np.prod(array.shape, dtype=np.int64))
            arrays.append(_Array(label, array.dtype.newbyteorder("<").str, list(array.shape), place))
            whole.append(array)
            place += size + -size % 8
        entries.append(_Entry(name, section.version, dict(sorted(section.meta.items())), arrays))
    table = msgspec.msgpack.Encoder(order="sorted").encode(entries)
    begin = _HEADS[FORMAT].size + len(table)
    head = _HEADS[FORMAT].pack(_MAGIC, FORMAT, len(table), begin + -begin % 8 + place) + table
    yield memoryview(head + bytes(-begin % 8))
    del sections, section  # each array goes when it has been written
    whole.reverse()
    while whole:
        array = whole.pop()
        size, made = array.dtype.itemsize * int(np.prod(array.shape, dtype=np.int64)), 0
        for block in array.blocks() if isinstance(array, Later) else (array,):
            little = np.ascontiguousarray(block, block.dtype.newbyteorder("<"))
            made += little.nbytes
            yield memoryview(little.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
        if made != size:
            raise ValueError(f"an array of shape {array.shape} came as {made:,} bytes, not {size:,}: the state did not stand still")
        yield memoryview(bytes(-size % 8))


def pack(sections: Mapping[str, Section]) -> bytes:
    """The bytes of a state in one piece."""
    return b"".join(pieces(sections))


def unpack(data: bytes | bytearray, spend: bool = False) -> dict[str, Section]:
    """Return the sections of `pack`'s bytes; the arrays are writable copies.

    With `spend`, a bytearray is cut shorter from its end as it is copied, so that a large state is not in memory twice.

    Raises
    ------
    SnapshotError
        If the bytes are cut short, damaged or of a newer format.
    """
    start, length = _table_of(data)
    try:
        entries = msgspec.msgpack.decode(data[start : start + length], type=list[_Entry])
        base = start + length + -(start + length) % 8
        arrays: dict[str, dict[str, NDArray[Any]]] = {entry.name: {} for entry in entries}
        for name, part in sorted(((entry.name, part) for entry in entries for part in entry.arrays), key=lambda each: -each[1].start):
            if not _DTYPE.fullmatch(part.dtype):  # numpy would try to read anything, and raise what it likes
                raise SnapshotError(f"the array {name}.{part.name} is not one of numbers")
            dtype = np.dtype(part.dtype)
            count = int(np.prod(part.shape, dtype=np.int64)) if part.shape else 1
            if count < 0 or part.start < 0:
                raise SnapshotError(f"the array {name}.{part.name} is not one of numbers")
            flat = np.frombuffer(data, dtype, count, base + part.start) if count else np.zeros(0, dtype)
            arrays[name][part.name] = flat.reshape(part.shape).astype(dtype.newbyteorder("="))
            del flat  # nothing may look at what is cut off
            if spend and count and isinstance(data, bytearray):
                del data[base + part.start :]
        sections = {entry.name: Section(entry.version, arrays[entry.name], entry.meta) for entry in entries}
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise SnapshotError(f"the snapshot is damaged: {error}") from error
    return sections


def _table_of(data: bytes | bytearray) -> tuple[int, int]:
    """Where the table of contents begins, and how long it is: the one thing in which formats differ."""
    if len(data) < _START.size or data[:4] != _MAGIC:
        raise SnapshotError("this is no Nilometer snapshot (its first four bytes are not NILO)")
    form = _START.unpack_from(data)[1]
    if form > FORMAT:
        raise SnapshotError(f"the snapshot has format {form}, this build reads up to {FORMAT}: use the newer build that wrote it")
    head = _HEADS.get(form)
    if head is None or len(data) < head.size:
        raise SnapshotError(f"the snapshot is damaged: {len(data)} bytes of format {form}")
    length, *whole = head.unpack_from(data)[2:]
    if whole and whole[0] != len(data):
        raise SnapshotError(f"the snapshot is cut short or damaged: {len(data):,} bytes where its head says {whole[0]:,}")
    return head.size, length


def digest(data: bytes | bytearray) -> str:
    """32 hexadecimal digits that stand for a state: equal states, equal digests."""
    whole = hashed()
    whole.update(data)
    return whole.hexdigest()


class Condensed(NamedTuple):
    """A state, compressed, with its length and its digest before that."""

    data: bytes
    size: int
    digest: str


def blocks(parts: Iterable[bytes | memoryview]) -> Iterator[bytearray]:
    """The same bytes in blocks of one length, the last one shorter, wherever the pieces of a state end: what is compressed at once."""
    block = bytearray()
    for part in parts:
        place = 0
        while place < len(part):
            step = min(len(part) - place, COMPRESSED_AT_ONCE - len(block))
            block += part[place : place + step]
            place += step
            if len(block) == COMPRESSED_AT_ONCE:
                yield block
                block = bytearray()
    if block:
        yield block


def hashed() -> hashlib.blake2b:
    """What takes a state in, block by block, and gives its `digest`."""
    return hashlib.blake2b(digest_size=_DIGEST_BYTES)


def compressed(block: bytearray) -> bytes:
    """A block as a frame of its own: frames one after another are the whole. Takes some 50 ms, without the interpreter's lock.

    By zstd at its fastest level: state is mostly floats, which higher levels hardly shrink.
    """
    return bytes(cramjam.zstd.compress(block, level=1))


def condense(parts: Iterable[bytes | memoryview]) -> Condensed:
    """Compress and hash a state that comes in pieces (`pieces`). Slow: for a thread."""
    frames, taken, size = [], hashed(), 0
    for block in blocks(parts):
        taken.update(block)
        frames.append(compressed(block))
        size += len(block)
    return Condensed(b"".join(frames), size, taken.hexdigest())


def decompress(data: bytes, size: int) -> bytearray:
    """Undo `condense`; `size` is the exact length of the result, and nothing longer is ever allocated.

    Raises
    ------
    SnapshotError
        If the bytes are damaged or inflate to another size.
    """
    if not 0 <= size <= _LARGEST:
        raise SnapshotError(f"a snapshot of {size} bytes is not believed")
    room = bytearray(size)
    try:
        written = cramjam.zstd.decompress_into(data, room)
    except Exception as error:  # cramjam raises its own class; nothing of it is worth passing on
        raise SnapshotError(f"the snapshot cannot be decompressed: {error}") from error
    if written != size:
        raise SnapshotError(f"the snapshot has {written} bytes where its manifest says {size}")
    return room


Upgrade = Callable[[Section], Section]


def upgraded(name: str, section: Section, current: int, upgrades: Mapping[int, Upgrade]) -> Section:
    """Bring a section to the version `current`, one step at a time: ``upgrades[v]`` turns version v into v + 1.

    Raises
    ------
    SnapshotError
        If the section is newer than `current`, or too old for the upgrades that are kept.
    """
    if section.version > current:
        raise SnapshotError(f"section {name!r} has version {section.version}, this build knows {current}: use the newer build")
    while section.version < current:
        step = upgrades.get(section.version)
        if step is None:
            raise SnapshotError(f"section {name!r} has version {section.version}, which this build can no longer upgrade to {current}")
        section = step(section)
    return section
