"""A world in which the real protocols run one step at a time: owners, zombies, late writes, crashes at any await, compaction.

Every effect on the broker is a letter that lies on its owner's wire until the world lets it land; so an owner may be gone, or
long replaced, when what it sent takes effect. Nothing runs by itself: whoever drives the world chooses who takes the next step.
"""

from __future__ import annotations

import random
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from itertools import count
from typing import Any

import msgspec

from streams.cuts import Cut
from streams.durable.checkpoints import Checkpoints
from streams.durable.cut_log import Begin, CutLog, CutReader, decode
from streams.durable.lease import Lease, always
from streams.durable.manifest import Names, Shelf
from streams.durable.parked import Dead
from streams.durable.store import Contents, Place, Stored
from streams.durable.tenure import Tenure
from streams.transport.chunked import StaleCommit
from streams.transport.groups import Committed

SESSION = 10.0
SOURCE, STATES, CUTS = ("source", 0), ("states", 0), ("cuts", 0)


class Contradiction(AssertionError):
    """The promise that the protocols make was broken."""


class Pause:
    """Here an owner may be stopped, for a while or for ever."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class Letter:
    """An effect under way; done, with its result, when it has landed."""

    def __init__(self, land: Callable[[], Any], twice: bool = False) -> None:
        self.land, self.twice = land, twice
        self.result: Any = None
        self.problem: Exception | None = None
        self.answered = False

    def __await__(self) -> Generator[None, None, Any]:
        while not self.answered:
            yield
        if self.problem:
            raise self.problem
        return self.result


class Interrupted:
    """Awaits some work, and breaks it off at an await where it is told to."""

    def __init__(self, work: Coroutine[Any, Any, Any], told: Callable[[], bool]) -> None:
        self.work, self.told = work, told

    def __await__(self) -> Generator[None, None, Any]:
        while True:
            try:
                self.work.send(None)
            except StopIteration as end:
                return end.value
            yield
            if self.told():
                self.work.close()
                raise TimeoutError


class Sum:
    """A fold small enough to see through: its verdict on an event is its whole past."""

    def __init__(self) -> None:
        self.next, self.past = 0, 0

    def fold(self, event: int) -> int:
        self.past = zlib.crc32(b"%d %d" % (self.past, event))
        self.next += 1
        return self.past

    def adopt(self, cut: Cut) -> list[Any]:
        assert cut.n == self.next
        self.past = zlib.crc32(b"%d cut %d" % (self.past, cut.inputs["x"]))
        return []

    def pieces(self) -> list[memoryview]:
        return [memoryview(msgspec.json.encode([self.next, self.past, "x" * 40]))]

    def thaw(self, data: bytes | bytearray, spend: bool = False) -> None:
        self.next, self.past, _ = msgspec.json.decode(data)


class World:
    """The broker, the clock, and what has been said so far."""

    def __init__(self, variant: str = "") -> None:
        self.variant = variant
        self.now = 0.0
        self.events = 0
        self.logs: dict[Place, list[Stored]] = {STATES: [], CUTS: []}
        self.ends = {STATES: 0, CUTS: 0}
        self.committed: Committed | None = None
        self.generation = 0
        self.member: Owner | None = None
        self.heard = 0.0  # when the coordinator last heard the member
        self.owners: list[Owner] = []
        self.said: dict[int, int] = {}
        self.current: list[Committed] = []
        self.frozen: dict[str, bytes] = {}
        self.inputs = count(1)
        self.letters = 6  # that may land at a time
        self.adopted = 0

    # What a driver may do

    def produce(self) -> None:
        self.events += 1

    def wait(self, seconds: float) -> None:
        self.now += seconds

    @property
    def vacant(self) -> bool:
        return self.member is None or self.now - self.heard >= SESSION

    def start(self) -> None:
        """A new worker is given the partition, if nobody has it or its owner is silent for a session."""
        if self.vacant:
            owner = Owner(self)
            self.owners.append(owner)
            self.give(owner)

    def give(self, owner: Owner) -> int:
        self.generation += 1
        self.member, self.heard = owner, self.now
        owner.heartbeat, owner.generation = self.now, self.generation
        return self.generation

    def beat(self, owner: Owner) -> None:
        """A heartbeat and its answer."""
        if self.member is owner and not self.vacant:
            self.heard = owner.heartbeat = self.now

    def crash(self, owner: Owner) -> None:
        """It takes no step any more; what it had sent is still on the wire."""
        owner.crashed = True

    def land(self, owner: Owner) -> None:
        """The oldest letter on an owner's wire takes effect."""
        if owner.wire:
            letter = owner.wire.popleft()
            for _ in range(2 if letter.twice else 1):
                try:
                    letter.result = letter.land()
                except StaleCommit as stale:
                    letter.problem = letter.problem or stale
            letter.answered = True

    def give_up(self, owner: Owner, lost: bool) -> None:
        """The owner waits no longer for an answer to its oldest letter, which is lost or lands later."""
        waiting = [letter for letter in owner.wire if not letter.answered]
        if waiting:
            waiting[0].problem, waiting[0].answered = TimeoutError("no answer"), True
            if lost:
                owner.wire.remove(waiting[0])

    def compact(self, upto: float, tombstones: bool) -> None:
        """Keep the last value of each key below a part of the log; drop tombstones, perhaps."""
        log = self.logs[STATES]
        clean = int(len(log) * upto)
        last = {record.key: record.offset for record in log}
        kept = [r for r in log[:clean] if last[r.key] == r.offset and not (tombstones and r.value is None)]
        self.logs[STATES] = kept + log[clean:]
        self.check_current()

    # The broker

    def append(self, place: Place, key: bytes | None, value: bytes | None) -> int:
        offset = self.ends[place]
        self.logs[place].append(Stored(offset, key, value))
        self.ends[place] = offset + 1
        if place == STATES:
            self.check_current()
        return offset

    def commit(self, owner: Owner, offset: int, name: str, generation: int) -> None:
        if self.variant != "unfenced commit" and (generation != self.generation or self.member is not owner):
            raise StaleCommit(f"{generation}, not {self.generation}")
        if self.committed and offset < self.committed.offset:
            raise Contradiction(f"the current checkpoint went back from {self.committed.offset} to {offset}")
        self.committed = Committed(offset, name)
        self.current.append(self.committed)
        self.check_current()

    # What must hold

    def say(self, n: int, verdict: int) -> None:
        if self.said.setdefault(n, verdict) != verdict:
            raise Contradiction(f"event {n}: first {self.said[n]}, then {verdict}")

    def check_current(self) -> None:
        """The current checkpoint is whole, and it is the one that its commit meant."""
        if self.committed is not None:
            self._read(self.committed)

    def _read(self, committed: Committed) -> tuple[bytes, Any]:
        shelf = Shelf(self.logs[STATES])
        manifest = shelf.manifest(committed.metadata)
        data = shelf.data(committed.metadata, manifest) if manifest else None
        if manifest is None or data is None or manifest.offset != committed.offset:
            raise Contradiction(f"the current checkpoint {committed} is mixed, or gone: {manifest}")
        return data, manifest

    def check_replay(self) -> None:
        """From the beginning, and from the current checkpoint, the logs say again what was said."""
        folds = [(Sum(), CutReader())]
        if self.committed is not None:
            data, manifest = self._read(self.committed)
            folds.append((Sum(), CutReader.at(manifest.cuts)))
            folds[-1][0].thaw(data)
        ends = []
        for fold, reader in folds:
            cuts: dict[int, list[Cut]] = {}
            for record in self.logs[CUTS][reader.next :]:
                entry = decode(record.value or b"")
                if reader.read(record.offset, entry) and not isinstance(entry, Begin):
                    cuts.setdefault(entry.n, []).append(Cut(0, entry.n, entry.inputs))
            first = fold.next
            for n in range(first, self.events):
                for cut in cuts.pop(n, []):
                    fold.adopt(cut)
                verdict = fold.fold(n)
                if self.said.get(n, verdict) != verdict:
                    raise Contradiction(f"a replay from {first} says {verdict} of event {n}, {self.said[n]} was said")
            for cut in cuts.pop(self.events, []):
                fold.adopt(cut)
            if cuts:
                raise Contradiction(f"cuts before {first}, behind the checkpoint: {cuts}")
            ends.append(fold.past)
        if len(set(ends)) != 1:
            raise Contradiction("the replays end in different states")

    def settle(self) -> None:
        """Let one last owner come and finish: it can, and it and every replay agree."""
        self.wait(2 * SESSION)
        self.start()
        last = self.owners[-1]
        for _ in range(100_000):
            if last.tenure is not None and last.tenure.alive and last.idle and last.tenure.part.next == self.events:
                break
            self.beat(last)
            last.step()
            self.land(last)
        else:
            raise Contradiction("the last owner does not get on")
        for owner in self.owners:
            while owner.wire:
                self.land(owner)
        self.check_replay()
        if len(self.said) != self.events:
            raise Contradiction("something was never said")

    def close(self) -> None:
        for owner in self.owners:
            for work in owner.work:
                work.close()


