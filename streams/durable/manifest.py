"""A checkpoint's manifest, and the names under which a checkpoint lies in its topic.

A checkpoint is called ``<tenure>/<seq>``; its chunks lie under ``<tenure>/<seq>/<i>``, its manifest under ``<tenure>/<seq>/m``.
No name is ever used twice: `tenure` is drawn at each restore, `seq` counts from 0. So no write of anybody, however late, can
change a checkpoint that somebody else has made.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

import msgspec

from state import snapshot
from state.snapshot import SnapshotError
from streams.durable.parked import Cause, Parked
from streams.durable.store import Stored

FORMAT = 1  # of manifests
CHUNK_BYTES = 900_000  # a record with its key and headers stays below Kafka's default of 1,048,576
AHEAD_BYTES = 128 << 20  # of a state that are copied before they are compressed,
COMPRESSED_BESIDE = 2  # and how many threads do that meanwhile
MANIFEST = "m"


class CutPosition(msgspec.Struct, frozen=True, array_like=True):
    """How far a cut log has been followed: the next offset, the generation in force there, the number of its last cut."""

    next: int = 0
    generation: tuple[int, int] | None = None
    number: int = 0


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint is.

    Attributes
    ----------
    offset
        [o] The next event to fold.
    chunks, bytes, digest
        How many chunks; length and digest of the uncompressed state.
    partitions
        Of the source, when this was written.
    cuts
        The cuts that are in the state are those before this place in the cut log.
    before
        Name of the checkpoint that was current when this was written, None for the first.
    signatures
        Settings that shape the state, as text, by the part of the state that they shape.
    """

    offset: int
    chunks: int
    bytes: int
    digest: str
    partitions: int
    cuts: CutPosition
    before: str | None
    signatures: dict[str, str]
    format: int = FORMAT


class _Format(msgspec.Struct):
    format: int


_decoder = msgspec.json.Decoder(Manifest)
_format = msgspec.json.Decoder(_Format)


def new_tenure() -> str:
    """64 random bits."""
    return secrets.token_hex(8)


def chunk_key(name: str, part: int | str) -> bytes:
    """The key of a chunk, or of the manifest (`MANIFEST`)."""
    return f"{name}/{part}".encode()


@dataclass(slots=True)
class Names:
    """The names that one tenure gives, each once."""

    tenure: str = field(default_factory=new_tenure)
    _seq: count[int] = field(default_factory=count)

    def next(self) -> str:
        """A name that nobody has used and nobody will."""
        return f"{self.tenure}/{next(self._seq)}"

    def ours(self, name: str) -> bool:
        return name.startswith(self.tenure + "/")


class Packed(NamedTuple):
    """A state's chunks, compressed; its length and its digest before that."""

    chunks: list[bytes]
    bytes: int
    digest: str


