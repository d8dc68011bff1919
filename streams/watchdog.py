"""The watchdog: a worker that holds a partition and folds nothing of it leaves, so that another takes over.

Faust resumes partitions from one task. Whatever ends that task leaves a worker that heartbeats, holds its partitions and reads
nothing, for ever. We guard against all causes that we know; this is for those that we do not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

LIMIT = 30.0  # seconds for which a partition may stand still though its log has more
LOOK = 2.0  # seconds between two looks
TOO_LONG = 60.0  # seconds after which `/healthz` says no: the watchdog should have left long before
BEAT = 1.0  # seconds between two signs of life of the event loop


class Deaf(Exception):
    """A worker holds partitions and folds nothing of them."""


class Standing(NamedTuple):
    """What is seen of an assigned partition.

    Attributes
    ----------
    place
        Whatever changes when it moves: offsets folded, fetched and handed over; None without a fold.
    more
        Whether something is left to read or to fold.
    waits
        Whether it stands still for a reason: it is restored, parked, waits for a model, or its broker is silent.
    """

    place: object
    more: bool
    waits: bool = False


def more_to_do(folded: int, fetched: int | None, handed: int | None, end: int | None) -> bool:
    """Whether a fold at `folded` has something left, its log read to `fetched` and handed over to `handed`, of `end`.

    Holes behind the last record (of transactions, of compaction) are fetched and never folded: past them, `fetched` is at the
    end and `handed` where the fold stands. None: not known, or not sought yet.

    >>> more_to_do(folded=10, fetched=12, handed=10, end=12)
    False
    >>> more_to_do(folded=10, fetched=None, handed=None, end=12)
    True
    """
    unread = end is not None and end > (folded if fetched is None else fetched)
    return unread or (handed is not None and handed > folded)


@dataclass
class Watchdog:
    """Counts for how long each partition has stood still.

    A look counts for no more than twice the time between looks: a process that was stopped, or whose machine slept, has not
    stood still for as long as the clock says.
    """

    limit: float = LIMIT
    clock: Callable[[], float] = time.monotonic
    longest: float = 2 * LOOK
    _last: float | None = None
    _place: dict[str, object] = field(default_factory=dict)
    _stood: dict[str, float] = field(default_factory=dict)

    @property
    def standing(self) -> dict[str, float]:
        """For how many seconds partitions have stood still so far, by name."""
        return dict(self._stood)

    def look(self, seen: Mapping[str, Standing]) -> list[str]:
        """The assigned partitions, by name, that have stood still for too long."""
        now = self.clock()
        passed = 0.0 if self._last is None else min(now - self._last, self.longest)
        self._last = now
        still = {
            name: self._stood[name] + passed if name in self._stood and self._place[name] == standing.place else 0.0
            for name, standing in seen.items()
            if standing.more and not standing.waits
        }
        self._stood, self._place = still, {name: seen[name].place for name in still}
        return sorted(name for name, seconds in still.items() if seconds >= self.limit)


@dataclass
class Progress:
    """What a liveness probe asks from its own thread: does the event loop turn, and does every fold move that has something to do.

    An idle partition folds and commits nothing and is well; a process that answers and folds nothing is not.

    Attributes
    ----------
    turned
        When the event loop last gave a sign of life; None where nobody keeps it (`beat`).
    """

    clock: Callable[[], float] = time.monotonic
    standing: Callable[[], Mapping[str, float]] = dict
    turned: float | None = None

    async def beat(self) -> None:
        """Give a sign of life, for ever."""
        while True:
            self.turned = self.clock()
            await asyncio.sleep(BEAT)

    def trouble(self) -> str | None:
        """What does not move, in words; None where all is well."""
        if self.turned is not None and (silent := self.clock() - self.turned) > TOO_LONG:
            return f"the event loop has not turned for {silent:.0f} s"
        still = {name: seconds for name, seconds in self.standing().items() if seconds >= TOO_LONG}
        if still:
            where = ", ".join(f"{name} for {seconds:.0f} s" for name, seconds in sorted(still.items()))
            return f"no progress though the log has more: {where}"
        return None
