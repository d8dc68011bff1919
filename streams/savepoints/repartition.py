"""Keys move when the number of a topic's partitions changes: a savepoint taken apart key by key and put together anew.

What is a key's own goes with it, to the bit. What is a partition's own is shared out by the rules of
`streams.savepoints.by_key`. Where keys go is murmur2's to say, as Kafka's own senders have it; a stream that is keyed otherwise is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.protocol import Detector, Ints
from state import snapshot
from state.moments import merge_moments, moments_record
from state.snapshot import Section
from streams.definitions import Definition
from streams.erasure import SEPARATOR
from streams.errors import UserError
from streams.partition import Partition
from streams.savepoints.by_key import NAMED, STAMPS, Rule, Sections, lengths, place_of, rule_of, stretches
from streams.savepoints.savepoint import Part
from streams.transport.broker import partition_of_key

SHARED_OUT = (
    "every key's own state has moved with it, to the bit; what was a partition's own was shared out: counts are added up, what was adopted "
    "is the newest, ranks of card scores and the day's alerts are those of one old partition, clocks the latest (see deploy/README.md)"
)


@dataclass(slots=True)
class Old:
    """A partition as it was: its sections at this build's versions, its keys, and how many entries of each array are each key's."""

    part: Partition
    sections: Sections
    keys: list[bytes]
    lengths: dict[str, dict[str, Ints]]

    @classmethod
    def of(cls, part: Partition) -> Old:
        sections = snapshot.unpack(part.freeze())
        return cls(part, sections, part.state.keys.packed(part.state.keys.order()).tolist(), lengths(part.detector, sections))

    @property
    def at(self) -> int:
        return self.part.episodes.event_time


def repartitioned(stream: Definition, olds: Sequence[Partition], many: int) -> list[Partition]:
    """The folds of `many` partitions that know what these know of every key; their positions are the beginning.

    Raises
    ------
    UserError
        A key is not where murmur2 puts it.
    """
    parts = [Old.of(part) for part in olds]
    refuse_other_keying(stream.name, [each.keys for each in parts])
    where = np.array([partition_of_key(_people(key), many) for each in parts for key in each.keys], np.int64)
    names = [key for each in parts for key in each.keys]
    made = []
    for number in range(many):
        rows = np.array(sorted(np.flatnonzero(where == number).tolist(), key=names.__getitem__), np.int64)
        part = stream.partition(number)
        part.thaw(snapshot.pack(_merged(stream.detector, parts, rows, number, many)))
        made.append(part)
    return made


def refuse_other_keying(stream: str, keys: Sequence[Sequence[bytes]]) -> None:
    """Raise a `UserError` where keys are not where murmur2 puts them."""
    for number, own in enumerate(keys):
        for key in own:
            there = partition_of_key(_people(key), len(keys))
            if there != number:
                raise UserError(
                    f"{stream}: {_people(key).decode('utf-8', 'replace')} is in partition {number}, murmur2 puts it into {there} of "
                    f"{len(keys)}: records are not keyed by the id, or by another partitioner; nobody can say where its keys go"
                )


def placed(part: Partition, old: Part | None, grown: bool) -> tuple[Part, bytes]:
    """A new partition's part of the savepoint: behind what was folded where the topic has grown, else from its source's beginning."""
    offset = old.offset if grown and old is not None else None
    part.next = part.first = offset or 0
    from streams.savepoints import savepoint

    head, body = savepoint.part(part.number, part.freeze(), offset=offset, cuts=None, checkpoint="repartitioned")
    return msgspec.structs.replace(head, drained=offset is not None), body


def _people(key: bytes) -> bytes:
    """The key that a record has: of a key of parts the first."""
    return key.partition(SEPARATOR)[0]


def _merged(detector: Detector, olds: Sequence[Old], rows: Ints, number: int, many: int) -> dict[str, Section]:
    """The sections of new partition `number`: of its keys (numbered through all old partitions, in byte order) and by the rules."""
    of = np.repeat(np.arange(len(olds)), [len(old.keys) for old in olds])[rows]  # which partition each key was in
    newest = max(olds, key=lambda old: (old.at, -old.part.number))
    sections = {}
    for name, section in olds[0].sections.items():
        if name == "partition":
            sections[name] = Section(section.version, {}, _meta(olds, newest, number, many))
            continue
        if name in NAMED:
            sections[name] = Section(section.version, _named([old.sections[name].arrays for old in olds], NAMED[name], number, many))
            continue
        arrays: dict[str, NDArray[Any]] = {}
        for array in section.arrays:
            each = [old.sections[name].arrays[array] for old in olds]
            if array in olds[0].lengths.get(name, {}):
                own = np.concatenate([old.lengths[name][array] for old in olds])
                arrays[array] = np.concatenate(each)[stretches(place_of(own)[rows], own[rows])]
            else:
                arrays[array] = _shared(rule_of(name, array), each, number, many, olds.index(newest))
        sections[name] = Section(section.version, arrays, newest.sections[name].meta)
    keys, episodes = sections[f"{detector.name}.keys"].arrays, dict(sections["episodes"].arrays)
    has = np.concatenate([old.lengths["episodes"]["place"] for old in olds])[rows]
    sections["episodes"] = Section(sections["episodes"].version, {**episodes, "place": np.flatnonzero(has)})
    events = np.array([old.part.counts.events for old in olds])
    ahead = sections["partition"].meta["counts"][0] - events
    sections[f"{detector.name}.keys"] = Section(sections[f"{detector.name}.keys"].version, {**keys, "touched": keys["touched"] + ahead[of]})
    for name, array, column, clock, place in STAMPS:
        if name in sections:
            lived = np.array([old.sections[name].arrays[clock][place] for old in olds])
            stamped = sections[name].arrays[array].copy()
            stamped[:, column] += (sections[name].arrays[clock][place] - lived)[of]
            sections[name] = Section(sections[name].version, {**sections[name].arrays, array: stamped}, sections[name].meta)
    return sections


def _shared(rule: Rule, each: list[NDArray[Any]], number: int, many: int, newest: int) -> NDArray[Any]:
    mine = each[number::many]
    if rule == Rule.SUM:
        return sum(mine, start=np.zeros_like(each[0]))
    if rule == Rule.MOMENTS:
        whole = merge_moments([moments_record(one) for one in mine])
        return np.array([float(whole["n"]), float(whole["mean"]), float(whole["m2"])])
    if rule == Rule.SAMPLE:
        return each[number % len(each)]
    if rule == Rule.NEWEST:
        return each[newest]
    latest: NDArray[Any] = np.max(np.stack(each), axis=0)
    if rule == Rule.PERIODS:
        latest[1] = min(one[1] for one in each)
    return latest


def _named(each: Sequence[Mapping[str, NDArray[Any]]], known: str, number: int, many: int) -> dict[str, NDArray[Any]]:
    """What partition `number` has of names and what is known of them."""
    held: dict[bytes, NDArray[Any]] = {}
    for arrays in each:
        starts, text = place_of(arrays["lengths"]).tolist(), arrays["keys"].tobytes()
        names = [text[start : start + length] for start, length in zip(starts, arrays["lengths"].tolist(), strict=True)]
        held |= {name: row for name, row in zip(names, arrays[known], strict=True) if partition_of_key(_people(name), many) == number}
    names = sorted(held)
    rows = np.array([held[name] for name in names], each[0][known].dtype).reshape(-1, *each[0][known].shape[1:])
    lengths = np.array([len(name) for name in names], np.int64)
    return {"keys": np.frombuffer(b"".join(names), np.uint8), "lengths": lengths, known: rows}


def _meta(olds: Sequence[Old], newest: Old, number: int, many: int) -> dict[str, Any]:
    meta = dict(newest.sections["partition"].meta)
    each = [old.sections["partition"].meta for old in olds]
    counts = [one["counts"] for one in each[number::many]] or [[0] * len(meta["counts"])]
    upstream: dict[tuple[str, int], list[int]] = {}
    for one in each if many > len(each) else ():  # from more to fewer: topics were made anew, and their offsets begin anew
        for topic, partition, *seen in one["upstream"]:
            upstream[topic, partition] = max(upstream.get((topic, partition), [-1, -1]), seen)
    meta.update(
        next=0, first=0, last_cut=-1, counts=[sum(column) for column in zip(*counts, strict=True)],
        upstream=[[*place, *seen] for place, seen in sorted(upstream.items())],
    )  # fmt: skip
    stays = number < len(each) < many  # topics that have grown; else they were made anew
    through = each[number]["through"] if stays else dict.fromkeys(meta["through"], 0)
    meta["through"] = {**through, "erase": min(one["through"]["erase"] for one in each)}
    return meta