class Owner:
    """A worker: its store, its tenure, and two things it does at a time (folding, writing a checkpoint)."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.wire: deque[Letter] = deque()
        self.heartbeat = world.now
        self.generation = 0
        self.crashed = self.idle = self.between = self.committing = False
        self.wants_cut = self.wants_rejoin = self.wants_checkpoint = self.wants_revival = False
        self.stutter = False
        self.tenure: Tenure | None = None
        self.work: list[Coroutine[Any, Any, None]] = [self._live(), self._write()]
        self.turn = 0

    def step(self, which: int | None = None) -> None:
        """On to the next await, in one of the two."""
        if self.crashed or not self.work:
            return
        which = self.turn if which is None else which
        self.turn = (which + 1) % 2
        try:
            self.work[which % len(self.work)].send(None)
        except (StopIteration, Dead):
            self.crashed = True

    # What it does

    async def _live(self) -> None:
        world, generation = self.world, self.generation
        await self._restore(generation)
        while True:
            tenure = self.tenure
            assert tenure is not None
            self.between, self.idle = True, True
            await Pause()
            self.between = self.idle = False
            if self.wants_revival and world.variant == "two lives in one generation":
                self.wants_revival = False
                tenure.kill("an output was lost")
                await self._restore(generation)
                continue
            if self.wants_rejoin or not tenure.alive:
                self.wants_rejoin = False
                if world.member is not self and not world.vacant:
                    return  # the group has no room for it: it waits as a new worker would
                generation = world.give(self)
                if not await tenure.keep(generation):
                    await self._restore(generation)
                continue
            upto = tenure.boundary()
            if self.wants_cut and (tenure.may_adopt or (world.variant == "cuts before the end" and not tenure.cuts.pending)):
                self.wants_cut = False
                try:
                    await tenure.adopt({"x": next(world.inputs)})
                except Dead:
                    continue
                world.adopted += 1
            if tenure.part.next < min(world.events, world.events if upto is None else upto):
                tenure.settled = False
                n, verdict = tenure.part.next, tenure.part.fold(tenure.part.next)  # type: ignore[attr-defined]
                while not tenure.lease():
                    await Pause()
                if tenure.alive:
                    world.say(n, verdict)
                    tenure.settled = True

    async def _restore(self, generation: int) -> None:
        world, variant = self.world, self.world.variant
        checkpoints = Checkpoints(self, STATES, SOURCE, 1, {"fold": "sum"}, chunk_bytes=24)
        if variant == "two slots":
            checkpoints.names = Slots(checkpoints)
        log = AnywhereLog if variant == "cuts before the end" else CutLog
        cuts = log(self, CUTS, SOURCE, 0)
        if variant == "begins in any order":
            cuts.reader = AnyOrder()
        lease = always if variant == "no lease" else Lease(SESSION, lambda: self.heartbeat, lambda: world.now)
        self.tenure = Tenure(Sum(), checkpoints, cuts, lease)
        try:
            await Interrupted(self.tenure.restore(generation), self._gives_up)
        except Dead:
            self.wants_rejoin = True
        except TimeoutError:
            await self._restore(generation)

    def _gives_up(self) -> bool:
        """A restore may be broken off and tried again, unless it has a commit under way."""
        gives_up = self.wants_revival and not self.committing
        self.wants_revival = self.wants_revival and not gives_up
        return gives_up

    async def _write(self) -> None:
        while True:
            while not (self.wants_checkpoint and self.between and self.tenure and self.tenure.alive):
                await Pause()
            self.wants_checkpoint = False
            try:
                await self.tenure.write(await self.tenure.freeze())
            except (Dead, TimeoutError):
                continue

    # Its store

    def _send(self, land: Callable[[], Any]) -> Letter:
        letter = Letter(land, self.stutter)
        self.stutter = False
        self.wire.append(letter)
        return letter

    async def append(self, place: Place, key: bytes | None, value: bytes | None) -> Awaitable[int]:
        return self._send(lambda: self.world.append(place, key, value))

    async def commit(self, place: Place, offset: int, metadata: str, generation: int) -> None:
        self.stutter, self.committing = False, True
        try:
            await self._send(lambda: self.world.commit(self, offset, metadata, generation))
        finally:
            self.committing = False

    async def committed(self, place: Place) -> Committed | None:
        await Pause()
        return self.world.committed

    async def read_to_end(self, place: Place, start: int = 0) -> Contents:
        end = self.world.ends[place]
        half = (start + end) // 2
        first = [r for r in self.world.logs[place] if start <= r.offset < half]
        await Pause()
        rest = [r for r in self.world.logs[place] if r.offset >= max(start, half)]
        return Contents(0, self.world.ends[place], first + rest)

    async def source_begin(self, place: Place) -> int:
        return 0

    async def source_end(self, place: Place) -> int:
        await Pause()
        end = self.world.events
        await Pause()
        return end


class Slots(Names):
    """What was tried first: two places that are written in turn, beginning with the one that is not current."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        super().__init__("slot")
        self._checkpoints = checkpoints
        self._last: str | None = None

    def next(self) -> str:
        self._last = "slot/1" if (self._last or self._checkpoints.current) == "slot/0" else "slot/0"
        return self._last


