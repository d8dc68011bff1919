"""What checkpoints and cut logs ask of a broker, and no more: append, read to the end, commit under a generation.

Kafka and the embedded broker each have one; a model check has a third, in which every answer waits to be let through.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import NamedTuple, Protocol

from streams.transport.groups import Committed

Place = tuple[str, int]  # topic and partition


class Stored(NamedTuple):
    """A record as it stands in a log of ours."""

    offset: int
    key: bytes | None
    value: bytes | None


class Contents(NamedTuple):
    """What a partition held: the first offset that can still be asked for, the offset after the last record, the records."""

    begin: int
    end: int
    records: list[Stored]


class Store(Protocol):
    """The broker as one member of a group sees it.

    Every call ends within a time limit of the implementation; what has then not been answered raises. No call may be repeated
    behind the caller's back in a way that changes the order of one caller's appends to one partition.
    """

    async def append(self, place: Place, key: bytes | None, value: bytes | None) -> Awaitable[int]:
        """Take a record; the awaitable is done when it is durable, with its offset, or raises when it may not be."""

    async def read_to_end(self, place: Place, start: int = 0) -> Contents:
        """The records from `start` (or from what is still held) to the end as it is now: what is durable is among them."""

    async def commit(self, place: Place, offset: int, metadata: str, generation: int) -> None:
        """Make a position of the group current.

        Raises
        ------
        streams.transport.chunked.StaleCommit
            The group is past `generation`, or did not answer in time: the caller must believe that it no longer owns the place.
        """

    async def committed(self, place: Place) -> Committed | None:
        """The group's position, as the coordinator has it now."""

    async def source_begin(self, place: Place) -> int:
        """The first offset that a source still holds."""

    async def source_end(self, place: Place) -> int:
        """The offset that a source's next record gets."""


__all__ = ["Committed", "Contents", "Place", "Store", "Stored"]
