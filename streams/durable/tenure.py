"""A tenure: one worker's hold on one partition, from its restore until it is given back, refused or lost.

It joins the fold with its checkpoints and its cut log, and knows whether it is `alive`. Everything here is awaited one thing after
another and uses no event loop of its own, so that a model check can stop it at any `await` and never go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from state.snapshot import SnapshotError
from streams.cuts import Cut
from streams.durable.checkpoints import Checkpoints, Frozen, all_of
from streams.durable.cut_log import CutLog
from streams.durable.lease import always
from streams.durable.manifest import Packing
from streams.durable.parked import Cause, Dead, Parked
from streams.durable.references import NoSuchRecord, Records


class Folding(Protocol):
    """What a tenure asks of a fold (`streams.partition.Partition`)."""

    next: int
    first: int  # where the fold began

    def pieces(self) -> Iterable[memoryview]:
        """The state as it is now, in canonical form: what `thaw` takes, in pieces. Those that were taken do not change any more; until
        the last one is, the fold must stand still.
        """

    def thaw(self, data: bytes | bytearray, spend: bool = False) -> None:
        """Take a state in place of this one; with `spend`, its bytes are not needed any more."""

    def adopt(self, cut: Cut) -> list[Any]: ...


@dataclass(eq=False)
class Tenure:
    """A fold and its owner's rights.

    Attributes
    ----------
    records
        What cuts name by reference.
    generation
        Of the group, in which the fold was restored: only under it may it commit.
    alive
        False for ever once the partition may be another's, or something that was said was lost. Check it after every await.
    suspended
        True while its partition is given back, and may come again: nothing is folded and nothing said.
    settled
        False between folding a batch and handing its outputs to the producer.
    freezing
        True while its fold stands still for a checkpoint.
    outputs
        Deliveries that the next checkpoint awaits.
    reports
        What cuts have brought about and nobody has said yet.
    lock
        Held while a batch is folded or a cut adopted: whoever holds it finds the fold at a boundary.
    writing
        Held while a checkpoint is under way.
    erasures
        Cuts applied that made it forget keys: checkpoints from before are not to be kept.
    """

    part: Folding
    checkpoints: Checkpoints
    cuts: CutLog
    lease: Callable[[], bool] = always
    records: Records = field(default_factory=Records)
    generation: int = -1
    alive: bool = False
    suspended: bool = False
    settled: bool = True
    freezing: bool = False
    outputs: list[Awaitable[Any]] = field(default_factory=list)
    reports: list[Any] = field(default_factory=list)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    erasures: int = 0
    why: str = "not restored"  # it is not alive

    async def restore(self, generation: int) -> None:
        """Take the current checkpoint, or begin at the very beginning, and begin in the cut log.

        A fold that has lived is never restored again in the same generation: a commit or a cut of the first life may still be
        under way, and nothing would tell it from those of the second. Only a restore that failed may be tried again.

        Raises
        ------
        Parked
            A person must decide how to go on.
        Dead
            Another worker has the partition by now, or nobody knows: only a new generation can tell.
        Exception
            The broker does not answer. It may be tried again.
        """
        self.generation = generation
        try:
            await self._restore()
        except Parked:
            # What looks beyond repair may be the work of an owner after us: only the owner may say so.
            await self.checkpoints.affirm(generation)
            raise
        self.alive, self.settled, self.why = True, True, ""

    async def _restore(self) -> None:
        found = await self.checkpoints.restore()
        if found is None:
            await self._begin_from_nothing()
        else:
            try:
                await self.checkpoints.offload(self.part.thaw, found.data, True)
            except SnapshotError as error:
                raise Parked(Cause.FORMAT, f"checkpoint {found.name}: {error}") from error
            if self.part.next != found.manifest.offset:
                raise Parked(Cause.UNREADABLE, f"checkpoint {found.name} says {found.manifest.offset}, its state {self.part.next}")
            self.cuts.reader = self.cuts.reader.at(found.manifest.cuts)
        await self.cuts.begin(self.generation)
        if any(cut.n < self.part.next for cut, _ in self.cuts.pending):
            raise Parked(
                Cause.CUTS,
                f"the cut log names an event before {self.part.next}, which checkpoint {self.checkpoints.current} has folded without it: "
                "`nilometer state reset` the partition",
            )

    async def _begin_from_nothing(self) -> None:
        """The stream's first owner: its first checkpoint is of a state that has seen nothing.

        It is committed before the first event is folded, so whoever comes next never has to guess where this one began.
        """
        await self.cuts.catch_up()
        if self.cuts.reader.generation is not None and self.cuts.reader.generation.generation > 0:
            raise Parked(
                Cause.GROUP_LOST,
                f"the group has no position of {self.cuts.source[0]}/{self.cuts.source[1]}, though its cut log has begun: the group was "
                "deleted, or its offsets expired. `nilometer state reset` the partition to start anew, with --keep to forget nothing",
            )
        self.part.next = self.part.first = await self.checkpoints.store.source_begin(self.cuts.source)
        state = self._packed()
        await self.checkpoints.write(Frozen(self.part.next, state, self.cuts.position), self.generation, lambda: None)

    async def keep(self, generation: int) -> bool:
        """Keep the fold's memory in a new generation, if nobody has had the partition meanwhile; else it is dead."""
        if not (self.alive and self.settled):
            self.kill("a batch was under way")
            return False
        try:
            if not await self.checkpoints.still_current():
                self.kill("the current checkpoint is another's")
                return False
            await self.cuts.begin(generation)
        except Exception as problem:
            self.kill(f"its memory was not kept: {problem}")
            return False
        self.check()
        self.generation = generation
        return True

    def check(self) -> None:
        """Raise `Dead` if it is."""
        if not self.alive:
            raise Dead(self.why)

    @property
    def folding(self) -> bool:
        """Whether it may take another batch."""
        return self.alive and not self.suspended

    @property
    def may_speak(self) -> bool:
        """Whether what was folded may leave. Ask after folding, before sending."""
        return self.folding and self.lease()

    def kill(self, why: str) -> None:
        """Nothing more of this fold counts."""
        if self.alive:
            self.alive, self.why = False, why

    async def fetch(self) -> None:
        """Read what is named by reference in the cuts that stand before the fold's next event; `boundary` applies them.

        Raises
        ------
        Parked
            It is not there any more, or is another record.
        Dead
            The broker does not answer.
        """
        for cut, _ in self.cuts.pending:
            if cut.n > self.part.next:
                return
            try:
                await self.records.fetch(cut.inputs)
            except NoSuchRecord as problem:
                raise Parked(Cause.CUTS, f"the cut before {cut.n}: {problem}") from problem
            except Exception as problem:
                self.kill(f"what a cut names was not read: {problem!r}")
                raise Dead(self.why) from problem
            self.check()

    def _adopted(self, cut: Cut) -> list[Any]:
        self.erasures += "erase" in cut.inputs
        return self.part.adopt(Cut(cut.partition, cut.n, self.records.resolved(cut.inputs)))

    def boundary(self) -> int | None:
        """Apply the cuts that stand before the fold's next event; return the event before which the next one stands."""
        for cut in self.cuts.due(self.part.next):
            self.reports += self._adopted(cut)
        return self.cuts.pending[0][0].n if self.cuts.pending else None

    @property
    def may_adopt(self) -> bool:
        """Whether a cut of ours may stand before the next event."""
        return self.alive and not self.cuts.pending and self.part.next >= self.cuts.end

    async def adopt(self, inputs: dict[str, Any]) -> Cut:
        """Write a cut, read it back, apply it. The caller holds `lock` and has seen `may_adopt`.

        Raises
        ------
        Dead
            It does not count, or nobody can say whether it does.
        """
        try:
            await self.records.fetch(inputs)
            cut = await self.cuts.adopt(self.part.next, inputs)
        except Exception as problem:
            self.kill(f"a cut was not adopted: {problem}")
            raise Dead(self.why) from problem
        self.check()
        self.reports += self._adopted(cut)
        return cut

    async def freeze(self) -> Frozen:
        """What the next checkpoint is made of. The caller holds `lock`, so the fold stands still while its state is copied, and of a large
        one the beginning compressed.

        Raises
        ------
        Dead
            It is dead, or a batch was broken off: the state is between two events.
        """
        self.check()
        if not self.settled:
            self.kill("a batch was broken off")
            raise Dead(self.why)
        self.freezing = True
        try:
            state = await self.checkpoints.offload(self._packed)
        finally:
            self.freezing = False
        self.check()
        outputs, self.outputs = self.outputs, []
        return Frozen(self.part.next, state, self.cuts.position, outputs)

    def _packed(self) -> Packing:
        return Packing(self.checkpoints.chunk_bytes).take(self.part.pieces())

    async def write(self, frozen: Frozen) -> None:
        """Make a checkpoint of what was frozen. The caller holds `writing` since before it froze.

        Raises
        ------
        Dead
            The coordinator refused it, or an output was lost: the checkpoint before must say it again.
        Exception
            It failed and may be tried again.
        """
        generation = self.generation
        try:
            await self._delivered(frozen)
            await self.checkpoints.write(frozen, generation, self.check)
        except Dead as dead:
            self.kill(str(dead))
            raise
        except BaseException as stopped:
            if not isinstance(stopped, Exception):
                # Perhaps in its commit; perhaps while it awaited deliveries, which nobody else would ask after.
                self.kill("a checkpoint was broken off")
            raise

    async def _delivered(self, frozen: Frozen) -> None:
        try:
            await all_of(frozen.outputs)
        except Exception as problem:
            raise Dead(f"an output was not delivered: {problem!r}") from problem
        self.check()
