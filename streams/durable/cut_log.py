"""The cut log: what outside inputs a partition adopted, before which event, written down before it was done.

Two kinds of record stand in it. ``begin {generation, end}``: an owner has been restored and is about to fold; `end` is how far
the source reached at that moment. ``cut {generation, number, n, inputs}``: the owner adopts `inputs` before its event `n`.

Everyone reads the log by one rule (`CutReader`). A `begin` counts if its generation is above the one in force. A `cut` counts if
its generation is the one in force at its place, and its number is the next one: a producer that sends twice adds nothing.

A generation is (epoch, generation of the group). The group's numbers begin anew when the group is deleted, so `nilometer state
reset` raises the epoch, which stands before them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from streams.cuts import Cut
from streams.durable.manifest import CutPosition
from streams.durable.parked import Cause, Dead, Parked
from streams.durable.store import Place, Store


class Generation(NamedTuple):
    """Ordered: a later owner's is higher."""

    epoch: int
    generation: int


class Begin(msgspec.Struct, frozen=True, tag_field="kind", tag="begin", omit_defaults=True):
    """An owner begins; the source reached to `end`. In a reset by hand, `keeps`: what was adopted before is still in force."""

    generation: Generation
    end: int
    keeps: bool = False


class Adoption(msgspec.Struct, frozen=True, tag_field="kind", tag="cut"):
    """The `number`-th adoption of a generation, before event `n`."""

    generation: Generation
    number: int
    n: int
    inputs: dict[str, Any]


_decoder: msgspec.json.Decoder[Begin | Adoption] = msgspec.json.Decoder(Begin | Adoption)


def encode(record: Begin | Adoption) -> bytes:
    return msgspec.json.encode(record)


def decode(value: bytes) -> Begin | Adoption:
    """A record of the log.

    Raises
    ------
    Parked
        It is none that this build knows.
    """
    try:
        return _decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Parked(
            Cause.CUTS,
            f"a record of the cut log cannot be read ({error}): run the build that wrote it, or `nilometer state reset` the partition",
        ) from None


@dataclass(slots=True)
class CutReader:
    """The one rule by which the log is read; where it stands is part of a checkpoint."""

    next: int = 0
    generation: Generation | None = None
    number: int = 0

    @classmethod
    def at(cls, position: CutPosition) -> CutReader:
        return cls(position.next, None if position.generation is None else Generation(*position.generation), position.number)

    @property
    def position(self) -> CutPosition:
        return CutPosition(self.next, self.generation, self.number)

    def read(self, offset: int, record: Begin | Adoption) -> bool:
        """Whether the record at `offset` counts."""
        self.next = offset + 1
        if isinstance(record, Begin):
            if self.generation is not None and record.generation <= self.generation:
                return False
            self.generation, self.number = record.generation, 0
            return True
        if record.generation != self.generation or record.number != self.number + 1:
            return False
        self.number += 1
        return True


def counting(partition: int, records: Iterable[tuple[int, bytes]]) -> Iterator[Cut]:
    """The cuts that count among a log's records (offset, value), as a backtest takes them and `nilometer state cuts` prints them."""
    reader = CutReader()
    for offset, value in records:
        entry = decode(value)
        if reader.read(offset, entry) and isinstance(entry, Adoption):
            yield Cut(partition, entry.n, entry.inputs)


