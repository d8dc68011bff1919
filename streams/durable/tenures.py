"""A stream's partitions on this worker: restored when they come, checkpointed while they stay, given back when they go.

What may fail here is tried again, parks one partition, or asks the group for a new generation; nothing of it leaves a handler of
Faust's, and no partition waits for another.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field

from streams.durable.pace import Pace
from streams.durable.parked import Dead, Parked
from streams.durable.tenure import Tenure

logger = logging.getLogger("streams.durable.tenures")

BACKOFF, LONGEST_BACKOFF = 0.1, 5.0  # seconds between two attempts to restore
STANDING_SHARE = 20  # a fold stands still while its state is copied: for no more than one second in so many
KEPT = 2  # checkpoints that lie in the topic: the current one and the one before it
LOOK = 0.05  # how often is looked whether a checkpoint is due, in seconds
LEASE = 3.0  # seconds, a heartbeat's, in which a fold that may not speak may be allowed to after all
# Seconds before a fold that has died again without a checkpoint in between is brought back: each time all partitions stand for a moment,
# and all since the last checkpoint is said once more.
AGAIN, LONGEST_AGAIN = 1.0, 30.0


async def at_rest(number: int) -> None:
    """Nothing is adopted but when an event comes."""


@dataclass
class Notes:
    """What the outside is told; the defaults tell nobody."""

    restored: Callable[[int, float], None] = lambda number, seconds: None
    parked: Callable[[int, Parked | None], None] = lambda number, why: None
    checkpoint: Callable[[int, int, float], None] = lambda number, size, seconds: None
    age: Callable[[int, float], None] = lambda number, seconds: None
    dropped: Callable[[int], None] = lambda number: None


@dataclass
class Tenures:
    """The tenures of one stream.

    Parameters
    ----------
    create
        A tenure of a partition, not yet restored.
    interval
        Seconds between two checkpoints of a partition.
    current
        Whether the generation that a handler speaks of is still the group's, as far as this worker knows.
    rejoin
        Asks the group for a new generation, in which a partition whose fold has died can be restored.
    pace
        Of what its checkpoints send; there is none while partitions are given back.
    settle
        Adopts what can be adopted before a partition's next event; awaited before a checkpoint, under the tenure's lock.
    """

    stream: str
    create: Callable[[int], Tenure]
    interval: float
    current: Callable[[int], bool]
    rejoin: Callable[[str], object]
    pace: Pace
    notes: Notes = field(default_factory=Notes)
    settle: Callable[[int], Awaitable[None]] = at_rest
    clock: Callable[[], float] = time.monotonic
    held: dict[int, Tenure] = field(default_factory=dict)
    parked: dict[int, Parked] = field(default_factory=dict)
    restoring: set[int] = field(default_factory=set)
    _due: dict[int, float] = field(default_factory=dict)
    _made: dict[int, tuple[float, object]] = field(default_factory=dict)  # when the last checkpoint was, and of what
    _since: dict[int, tuple[int, int]] = field(default_factory=dict)  # erasures in it, and how many have had as many
    _deaths: dict[int, int] = field(default_factory=dict)  # since the last checkpoint

    async def assign(self, numbers: Collection[int], generation: int) -> None:
        """Have a living fold of each of these partitions, or know why not; of all others none."""
        for number in [number for number in self.held if number not in numbers]:
            self.drop(number, "the partition is another's")
        for number in list(self.parked):
            self.notes.parked(number, None)
        self.parked.clear()
        self.restoring.intersection_update(numbers)
        self._deaths = {number: deaths for number, deaths in self._deaths.items() if number in numbers}
        await asyncio.gather(*(self._restore(number, generation, share / len(numbers)) for share, number in enumerate(sorted(numbers))))

    async def revoke(self, limit: float) -> None:
        """Checkpoint what can be within `limit` seconds; fold nothing more until the partitions are assigned again."""
        with self.pace.hurry():
            await asyncio.gather(*(self._last_words(number, tenure, limit) for number, tenure in list(self.held.items())))

    def drop(self, number: int, why: str) -> None:
        """Let a fold go."""
        tenure = self.held.pop(number, None)
        if tenure is not None:
            tenure.kill(why)
            self.notes.dropped(number)
        self._due.pop(number, None)
        self._made.pop(number, None)
        self._since.pop(number, None)

    def _place(self, number: int) -> dict[str, object]:
        """Where a line of the log belongs."""
        return {"stream": self.stream, "partition": number}

    def died(self, number: int, tenure: Tenure) -> None:
        """A fold has found that it is dead. Only a new generation can bring its partition back to life."""
        if self.held.get(number) is tenure and not tenure.suspended:
            deaths = self._deaths[number] = self._deaths.get(number, 0) + 1
            pause = 0.0 if deaths == 1 else min(AGAIN * 2.0 ** min(deaths - 2, 10), LONGEST_AGAIN)
            say = "%s/%d: the fold is dropped, and brought back from its last checkpoint in %.0f s: %s"
            logger.warning(say, self.stream, number, pause, tenure.why, extra=self._place(number))
            self.drop(number, tenure.why)
            why = f"{self.stream}/{number}: {tenure.why}"
            if pause:
                self.restoring.add(number)  # until a new generation restores it, or gives it to another
                asyncio.get_running_loop().call_later(pause, self._bring_back, tenure.generation, why)
            else:
                self.rejoin(why)

    def _bring_back(self, generation: int, why: str) -> None:
        """Ask for a new generation, if none has come meanwhile."""
        if self.current(generation):
            self.rejoin(why)

    def park(self, number: int, why: Parked) -> None:
        """Fold nothing more of a partition until a person has acted and it is assigned anew."""
        if number in self.parked:
            return  # the first reason is the one to act on
        logger.error("%s/%d is parked (%s): %s", self.stream, number, why.cause, why, extra=self._place(number))
        self.drop(number, str(why))
        self.parked[number] = why
        self.notes.parked(number, why)

    async def keep_checkpointing(self) -> None:
        """Make each partition's checkpoint when it is due, one after another, for ever."""
        while True:
            await asyncio.sleep(LOOK)
            now = self.clock()
            for number, tenure in list(self.held.items()):
                if number in self._made:
                    self.notes.age(number, now - self._made[number][0])
                if now >= self._due.get(number, now + 1) and tenure.folding:
                    await self._try_checkpoint(number, tenure)

    async def _restore(self, number: int, generation: int, share: float) -> None:
        """One partition, as often as it takes; the first checkpoints are spread over the interval."""
        self.restoring.add(number)
        try:
            await self._try_to_restore(number, generation, share)
        finally:
            self.restoring.discard(number)

    async def _try_to_restore(self, number: int, generation: int, share: float) -> None:
        started, pause = self.clock(), BACKOFF
        kept = self.held.get(number)
        while self.current(generation):
            try:
                if kept is not None and kept.alive:
                    async with asyncio.timeout(1.0), kept.lock, kept.writing:
                        if await kept.keep(generation):
                            kept.suspended = False
                            return
                    self.drop(number, "its memory was not kept")
                tenure = self.create(number)
                await tenure.restore(generation)
            except Parked as parked:
                self.park(number, parked)
                return
            except Dead as dead:
                self.drop(number, str(dead))
                self.rejoin(f"{self.stream}/{number}: {dead}")
                return
            except asyncio.CancelledError:
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise
                logger.warning("%s/%d: a restore was cancelled from within; trying again", self.stream, number, extra=self._place(number))
            except Exception as problem:
                logger.warning("%s/%d cannot be restored yet: %r", self.stream, number, problem, extra=self._place(number))
            else:
                if self.current(generation):
                    self.held[number] = tenure
                    self._due[number] = self.clock() + self.interval * (share or 1.0)
                    self._made[number] = (self.clock(), None)
                    self.notes.restored(number, self.clock() - started)
                return
            kept = None
            self.drop(number, "restored anew")
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_BACKOFF)

    async def _try_checkpoint(self, number: int, tenure: Tenure) -> None:
        try:
            await self.checkpoint(number, self.settle)
        except Dead:
            self.died(number, tenure)
        except Parked as parked:
            self.park(number, parked)
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            self.died(number, tenure)
        except Exception as problem:
            logger.warning("%s/%d: no checkpoint: %r", self.stream, number, problem, extra=self._place(number))
            self._due[number] = self.clock() + self.interval

    async def checkpoint(self, number: int, settle: Callable[[int], Awaitable[None]] = at_rest) -> None:
        """A checkpoint of one partition, if anything has changed since the last, or one with a key that was erased lies there still."""
        tenure = self.held[number]
        async with tenure.writing:
            started = self.clock()
            async with tenure.lock:
                await settle(number)
                where, erasures = (tenure.part.next, tenure.cuts.position), tenure.erasures
                before, copies = self._since.get(number, (0, KEPT))
                copies = copies if erasures == before else 0
                if self._made.get(number, (0.0, None))[1] == where and copies >= KEPT:
                    self._made[number] = (started, where)
                    self._due[number] = started + self.interval
                    return
                stopped = self.clock()
                frozen = await tenure.freeze()
                stood = self.clock() - stopped
            await tenure.write(frozen)
            self._deaths.pop(number, None)
            self._made[number], self._since[number] = (started, where), (erasures, copies + 1)
            self._due[number] = started + max(self.interval, STANDING_SHARE * stood)
            self.notes.checkpoint(number, tenure.checkpoints.size, self.clock() - started)

    async def _last_words(self, number: int, tenure: Tenure, limit: float) -> None:
        try:
            async with asyncio.timeout(limit):
                await self._not_silenced(tenure)
                await self.checkpoint(number)
        except Exception as problem:
            logger.info(
                "%s/%d: given back without a checkpoint, others will replay: %r", self.stream, number, problem, extra=self._place(number)
            )
        finally:
            tenure.suspended = True

    async def _not_silenced(self, tenure: Tenure) -> None:
        """Return when no fold waits for a lease that does not come: it holds its lock as long as it waits.

        So it is where the group has put us out. It will have us back when the partitions are given back, not before.

        Raises
        ------
        Dead
            The group would refuse the checkpoint anyway.
        """
        end = self.clock() + LEASE
        while tenure.lock.locked() and not tenure.lease():
            if self.clock() > end:
                raise Dead("the group has not heard of us for too long")
            await asyncio.sleep(LOOK)
