"""A partition begun anew by hand: a new epoch in its cut log, and a checkpoint of a state that has seen nothing, or the last one.

Only this writes a `begin` of generation 0: groups count from 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from streams.definitions import Definition
from streams.durable import manifest
from streams.durable.cut_log import Adoption, Begin, CutReader, Generation, decode
from streams.durable.manifest import MANIFEST, CutPosition, Manifest, Shelf, chunk_key, pack
from streams.durable.parked import Parked
from streams.partition import signature_text


def in_force(log: Iterable[tuple[int, bytes]]) -> Generation | None:
    """The generation at the end of a cut log's records (offset, value); what cannot be read is passed over."""
    reader = CutReader()
    for offset, value in log:
        with suppress(Parked):
            reader.read(offset, decode(value))
    return reader.generation


def next_epoch(before: Generation | None) -> Generation:
    """What a reset begins: it stands above every generation of a group so far, and below all to come."""
    return Generation(1 if before is None else before.epoch + 1, 0)


def since_reset(log: Iterable[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """The records from the last reset on that forgot what was before; all of them, if there was none."""
    kept: list[tuple[int, bytes]] = []
    reader = CutReader()
    for offset, value in log:
        with suppress(Parked):
            entry = decode(value)
            if reader.read(offset, entry) and isinstance(entry, Begin) and entry.generation.generation == 0 and not entry.keeps:
                kept.clear()
        kept.append((offset, value))
    return kept


def latest(shelf: Shelf, log: Iterable[tuple[int, bytes]]) -> tuple[str, Manifest] | None:
    """The checkpoint that has folded most, of those that are whole and have not gone past a cut that they do not hold.

    The group's commit would say which one was current. Without it the one that has folded most will do, committed or not: two
    folds of one log cannot disagree. Only an owner that was put out may have folded past a cut of the next one's.

    Raises
    ------
    Parked
        The log cannot be read, or a checkpoint is of a newer build.
    """
    entries = list(log)
    there = [(manifest.offset, name, manifest) for name in shelf.parts if (manifest := shelf.manifest(name)) is not None]
    for _, name, manifest in sorted(there, key=lambda each: each[:2], reverse=True):
        if not _has_missed_a_cut(manifest, entries) and shelf.data(name, manifest) is not None:
            return name, manifest
    return None


def _has_missed_a_cut(manifest: Manifest, log: list[tuple[int, bytes]]) -> bool:
    reader = CutReader.at(manifest.cuts)
    later = ((offset, decode(value)) for offset, value in log if offset >= manifest.cuts.next)
    return any(reader.read(offset, entry) and isinstance(entry, Adoption) and entry.n < manifest.offset for offset, entry in later)


def checkpoint(stream: Definition, partition: int, partitions: int, start: int, cuts: CutPosition, name: str) -> list[tuple[bytes, bytes]]:
    """The records, keys and values, of a checkpoint `name` of a fold that has seen nothing and begins at `start`; the manifest last."""
    part = stream.partition(partition)
    part.next = part.first = start
    chunks, size, digest = pack(part.pieces())
    whole = Manifest(
        offset=start,
        chunks=len(chunks),
        bytes=size,
        digest=digest,
        partitions=partitions,
        cuts=cuts,
        before=None,
        signatures={"detector": signature_text(stream.detector)},
    )
    return [(chunk_key(name, i), chunk) for i, chunk in enumerate(chunks)] + [(chunk_key(name, MANIFEST), manifest.encode(whole))]
