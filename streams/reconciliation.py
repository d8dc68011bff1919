"""Whether every reading is accounted for: what came into a partition, held against what its fold counted and what was dead-lettered.

The log is decoded once more, from where the fold began to where its last checkpoint stands, and what it brings is counted in
readings, of which a frame has many; a record that cannot be read at all counts as one. All of it must be somewhere::

    came in = judged + warming up + late + repeated + not judged + dead-lettered

where everything but the dead letters is the fold's own count, made as it went, in its state.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from streams.partition import Counts
from streams.records import Decoded
from streams.transport.chunk import Chunk, Headers


@dataclass(slots=True)
class Account:
    """What came into a partition below offset `through`, and where it went.

    Attributes
    ----------
    first
        Where the fold began.
    begin
        Where its log begins now: above `first`, where retention has eaten what was folded.
    through
        The last checkpoint's offset.
    came
        Readings that the log holds.
    refused
        Of them, those that cannot be read.
    letters
        Readings among the dead letters, each once.
    counts
        The fold's.
    """

    stream: str
    partition: int
    first: int
    begin: int
    through: int
    counts: Counts
    came: int = 0
    refused: int = 0
    letters: int = 0

    @property
    def judged(self) -> int:
        """Readings that were held against their key's normal."""
        return self.counts.tested

    @property
    def repeated(self) -> int:
        """Seen before: by their key, or by their origin."""
        return self.counts.repeated + self.counts.skipped

    @property
    def passed(self) -> int:
        """Folded and not judged, for a reason that stands with the row."""
        counts = self.counts
        return counts.events - counts.tested - counts.not_ready - counts.late - counts.repeated

    @property
    def difference(self) -> int | None:
        """Readings that came and are nowhere (below zero: that are somewhere and never came); None where the log's begin is gone."""
        if self.begin > self.first:
            return None
        return self.came - self.counts.events - self.counts.skipped - self.letters


def weight(indices: Sequence[Any]) -> int:
    """For how many readings a letter stands: those that it names of a frame, or one."""
    return max(1, len(indices))


async def count(account: Account, chunks: AsyncIterator[Chunk], decode: Callable[[Chunk], Decoded]) -> None:
    """Count what the log brings."""
    async for chunk in chunks:
        decoded = decode(chunk)
        refused = sum(weight(letter.indices) for letter in decoded.dead)
        account.came += len(decoded) + refused
        account.refused += refused


def credit(accounts: Iterable[Account], topics: dict[str, str], letters: Iterable[Headers]) -> None:
    """Count the dead letters that lie below each account's offset, each record's once.

    Parameters
    ----------
    topics
        The source topic, as it stands in letters, of each stream.
    letters
        Headers of the dead letters' records; what is no letter of ours is passed over.
    """
    of_place = {(topics[each.stream], each.partition): each for each in accounts}
    seen: set[tuple[str, int, int]] = set()
    for headers in letters:
        said = {name: (value or b"").decode("utf-8", "replace") for name, value in headers}
        try:
            place = said["nilometer-topic"], int(said["nilometer-partition"])
            offset = int(said["nilometer-offset"])
        except (KeyError, ValueError):
            continue
        account = of_place.get(place)
        if account is None or not account.first <= offset < account.through or (*place, offset) in seen:
            continue
        seen.add((*place, offset))
        indices = said.get("nilometer-indices", "")
        account.letters += weight(indices.split(","))