@dataclass(slots=True)
class CutLog:
    """One partition's cut log as its owner sees it: what is still to be applied, and where new cuts may stand."""

    store: Store
    place: Place
    source: Place
    partition: int
    reader: CutReader = field(default_factory=CutReader)
    mine: Generation | None = None
    end: int = 0  # no cut of ours may stand before it: an owner before us may have said what it thinks of such events
    pending: deque[tuple[Cut, CutPosition]] = field(default_factory=deque)  # counting, not applied; each with the position before it

    @property
    def position(self) -> CutPosition:
        """Everything before this has been applied, and nothing behind it: what belongs into a checkpoint."""
        return self.pending[0][1] if self.pending else self.reader.position

    async def begin(self, generation: int) -> None:
        """Become the owner in the log's eyes; afterwards `pending` holds the cuts that the fold has yet to meet.

        Called again, for a fold that keeps its memory in a new generation, it makes sure that nobody has begun meanwhile.

        Raises
        ------
        Dead
            A later owner has begun.
        Parked
            The log cannot be followed.
        """
        await self.catch_up()
        kept = self.mine
        if kept is not None and self.reader.generation != kept:
            raise Dead(f"{self.reader.generation} has begun, after {kept}")
        before = self.reader.generation
        # Whatever was said by those before us was said of events that the source held by now. Before anybody has begun,
        # nothing was said.
        end = 0 if before is None else await self.store.source_end(self.source)
        mine = Generation(0 if before is None else before.epoch, generation)
        if before is not None and before > mine:
            raise Parked(
                Cause.GROUP_LOST,
                f"the cut log {self.place[0]}/{self.place[1]} is at generation {before.generation}, the group at {generation}: "
                "if the group was deleted, its generations begin anew: `nilometer state reset --keep` the partition",
            )
        at = await (await self.store.append(self.place, None, encode(Begin(mine, end))))
        begun = await self.catch_up(to=at)
        if self.reader.generation != mine:
            raise Dead(f"{self.reader.generation} has begun, after {mine}")
        if begun and begun[0] != mine:
            # Somebody began between our look and our begin, and may have said something since that look.
            if kept is not None:
                raise Dead(f"{begun[0]} has begun, after {kept}")
            end = await self.store.source_end(self.source)
        self.mine, self.end = mine, end

    async def adopt(self, n: int, inputs: dict[str, Any]) -> Cut:
        """Write down that `inputs` are adopted before event `n`; the caller applies what is returned before it folds on.

        Raises
        ------
        Dead
            A later owner has begun. The cut may stand in the log, but it does not count.
        """
        if self.mine is None or n < self.end or self.pending:
            raise ValueError(f"a cut before {n} cannot be made: this owner may adopt from {self.end} on, when all earlier cuts are applied")
        record = Adoption(self.mine, self.reader.number + 1, n, inputs)
        at = await (await self.store.append(self.place, None, encode(record)))
        await self.catch_up(to=at)
        if self.reader.generation != self.mine:
            raise Dead(f"{self.reader.generation} has begun, after {self.mine}")
        cut, _ = self.pending.popleft()
        return cut

    async def catch_up(self, to: int = -1) -> list[Generation]:
        """Read to the end; return the generations that have begun on the way."""
        contents = await self.store.read_to_end(self.place, self.reader.next)
        if contents.begin > self.reader.next:
            raise Parked(
                Cause.CUTS,
                f"the cut log {self.place[0]}/{self.place[1]} begins at {contents.begin}, the checkpoint needs it from "
                f"{self.reader.next} on: keep it at least as long as the source; `nilometer state reset` the partition",
            )
        if contents.end <= max(to, self.reader.next - 1):
            raise Parked(
                Cause.CUTS,
                f"the cut log {self.place[0]}/{self.place[1]} ends at {contents.end}, where we have written or read further: "
                "was the topic made anew? `nilometer state reset` the partition",
            )
        begun: list[Generation] = []
        for record in contents.records:
            before, entry = self.reader.position, decode(record.value or b"")
            if not self.reader.read(record.offset, entry):
                continue
            if isinstance(entry, Begin):
                begun.append(entry.generation)
            else:
                self.pending.append((Cut(self.partition, entry.n, entry.inputs), before))
        return begun

    def due(self, n: int) -> list[Cut]:
        """Take the cuts that stand before event `n`."""
        due = []
        while self.pending and self.pending[0][0].n <= n:
            due.append(self.pending.popleft()[0])
        return due