class Packing:
    """A state on its way into chunks, block by block.

    Parameters
    ----------
    ahead
        Bytes that may wait to be compressed. A state that is no larger is only copied while its fold stands still; a larger one is
        compressed meanwhile, and what of it is copied and not compressed is never more than this and a block.
    """

    def __init__(self, chunk_bytes: int = CHUNK_BYTES, ahead: int = AHEAD_BYTES) -> None:
        self._chunk_bytes, self._ahead = chunk_bytes, ahead
        self._hash = snapshot.hashed()
        self._size = 0
        self._waiting: deque[bytearray] = deque()
        self._begun: deque[tuple[int, Future[bytes], Future[None]]] = deque()  # the bytes of a block, its frame, that it was hashed
        self._held = 0
        self._chunks: list[bytes] = []
        self._rest = bytearray()

    def take(self, parts: Iterable[bytes | memoryview]) -> Packing:
        """Take all of it in, while it stands still. Slow: for a thread."""
        with ExitStack() as stack:
            compress: ThreadPoolExecutor | None = None
            hashes: ThreadPoolExecutor | None = None
            for block in snapshot.blocks(parts):
                self._size += len(block)
                self._held += len(block)
                self._waiting.append(block)
                del block
                if compress is None and 2 * self._held > self._ahead:
                    compress, hashes = ThreadPoolExecutor(COMPRESSED_BESIDE, "compress"), ThreadPoolExecutor(1, "hash")
                    stack.callback(compress.shutdown, wait=False)  # their threads end when nothing waits
                    stack.callback(hashes.shutdown, wait=False)
                while compress is not None and hashes is not None and self._waiting:
                    begun = self._waiting.popleft()
                    frame, taken = compress.submit(snapshot.compressed, begun), hashes.submit(self._hash.update, begun)
                    self._begun.append((len(begun), frame, taken))
                    del begun
                while self._held > self._ahead and self._begun:
                    self._cut_oldest()
        return self

    def finish(self) -> Packed:
        """Compress what waits; the chunks, which are no longer held here. Slow: for a thread."""
        while self._begun:
            self._cut_oldest()
        while self._waiting:
            block = self._waiting.popleft()
            self._hash.update(block)
            self._cut(snapshot.compressed(block))
        if self._rest:
            self._chunks.append(bytes(self._rest))
        chunks, self._chunks = self._chunks, []
        return Packed(chunks, self._size, self._hash.hexdigest())

    def _cut_oldest(self) -> None:
        size, frame, taken = self._begun.popleft()
        taken.result()
        self._cut(frame.result())
        self._held -= size

    def _cut(self, frame: bytes) -> None:
        self._rest += frame
        while len(self._rest) >= self._chunk_bytes:
            self._chunks.append(bytes(self._rest[: self._chunk_bytes]))
            del self._rest[: self._chunk_bytes]


def pack(parts: Iterable[bytes | memoryview], chunk_bytes: int = CHUNK_BYTES) -> Packed:
    """A state that comes in pieces, as chunks. Slow: for a thread."""
    return Packing(chunk_bytes).take(parts).finish()


def encode(manifest: Manifest) -> bytes:
    return msgspec.json.encode(manifest)


class Shelf:
    """What a partition of the checkpoint topic holds: checkpoints by name, whole, half written or half gone."""

    def __init__(self, records: Iterable[Stored]) -> None:
        self.parts: dict[str, dict[str, bytes]] = {}
        for record in records:
            name, _, part = (record.key or b"").decode("utf-8", "replace").rpartition("/")
            if not name:
                continue
            if record.value is not None:
                self.parts.setdefault(name, {})[part] = record.value
            elif name in self.parts:
                self.parts[name].pop(part, None)
        self.parts = {name: parts for name, parts in self.parts.items() if parts}

    def keys(self, name: str) -> list[bytes]:
        """The keys that a checkpoint still has records under."""
        return [chunk_key(name, part) for part in self.parts.get(name, ())]

    def manifest(self, name: str) -> Manifest | None:
        """A checkpoint's manifest, None where there is none that can be read.

        Raises
        ------
        Parked
            It is of a newer format.
        """
        value = self.parts.get(name, {}).get(MANIFEST)
        if value is None:
            return None
        try:
            form = _format.decode(value).format
            if form > FORMAT:
                raise Parked(
                    Cause.FORMAT,
                    f"checkpoint {name} has format {form}, this build reads up to {FORMAT}: run the newer build that wrote it",
                )
            return _decoder.decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None

    def data(self, name: str, manifest: Manifest, spend: bool = False) -> bytearray | None:
        """The state of a checkpoint, None where something of it is missing or damaged. Slow: for a thread.

        With `spend`, the shelf no longer holds its chunks.
        """
        parts = self.parts.get(name, {})
        chunks = [parts.get(str(i)) for i in range(manifest.chunks)]
        present = [chunk for chunk in chunks if chunk is not None]
        if len(present) < len(chunks):
            return None
        whole = b"".join(present)
        if spend:
            for i in range(manifest.chunks):
                del parts[str(i)]
            del chunks, present
        try:
            data = snapshot.decompress(whole, manifest.bytes)
        except SnapshotError:
            return None
        return data if snapshot.digest(data) == manifest.digest else None
