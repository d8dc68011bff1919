"""A call that fails, is cancelled or is never answered, at each await of a restore, a seek, a checkpoint and a revocation in turn.

It is tried again, or the worker leaves loudly and another takes over; no partition stands still. On the embedded broker, with the
limits of an answer and of the watchdog made short.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from functools import partial
from itertools import count
from unittest import mock

import pytest

import streams.app
import streams.awake
from config.load import load
from streams import topics
from streams.app import assemble
from streams.configured import definition
from streams.engine import create_app
from streams.partition import run
from streams.topic_settings import create_topics
from streams.transport.broker import Broker
from streams.transport.faults import Fault, line_of
from streams.transport.tail import MemoryLogs
from streams.watchdog import Watchdog
from tests.streams.apps import until

PARTITIONS = 2
SOURCE = topics.source("errors")
EVENT = b'{"source_id": "m", "at": 1700000000, "error": 0.5, "hardness": 0.5}'
# An answer may take a second here, of Kafka's thirty, and a partition stand still for two, of the watchdog's thirty.
LIMITS = {"broker_request_timeout": 1.0, "broker_rebalance_timeout": 2.0}
STANDS = 2.0
KINDS = ("lose", "cancel", "hang")
PHASES = ("start", "checkpoint", "rebalance", "stop")
_names = count()


class Scene:
    """A worker that is started, fed, made to checkpoint, called together with nobody, and stopped; a second one that takes over."""

    def __init__(self) -> None:
        self.broker = Broker.named(f"await-{next(_names)}")
        overrides = {"streams.partitions": PARTITIONS, "streams.enabled": ("errors",), "checkpoint.interval": 0.1}
        self.settings = load(None, overrides=overrides, environment={})
        create_topics(self.broker.create_topic, self.settings, ["errors"])
        self.workers = []
        self.calls = {}  # by phase: those that the first worker made

    async def worker(self):
        pipeline = assemble(self.settings, broker_url=f"memory://{self.broker.name}", logs=MemoryLogs(self.broker))
        self.workers.append(pipeline)
        return pipeline

    async def feed(self):
        for number in range(PARTITIONS):
            for _ in range(3):
                self.broker.produce(SOURCE, b"m", EVENT, partition=number)

    def begun(self, worker) -> bool:
        """Whether a worker has its folds, and has said from where each is read."""
        return len(worker.watchers["errors"].partitions) == PARTITIONS and ("seek", SOURCE) in self.calls["start"]

    def done(self) -> bool:
        """Whether living workers have folded and checkpointed all there is."""
        positions = self.broker.group("nilometer").positions
        committed = [positions[SOURCE, number].offset if (SOURCE, number) in positions else 0 for number in range(PARTITIONS)]
        return committed == [self.broker.end_offset(SOURCE, number) for number in range(PARTITIONS)]

    async def live(self, fault: Fault | None, phase: str) -> None:
        """One course of events; the fault lies in wait from the beginning of a phase on."""
        first = await self.worker()
        line = line_of(first.app)
        starting = None
        for each in PHASES:
            line.calls = self.calls[each] = []
            if each == phase and fault is not None:
                line.faults.append(fault)
            if each == "start":
                starting = asyncio.ensure_future(first.app.start())
                await self.moves(first, lambda: self.begun(first))
            elif each == "checkpoint":
                await self.feed()
                await self.moves(first, self.done)
            elif each == "rebalance":
                self.broker.group("nilometer").rebalance()
                await self.feed()
                await self.moves(first, self.done)
            elif not first.app.crashed:
                await self.stop(first)
        with suppress(Exception):
            await starting
        second = await self.worker()
        await second.app.start()
        await until(self.done)

    async def stop(self, first) -> None:
        """In order, with something left to checkpoint."""
        (tenures,) = first.tenures.values()
        tenures.interval = 1e9
        await until(lambda: all(due > tenures.clock() + 1e6 for due in tenures._due.values()))
        await self.feed()
        folds = first.watchers["errors"]
        await until(lambda: all(folds.position(number) == self.broker.end_offset(SOURCE, number) for number in range(PARTITIONS)))
        with suppress(Exception):
            await first.app.stop()

    async def moves(self, first, goal) -> None:
        """It gets there, or leaves loudly: then another takes its place for all that is to come."""
        await until(lambda: goal() or first.app.crashed)
        if first.app.crashed:
            assert first.app.crash_reason is not None
            with suppress(Exception):
                await first.app.stop()

    async def end(self) -> None:
        for worker in self.workers:
            line_of(worker.app).bury()
            with suppress(Exception):
                await asyncio.wait_for(worker.app.stop(), 5)
            worker.executor.shutdown(wait=False)
        Broker.forget(self.broker.name)


def lived(*courses: tuple[Fault | None, str]) -> list[Scene]:
    """Courses of events side by side: they mostly wait."""

    async def whole():
        scenes = [Scene() for _ in courses]
        try:
            results = await asyncio.gather(
                *(scene.live(*course) for scene, course in zip(scenes, courses, strict=True)), return_exceptions=True
            )
        finally:
            for scene in scenes:
                await scene.end()
        bad = [f"{phase}: {fault}: {result!r}" for (fault, phase), result in zip(courses, results, strict=True) if result is not None]
        assert not bad, "\n".join(bad)
        return scenes

    with (
        mock.patch.object(streams.app, "Watchdog", partial(Watchdog, limit=STANDS)),
        mock.patch.object(streams.awake, "LOOK", 0.1),
        mock.patch("streams.engine.create_app", lambda **settings: create_app(**settings, **LIMITS)),
    ):
        return asyncio.run(whole())


def compile_kernels() -> None:
    """Fold, freeze and thaw once: a kernel that is compiled first takes seconds, longer than a partition may stand still here."""
    scene = Scene()
    asyncio.run(scene.feed())
    what = definition("errors", scene.settings)
    for _ in range(2):
        part = what.partition(0)
        chunk = scene.broker.chunk(SOURCE, 0, 0, 10, 1 << 20)
        decoded = what.decode(chunk)
        run(part.fold(decoded.columns, decoded.origins, chunk.next))
        part.thaw(part.freeze())
    Broker.forget(scene.broker.name)


def awaits() -> list[tuple[str, str, str, int]]:
    """Every call of an undisturbed course: phase, operation, topic, and how many such calls come before it in its phase."""
    (scene,) = lived((None, ""))
    found = []
    for phase, calls in scene.calls.items():
        seen = Counter()
        for operation, topic in calls:
            # Joining and fetching are the client's own; the embedded broker knows no limit there.
            if operation not in ("join", "joined", "fetch"):
                found.append((phase, operation, topic, seen[operation, topic]))
                seen[operation, topic] += 1
    return found


@pytest.fixture(scope="module")
def known() -> list[tuple[str, str, str, int]]:
    compile_kernels()
    return awaits()


def test_every_step_of_the_protocols_is_among_the_awaits(known):
    steps = {(phase, operation, topic) for phase, operation, topic, _ in known}
    cuts, states = topics.cuts("errors"), topics.checkpoints("errors")
    assert steps >= {
        ("start", "committed", SOURCE), ("start", "read", states), ("start", "read", cuts), ("start", "begin", SOURCE),
        ("start", "produce", states), ("start", "commit", SOURCE), ("start", "produce", cuts), ("start", "seek", SOURCE),
        ("checkpoint", "produce", states), ("checkpoint", "commit", SOURCE),
        ("rebalance", "committed", SOURCE), ("rebalance", "produce", cuts), ("rebalance", "seek", SOURCE),
        ("stop", "produce", states), ("stop", "commit", SOURCE),
    }  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_goes_wrong_at_the_first_of_each_await_stops_nothing(known, kind):
    lived(*[(Fault(kind, operation, topic), phase) for phase, operation, topic, skip in known if skip == 0])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_goes_wrong_at_any_await_stops_nothing(known, kind):
    lived(*[(Fault(kind, operation, topic, skip), phase) for phase, operation, topic, skip in known])
