"""Savepoints out of a broker and into it: what `nilometer state export` and `import` do, on whatever broker there is.

An export takes the checkpoint that is current for every partition; workers may go on meanwhile. An import makes each part a checkpoint
and the current one, in a new epoch of the partition's cut log: only while the group has no members. Broken off, it is done again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from state.snapshot import SnapshotError
from streams import topics
from streams.definitions import Definition
from streams.durable.checkpoints import all_of, stand_still, text_of
from streams.durable.cut_log import Begin, CutReader, decode, encode
from streams.durable.manifest import CHUNK_BYTES, MANIFEST, CutPosition, Manifest, Names, chunk_key, pack
from streams.durable.manifest import encode as encode_manifest
from streams.durable.parked import Parked
from streams.durable.store import Place, Store, Stored
from streams.errors import UserError
from streams.partition import Partition, signature_text
from streams.savepoints.cold_start import in_force, next_epoch
from streams.savepoints.savepoint import Part, Savepoint


class Current(NamedTuple):
    """A partition's current checkpoint."""

    name: str
    manifest: Manifest
    packed: bytes  # as it lies in the topic
    data: bytearray


@dataclass(frozen=True, slots=True)
class Places:
    """Where a stream lies on a broker."""

    stream: str
    prefix: str

    def source(self, number: int) -> Place:
        return self.prefix + topics.source(self.stream), number

    def cuts(self, number: int) -> Place:
        return self.prefix + topics.cuts(self.stream), number

    def checkpoints(self, number: int) -> Place:
        return self.prefix + topics.checkpoints(self.stream), number

    def outside(self, number: int) -> dict[str, Place]:
        """Where that stands of which a state knows through which offset it has adopted it."""
        limits = {"limits": (self.prefix + topics.EMPLOYEE_LIMITS, number)} if self.stream == "employees" else {}
        return {"verdicts": (self.prefix + topics.ALERT_LABELS, number), **limits, "erase": (self.prefix + topics.erasures(self.stream), 0)}


async def current(store: Store, places: Places, number: int) -> Current:
    """The current checkpoint of a partition.

    Raises
    ------
    UserError
        There is none, or it cannot be read.
    """
    topic, source = places.checkpoints(number), places.source(number)
    committed, shelf = await stand_still(store, topic, source)
    where = f"{source[0]}/{number}"
    if committed is None or committed.offset < 0:
        raise UserError(f"{where} has no checkpoint yet: no worker has had it, or its group was deleted")
    try:
        manifest = shelf.manifest(committed.metadata) if committed.metadata else None
    except Parked as newer:
        raise UserError(f"{where}: {newer}") from newer
    if manifest is None:
        raise UserError(f"{where}: the group's offset {committed.offset} names no checkpoint that is in {topic[0]}")
    data = shelf.data(committed.metadata, manifest)
    if data is None:
        raise UserError(f"{where}: checkpoint {committed.metadata} is damaged, or part of it is missing")
    parts = shelf.parts[committed.metadata]
    return Current(committed.metadata, manifest, b"".join(parts[str(i)] for i in range(manifest.chunks)), data)


async def take(store: Store, places: Places) -> AsyncIterator[tuple[Part, bytes, Manifest]]:
    """Every partition's part of a savepoint, its bytes, and the manifest it was made from.

    Where the source has grown meanwhile, and its partitions are parked, the savepoint is of those that it had.
    """
    many = number = 0
    while number <= max(many - 1, 0):
        found = await current(store, places, number)
        manifest = found.manifest
        many = many or manifest.partitions
        if manifest.partitions != many:
            raise UserError(
                f"checkpoint {found.name} of {places.source(number)[0]}/{number} was made when the source had {manifest.partitions} "
                f"partitions, that of partition 0 when it had {many}: no savepoint can hold both"
            )
        head = Part(
            partition=number, offset=manifest.offset, cuts=manifest.cuts, checkpoint=found.name, length=len(found.packed),
            bytes=manifest.bytes, digest=manifest.digest,
        )  # fmt: skip
        yield head, found.packed, manifest
        number += 1


def refuse_other(about: Savepoint, stream: Definition, partitions: int) -> None:
    """Raise a `UserError` where a savepoint is of something else: another stream, other settings, another number of partitions."""
    if about.stream != stream.name:
        raise UserError(f"the savepoint is of {about.stream}, not of {stream.name}")
    signatures = {"detector": signature_text(stream.detector)}
    if about.signatures != signatures:
        raise UserError(
            f"the savepoint of {stream.name} was made with {text_of(about.signatures)}, the settings now say {text_of(signatures)}: "
            "put the old settings back"
        )
    if about.partitions != partitions:
        raise UserError(
            f"the savepoint has {about.partitions} partitions, the source {partitions}: "
            f"nilometer state repartition {stream.name} FILE --to {partitions}"
        )


