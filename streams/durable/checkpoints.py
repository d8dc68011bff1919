"""Checkpoints: a partition's state as *a snapshot and an offset*, made current by one fenced commit.

A checkpoint is chunks and a manifest in a compacted topic, under keys that never repeat (`streams.durable.manifest`). It becomes current at
the moment in which the group's coordinator takes a commit of its offset with its name as metadata. The coordinator refuses
whoever no longer owns the partition, so an old owner can write what it likes: nothing of it is ever current.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from streams.durable.manifest import CHUNK_BYTES, MANIFEST, CutPosition, Manifest, Names, Packing, Shelf, chunk_key, encode
from streams.durable.parked import Cause, Dead, Parked
from streams.durable.store import Committed, Place, Store
from streams.transport.groups import StaleCommit

T = TypeVar("T")


class Offload(Protocol):
    """Runs slow, pure work somewhere else."""

    async def __call__(self, work: Callable[..., T], *arguments: Any) -> T: ...


async def at_once(work: Callable[..., T], *arguments: Any) -> T:
    """Here and now: for small states and for tests."""
    return work(*arguments)


async def no_pause(size: int) -> None:
    """Sends as fast as the producer takes it."""


@dataclass(frozen=True, slots=True)
class Found:
    """A checkpoint that can be gone on from."""

    name: str
    manifest: Manifest
    data: bytearray
    instead_of: str | None = None  # the current one, where that could not be read


@dataclass(frozen=True, slots=True)
class Frozen:
    """What a checkpoint is made of, all taken at one boundary between two batches."""

    offset: int
    state: Packing
    cuts: CutPosition
    outputs: Sequence[Awaitable[Any]] = ()  # deliveries of everything that was said since the last one


@dataclass
class Checkpoints:
    """The checkpoints of one partition of one stream, as one member of the group reads and writes them.

    Parameters
    ----------
    place
        The partition of the checkpoint topic.
    source
        That of the source, whose offset is committed.
    partitions
        How many the source has.
    signatures
        Settings that shape the state, as text; a state of other settings is not read.
    offload
        Where a state is copied, compressed, hashed and taken apart again. It returns when the work has ended, even cancelled.
    pause
        Awaited before a chunk of so many bytes is sent.
    """

    store: Store
    place: Place
    source: Place
    partitions: int
    signatures: dict[str, str]
    offload: Offload = at_once
    pause: Callable[[int], Awaitable[None]] = no_pause
    names: Names = field(default_factory=Names)
    current: str | None = None  # as far as we know; the group's commit knows
    size: int = 0  # bytes of the last checkpoint, compressed
    chunk_bytes: int = CHUNK_BYTES
    _known: dict[str, list[bytes]] = field(default_factory=dict)  # what lies in the topic, by name

    async def restore(self) -> Found | None:
        """The checkpoint to go on from; None where the stream is at its very beginning (no position, no checkpoint).

        Raises
        ------
        Parked
            There is something, and it cannot be gone on from.
        """
        committed, shelf = await stand_still(self.store, self.place, self.source)
        self._known = {name: shelf.keys(name) for name in shelf.parts}
        self.current = None
        if committed is None:
            self._refuse_lost_group(shelf)
            return None
        name = committed.metadata
        if not name:
            raise Parked(
                Cause.MOVED,
                f"the group's offset {committed.offset} of {self._where} names no checkpoint: somebody has moved it. "
                "Put the commit back, or `nilometer state reset` the partition to start from there with nothing learnt",
            )
        found = await self._readable(shelf, name)
        if found is None:
            found = await self._one_before(shelf, name, committed.offset)
        await self._still_in_source(found)
        self.current = found.name
        return found

    async def still_current(self) -> bool:
        """Whether the group's current checkpoint is the last one that we have made: then its fold may keep its memory."""
        committed = await self.store.committed(self.source)
        return committed is not None and self.current == committed.metadata and self.names.ours(committed.metadata)

    async def affirm(self, generation: int) -> None:
        """Commit once more what is current: it changes nothing, and only the owner can.

        Raises
        ------
        Dead
            The coordinator refused.
        """
        committed = await self.store.committed(self.source)
        if committed is not None:
            await self._commit(committed.offset, committed.metadata, generation)

    async def _commit(self, offset: int, name: str, generation: int) -> None:
        try:
            await self.store.commit(self.source, offset, name, generation)
        except StaleCommit as stale:
            raise Dead(str(stale)) from stale
        except Exception as problem:
            # It may still be taken. Whoever went on in this generation could make another checkpoint current, sweep this one
            # away, and then see it become current after all.
            raise Dead(f"nobody knows whether {name} was committed: {problem!r}") from problem

    async def write(self, frozen: Frozen, generation: int, check: Callable[[], None]) -> None:
        """Make a checkpoint and make it current; `check` raises where the fold has died meanwhile.

        Every output of the interval must have been delivered before.

        Raises
        ------
        Dead
            The coordinator refused: another member owns the partition.
        Exception
            A part of the checkpoint was not delivered. The one before is still current, and this one never will be.
        """
        chunks, size, digest = await self.offload(frozen.state.finish)
        check()
        name = self.names.next()
        manifest = Manifest(
            offset=frozen.offset,
            chunks=len(chunks),
            bytes=size,
            digest=digest,
            partitions=self.partitions,
            cuts=frozen.cuts,
            before=self.current,
            signatures=self.signatures,
        )
        packed = sum(len(chunk) for chunk in chunks)
        parts: list[tuple[int | str, bytes]] = [*enumerate(chunks), (MANIFEST, encode(manifest))]
        self._known[name] = [chunk_key(name, part) for part, _ in parts]
        deliveries: list[Awaitable[int]] = []
        chunks.clear()
        parts.reverse()
        while parts:
            part, value = parts.pop()  # each goes when it has been sent
            await self.pause(len(value))
            check()
            deliveries.append(await self.store.append(self.place, chunk_key(name, part), value))
        await all_of(deliveries)
        check()
        await self._commit(frozen.offset, name, generation)
        before, self.current = self.current, name
        self.size = packed
        with suppress(Exception):  # what is not swept now is swept next time: the checkpoint is made
            await self._sweep({name, before})

    async def _sweep(self, kept: set[str | None]) -> None:
        """Tombstones for all but the current checkpoint and the one before it.

        What we know of was written in our own tenure, or lay there when we were restored, before our commit was taken: it is
        of generations that can commit no more.
        """
        for name in [name for name in self._known if name not in kept]:
            keys = self._known[name]
            await all_of([await self.store.append(self.place, key, None) for key in keys])
            del self._known[name]

    async def _readable(self, shelf: Shelf, name: str) -> Found | None:
        manifest = shelf.manifest(name)
        if manifest is None:
            return None
        if manifest.partitions != self.partitions:
            raise Parked(
                Cause.PARTITIONS,
                f"checkpoint {name} of {self._where} was made when the source had {manifest.partitions} partitions, now it has "
                f"{self.partitions}: keys have moved. Put the number back, or `nilometer state reset` the stream",
            )
        if manifest.signatures != self.signatures:
            raise Parked(
                Cause.SIGNATURE,
                f"the state of {self._where} was made with {text_of(manifest.signatures)}, "
                f"the settings now say {text_of(self.signatures)}: put the old settings back, or `nilometer state reset` the partition",
            )
        data = await self.offload(shelf.data, name, manifest, True)
        return None if data is None else Found(name, manifest, data)

    async def _one_before(self, shelf: Shelf, name: str, offset: int) -> Found:
        """The checkpoint that was current before an unreadable one."""
        manifest = shelf.manifest(name)
        if manifest is not None:
            others = [manifest.before] if manifest.before else []
        else:  # it cannot say; whatever is whole and not ahead of it is a fold of the same logs
            every = [(each.offset, label) for label in shelf.parts if (each := shelf.manifest(label)) and each.offset <= offset]
            others = [label for _, label in sorted(every, reverse=True)]
        for other in others:
            found = await self._readable(shelf, other)
            if found is not None:
                return Found(found.name, found.manifest, found.data, instead_of=name)
        raise Parked(
            Cause.UNREADABLE,
            f"checkpoint {name} of {self._where} cannot be read, nor one before it: restore the topic {self.place[0]}, "
            "`nilometer state import` an export, or `nilometer state reset` the partition",
        )

    async def _still_in_source(self, found: Found) -> None:
        begin, end = await self.store.source_begin(self.source), await self.store.source_end(self.source)
        if not begin <= found.manifest.offset <= end:
            unread = f" (the current checkpoint, {found.instead_of}, cannot be read)" if found.instead_of else ""
            raise Parked(
                Cause.SOURCE,
                f"checkpoint {found.name} of {self._where} stands at offset {found.manifest.offset}, the source holds {begin} to {end}"
                f"{unread}: events are lost, or the topic was made anew. Bring them back, or `nilometer state reset` the partition",
            )

    def _refuse_lost_group(self, shelf: Shelf) -> None:
        # A first checkpoint, of a state that has seen nothing, may lie there from an owner who crashed before its commit.
        if any((manifest := shelf.manifest(name)) is not None and manifest.before is not None for name in shelf.parts):
            raise Parked(
                Cause.GROUP_LOST,
                f"the group has no position of {self._where}, though there are checkpoints: it was deleted, or its offsets expired. "
                "`nilometer state reset --keep` the partition to go on from its last checkpoint",
            )

    @property
    def _where(self) -> str:
        return f"{self.source[0]}/{self.source[1]}"


async def stand_still(store: Store, place: Place, source: Place) -> tuple[Committed | None, Shelf]:
    """The group's commit and the log of checkpoints, read until the commit was the same before and after."""
    committed = await store.committed(source)
    while True:
        contents = await store.read_to_end(place)
        again = await store.committed(source)
        if again == committed:
            return committed, Shelf(contents.records)
        committed = again


def text_of(signatures: dict[str, str]) -> str:
    """Signatures as a person reads them."""
    return "; ".join(signatures[name] for name in sorted(signatures))


async def all_of(deliveries: Sequence[Awaitable[Any]]) -> None:
    """Wait for every one, also when one fails; then raise the first failure."""
    failure: Exception | None = None
    for delivery in deliveries:
        try:
            await delivery
        except Exception as problem:
            failure = failure or problem
    if failure is not None:
        raise failure