class AnyOrder(CutReader):
    """Every `begin` counts, whoever wrote it."""

    def read(self, offset: int, record: Any) -> bool:
        if isinstance(record, Begin):
            self.next, self.generation, self.number = offset + 1, record.generation, 0
            return True
        return super().read(offset, record)


class AnywhereLog(CutLog):
    """Its cuts may stand before events that an owner before has judged."""

    async def adopt(self, n: int, inputs: dict[str, Any]) -> Cut:
        self.end = 0
        return await CutLog.adopt(self, n, inputs)


def run(seed: int, steps: int, variant: str = "") -> World:
    """A random course of events, from a seed; every other one has a slow wire, on which much is late."""
    rng = random.Random(seed)
    world = World(variant)
    world.letters = 6 if seed % 2 else 2
    world.start()
    try:
        for _ in range(steps):
            act(world, rng)
        world.settle()
    finally:
        world.close()
    return world


def act(world: World, rng: random.Random) -> None:
    """One thing happens."""
    owner = rng.choice(world.owners[-3:])
    kind = rng.random()
    if kind < 0.45:
        for _ in range(rng.randrange(1, 8)):
            owner.step(rng.randrange(2))
    elif kind < 0.65:
        for _ in range(rng.randrange(1, world.letters)):
            world.land(owner)
    elif kind < 0.72:
        world.produce()
    elif kind < 0.78:
        world.wait(rng.choice([1.0, 3.0, 8.0]))
        for other in world.owners[-3:]:
            if not other.crashed and rng.random() < 0.7:
                world.beat(other)
    elif kind < 0.84:
        owner.wants_cut = True
    elif kind < 0.91:
        owner.wants_checkpoint = True
    elif kind < 0.92:
        owner.wants_rejoin = True
    elif kind < 0.93:
        owner.wants_revival = True
    elif kind < 0.95:
        world.compact(rng.random(), rng.random() < 0.5)
    elif kind < 0.96:
        owner.stutter = True
    elif kind < 0.97:
        world.give_up(owner, rng.random() < 0.5)
    elif kind < 0.98:
        world.crash(owner)
    else:
        world.start()


__all__ = ["Contradiction", "World", "act", "run"]