@dataclass(frozen=True, slots=True)
class Ready:
    """A part that may be put in force: where it goes on, and the cuts that it has; None where it has none of this log."""

    part: Partition
    offset: int
    cuts: CutPosition | None


async def check(
    store: Store, places: Places, stream: Definition, head: Part, data: bytearray, *, from_beginning: bool, keyed_anew: bool
) -> Ready:
    """See whether a part can be put in force; nothing is changed.

    Parameters
    ----------
    from_beginning
        The source was made anew: fold it from its beginning, whatever the part says.
    keyed_anew
        What stands in the source behind a part that wants it drained is keyed for the new number of partitions.

    Raises
    ------
    UserError
        It cannot be; the message says why.
    """
    source, log = places.source(head.partition), places.cuts(head.partition)
    where = f"{source[0]}/{source[1]}"
    part = stream.partition(head.partition)
    try:
        part.thaw(data)
    except SnapshotError as problem:
        raise UserError(f"{where}: {problem}") from problem
    begin, end = await store.source_begin(source), await store.source_end(source)
    offset = begin if head.offset is None or from_beginning else head.offset
    if not begin <= offset <= end:
        raise UserError(
            f"{where} holds {begin} to {end}, the savepoint goes on from {offset}: records are missing, or the topic was made anew "
            "(then say --from-beginning)"
        )
    if head.drained and not from_beginning and not keyed_anew and end != offset:
        raise UserError(
            f"{where} goes on to {end}, the repartitioned savepoint was taken at {offset}: what was keyed for the old number of partitions "
            "must have been folded before (stop the senders, let the workers reach the end, then export). If everything from "
            f"{offset} on was keyed for the new number, say --keyed-anew"
        )
    cuts = None if from_beginning else head.cuts
    if cuts is not None:
        await _refuse_other_log(store, log, cuts)
    part.next = offset
    for name, place in places.outside(head.partition).items():
        if await store.source_end(place) < part.through[name]:
            part.through[name] = 0  # that topic was made anew, or this is another cluster's: what stands there is news
    if from_beginning:
        part.upstream.clear()  # offsets of logs that are no more; those to come would be taken for repeats
    return Ready(part, offset, cuts)


async def put(store: Store, places: Places, ready: Ready, partitions: int, signatures: dict[str, str]) -> tuple[int, str]:
    """Put a checked part in force; the epoch that begins, and the name of the checkpoint.

    Raises
    ------
    UserError
        Somebody else has begun meanwhile.
    """
    number = ready.part.number
    log, source = places.cuts(number), places.source(number)
    mine = next_epoch(in_force(_entries((await store.read_to_end(log)).records)))
    end = await store.source_end(source)
    begun = await (await store.append(log, None, encode(Begin(mine, end, keeps=ready.cuts is not None))))
    if in_force(_entries((await store.read_to_end(log)).records)) != mine:
        raise UserError(f"somebody else has begun in {log[0]}/{number} meanwhile: stop every worker, and try again")
    chunks, size, digest = pack(ready.part.pieces(), CHUNK_BYTES)
    manifest = Manifest(
        offset=ready.offset, chunks=len(chunks), bytes=size, digest=digest, partitions=partitions,
        cuts=ready.cuts or CutPosition(begun + 1, mine, 0), before=None, signatures=signatures,
    )  # fmt: skip
    name = Names().next()
    records = [*((chunk_key(name, i), chunk) for i, chunk in enumerate(chunks)), (chunk_key(name, MANIFEST), encode_manifest(manifest))]
    await all_of([await store.append(places.checkpoints(number), key, value) for key, value in records])
    await store.commit(source, ready.offset, name, mine.generation)
    return mine.epoch, name


async def _refuse_other_log(store: Store, log: Place, cuts: CutPosition) -> None:
    """Raise where a cut log is not the one that a savepoint's position is in."""
    contents, told = await store.read_to_end(log), CutReader.at(cuts)
    reader = told if contents.begin else CutReader()  # its beginning is gone: nothing to compare with
    for record in contents.records if not contents.begin else ():
        if record.offset < cuts.next:
            try:
                reader.read(record.offset, decode(record.value or b""))
            except Parked as problem:
                raise UserError(f"{log[0]}/{log[1]}: {problem}") from problem
    held = contents.begin <= cuts.next <= contents.end
    if not held or (reader.generation, reader.number) != (told.generation, told.number):
        raise UserError(
            f"{log[0]}/{log[1]} is not the cut log that the savepoint was taken with: restore that topic, "
            "or, where the source was made anew as well, say --from-beginning"
        )


def _entries(records: Iterable[Stored]) -> list[tuple[int, bytes]]:
    return [(record.offset, record.value or b"") for record in records]
