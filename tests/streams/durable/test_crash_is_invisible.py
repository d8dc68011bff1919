"""A worker crashes at some step of its protocols, another takes over, and nobody can tell: on the embedded broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from config.load import load
from streams import topics
from streams.app import Pipeline, assemble
from streams.backtest import Backtest
from streams.configured import audit, definition
from streams.cuts import Cut
from streams.decoding.tabular import read
from streams.durable.cut_log import counting
from streams.scores import decoded
from streams.simulators.cards import simulate_cards
from streams.simulators.layout import table
from streams.simulators.postings import simulate_postings
from streams.topic_settings import create_topics
from streams.transport.broker import Broker
from streams.transport.faults import LATE, Fault, Sessions, line_of
from streams.transport.groups import Committed
from streams.transport.tail import MemoryLogs
from tests.streams.apps import until
from tests.streams.live import COORDINATES, at_rest, lines_of

_names = count()
PARTITIONS = 2


@dataclass
class Scene:
    """A broker, a file of records, and workers that come and go."""

    stream: str
    file: Path
    more: dict
    headers: Callable[[int], Sequence[tuple[str, bytes]]] = lambda i: ()  # of the i-th record
    broker: Broker = field(init=False)
    sessions: Sessions = field(default_factory=Sessions)
    workers: list[Pipeline] = field(default_factory=list)
    records: list = field(default_factory=list)
    produced: int = 0
    leaving: list = field(default_factory=list)  # workers that are being stopped
    gone: list = field(default_factory=list)  # those that have: no zombie is left of them

    def __post_init__(self) -> None:
        self.broker = Broker.named(f"crash-{next(_names)}")
        overrides = {"streams.partitions": PARTITIONS, "streams.enabled": (self.stream,), "checkpoint.interval": 0.02, **self.more}
        self.settings = load(None, overrides=overrides, environment={})
        create_topics(self.broker.create_topic, self.settings, self.settings.streams.enabled)
        for batch in read(self.stream, self.file, self.settings):
            self.records += [batch.record(place) for place in range(len(batch))]

    async def worker(self, *faults: Fault) -> Pipeline:
        """A worker that has begun to start; it may crash before it is up."""
        pipeline = assemble(self.settings, broker_url=f"memory://{self.broker.name}", logs=MemoryLogs(self.broker))
        line = self.sessions.add(line_of(pipeline.app))
        line.faults += faults
        self.workers.append(pipeline)
        starting = asyncio.ensure_future(pipeline.app.start())
        await asyncio.wait([starting], timeout=1.0)
        return pipeline

    async def tick(self) -> None:
        """Virtual time: a session is a fifth of a second. A worker whose app has crashed ends, as its process would."""
        ended = []
        while True:
            await asyncio.sleep(0.01)
            self.sessions.advance(0.5)
            for worker in self.workers:
                if worker.app.crashed and line_of(worker.app).open and worker not in ended:
                    ended.append(worker)
                    await self.leave(worker)

    async def leave(self, worker: Pipeline) -> None:
        """Stop in order; then the process is gone."""
        await worker.app.stop()
        line_of(worker.app).cut()
        self.gone.append(id(worker))

    async def feed(self, upto: int) -> None:
        source = topics.source(self.stream)
        while self.produced < upto:
            for i, (key, value) in enumerate(self.records[self.produced : min(self.produced + 60, upto)], self.produced):
                self.broker.produce(source, key, value, headers=self.headers(i))
                if self.stream == "employees" and i % 40 == 0:
                    self.broker.produce(topics.EMPLOYEE_LIMITS, key, b'{"approval_limit": %d}' % (50 + i % 100) if i % 200 else None)
            self.produced = min(self.produced + 60, upto)
            if self.produced % 600 == 0:
                self.broker.group(self.workers[0].app.conf.id).rebalance()
            for number in range(PARTITIONS):
                self.broker.compact(topics.checkpoints(self.stream), number, tombstones_before_ms=1 << 60)
            await asyncio.sleep(0.004)

    def folded(self) -> bool:
        """Whether living workers have folded all there is, and have said what they think of it."""
        source = topics.source(self.stream)
        ends = {number: self.broker.end_offset(source, number) for number in range(PARTITIONS)}
        held = sorted(
            (number, part.next)
            for worker in self.workers
            if line_of(worker.app).open
            for number, part in worker.watchers[self.stream].partitions.items()
        )  # a partition that two have is about to be given back by one of them
        return held == sorted(ends.items()) and all(at_rest(w.watchers[self.stream]) for w in self.workers if line_of(w.app).open)

    async def end(self) -> None:
        for worker in self.workers:
            line = line_of(worker.app)
            if not line.open:
                line.bury()
            with suppress(Exception):
                await asyncio.wait_for(worker.app.stop(), 5)
            worker.executor.shutdown(wait=False)
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            # More than once: in Python 3.11 one that waits with a time limit, and is woken as it is cancelled, takes no notice.
            for task in others:
                task.cancel()
            await asyncio.wait(others, timeout=1.0)

    def check(self, folder: Path) -> int:
        """Everything that was said, by whomever, is what a backtest says; and so are the last checkpoint's states."""
        stream, broker = self.stream, self.broker
        cuts = {
            number: list(counting(number, ((r.offset, r.value) for r in broker.read(topics.cuts(stream), number))))
            for number in range(PARTITIONS)
        }
        what = definition(stream, self.settings)
        versions = self.file.parent / "versions.jsonl"
        versions.write_bytes(lines_of(broker, stream))
        test = Backtest(what, folder, audit(self.settings, what), PARTITIONS, cuts, versions)
        for batch in read(stream, self.file, self.settings, batch=997):
            test.feed(batch)
        test.close()
        rows: dict[tuple[int, int], dict] = {}
        for number in range(PARTITIONS):
            for record in broker.read(topics.scores(stream), number):
                columns = decoded(record.value)
                for i, offset in enumerate(columns["offset"]):
                    row = {name: columns[name][i] for name in columns if name not in COORDINATES}
                    assert rows.setdefault((number, offset), row) == row, f"{number}/{offset} was judged twice, differently"
        alerts = [record.value for number in range(PARTITIONS) for record in broker.read(topics.alerts(stream), number)]
        assert set(alerts) == set((folder / "alerts.jsonl").read_bytes().splitlines())
        assert len(rows) == len(self.records)
        for part in test.parts:
            for cut in cuts[part.number]:
                if cut.n == part.next:  # adopted behind the last record, where a backtest has ended
                    part.adopt(Cut(cut.partition, cut.n, test.resolved(cut.inputs)))
            living = [w.watchers[stream].partitions.get(part.number) for w in self.workers if line_of(w.app).open]
            states = [one.freeze() for one in living if one is not None]
            assert len(states) == 1, f"partition {part.number} has {len(states)} folds"
            assert states[0] == part.freeze(), f"partition {part.number} ends in another state"
        Broker.forget(broker.name)
        return len(alerts) - len(set(alerts))


def sudden(scene: Scene, fault: Fault, worker: Pipeline) -> Fault:
    """A fault whose kind is a way to end gets the worker that ends so."""
    how, _, when = fault.kind.partition(" ")

    def term() -> None:
        scene.leaving.append(asyncio.ensure_future(scene.leave(worker)))

    async def broken(*_: object) -> None:
        raise ZeroDivisionError("in a detector")

    def fail() -> None:
        worker.watchers[scene.stream]._drive = broken

    if how in ("stop", "raise"):
        return replace(fault, kind=f"then {when}", then=term if how == "stop" else fail)
    return fault


async def crash(scene: Scene, fault: Fault, at: int, zombie: bool, patience: float = 3.0) -> bool:
    """One worker, which meets a fault somewhere; another, which takes over; perhaps the first one's return from the dead.

    The second is there after `patience` seconds at the latest: some faults never come to pass, and after some nothing goes on.
    """
    ticking = asyncio.ensure_future(scene.tick())
    try:
        first = await scene.worker()
        line = line_of(first.app)
        await scene.feed(at)
        line.faults.append(sudden(scene, fault, first))
        feeding = asyncio.ensure_future(scene.feed(len(scene.records)))
        with suppress(AssertionError):
            await until(lambda: not line.open or (feeding.done() and scene.folded()), patience)
        crashed = not line.open
        second = await scene.worker()
        await until(lambda: second.watchers[scene.stream].partitions)
        if zombie and crashed and id(first) not in scene.gone:
            await asyncio.sleep(0.05)
            line.reopen()
        await feeding
        await until(scene.folded)
        line.faults.clear()
        await asyncio.sleep(0.15)  # whatever may still come of the fault
        await until(scene.folded)
        return crashed
    finally:
        ticking.cancel()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crash")
    pq.write_table(
        table(simulate_postings(employees=12, postings=3_000, fraudsters=3, fraud_share=0.3, seed=3)), folder / "employees.parquet"
    )
    pq.write_table(table(simulate_cards(cards=20, days=60, seed=2)), folder / "cards.parquet")
    return folder


MORE = {
    "employees": {"benford.scores": True, "benford.window": 60},
    "cards": {"cards.scores": True, "cards.epsilon": 0.01},
}
# How often a worker makes each call in such a scene, so that most faults come to pass.
CALLS = {"produce": 60, "commit": 8, "committed": 10, "read": 12, "fetch": 30, "join": 2, "joined": 2}


@st.composite
def faults(draw):
    operation = draw(st.sampled_from(sorted(CALLS)))
    kinds = ["crash before", "crash after"]
    if operation in ("produce", "commit", "read"):
        kinds += ["lose", "unanswered"]
    if operation == "produce":
        kinds += ["twice", *LATE]
    return Fault(draw(st.sampled_from(kinds)), operation, skip=draw(st.integers(0, CALLS[operation])), later=draw(st.integers(1, 6)))


def manifest(key, value):
    return value is not None and key.endswith(b"/m")


def piece(key, value):
    return value is not None and not key.endswith(b"/m")


def tombstone(key, value):
    return value is None


STEPS = {
    "an alert": ("produce", topics.alerts, {}),
    "an output": ("produce", topics.scores, {}),
    "a chunk of a checkpoint": ("produce", topics.checkpoints, {"record": piece}),
    "a manifest": ("produce", topics.checkpoints, {"record": manifest}),
    "a commit": ("commit", topics.source, {}),
    "a tombstone": ("produce", topics.checkpoints, {"record": tombstone}),
    "a line of the cut log": ("produce", topics.cuts, {}),
    "a chunk of events": ("fetch", lambda stream: "", {}),
}


@st.composite
def named_faults(draw, stream):
    name = draw(st.sampled_from(sorted(STEPS)))
    operation, topic, more = STEPS[name]
    ways = [f"{how} {when}" for how in ("crash", "stop", "raise") for when in ("before", "after")]
    how = draw(st.sampled_from(ways + [*LATE, *LATE] * (operation == "produce")))
    event(f"{how} {name}")
    return Fault(how, operation, topic(stream), skip=draw(st.integers(0, 5)), later=draw(st.integers(1, 6)), **more)


def invisible(files, tmp_path_factory, stream, fault, share, zombie):
    scene = Scene(stream, files / f"{stream}.parquet", MORE[stream])

    async def whole():
        try:
            crashed = await crash(scene, fault, int(share * len(scene.records)), zombie)
            repeated = scene.check(tmp_path_factory.mktemp("out"))
            return crashed, repeated
        finally:
            await scene.end()

    crashed, repeated = asyncio.run(whole())
    event(f"{fault.kind} {fault.operation}")
    event(f"crashed: {crashed}, alerts said again: {repeated > 0}")


@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(fault=faults(), share=st.floats(0.05, 0.7), zombie=st.booleans())
def test_a_crash_at_any_step_is_invisible(files, tmp_path_factory, fault, share, zombie):
    invisible(files, tmp_path_factory, "employees", fault, share, zombie)


@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(fault=named_faults("employees"), share=st.floats(0.05, 0.7), zombie=st.booleans())
def test_a_kill_a_stop_and_an_error_around_each_named_step_are_invisible(files, tmp_path_factory, fault, share, zombie):
    invisible(files, tmp_path_factory, "employees", fault, share, zombie)


@pytest.mark.slow
@pytest.mark.parametrize("stream", ["employees", "cards"])
@settings(max_examples=120, suppress_health_check=list(HealthCheck))
@given(data=st.data(), share=st.floats(0.0, 0.8), zombie=st.booleans())
def test_many_kills_stops_and_errors_around_named_steps_are_invisible(files, tmp_path_factory, stream, data, share, zombie):
    invisible(files, tmp_path_factory, stream, data.draw(named_faults(stream)), share, zombie)


@pytest.mark.slow
@pytest.mark.parametrize("stream", ["employees", "cards"])
@settings(max_examples=120, suppress_health_check=list(HealthCheck))
@given(fault=faults(), share=st.floats(0.0, 0.8), zombie=st.booleans())
def test_many_crashes_at_any_step_are_invisible(files, tmp_path_factory, stream, fault, share, zombie):
    invisible(files, tmp_path_factory, stream, fault, share, zombie)


def test_a_parked_partition_waits_and_the_others_go_on(files):
    scene = Scene("employees", files / "employees.parquet", MORE["employees"])
    group = scene.broker.group("nilometer")
    group.positions["employee.postings", 1] = Committed(5, "")  # somebody has moved it

    async def whole():
        try:
            worker = await scene.worker()
            await scene.feed(600)
            watcher = worker.watchers["employees"]
            await until(lambda: watcher.position(0) == scene.broker.end_offset("employee.postings", 0))
            return worker.ready(), worker.metrics.registry.get_sample_value, sorted(watcher.partitions)
        finally:
            await scene.end()

    (ready, why), sample, folding = asyncio.run(whole())

    assert folding == [0]
    assert not ready
    assert "nilometer state reset" in why["parked"]["employees"]["1"]
    labels = {"stream": "employees", "partition": "1"}
    assert sample("nilometer_partition_parked", {**labels, "cause": "moved"}) == 1
    assert sample("nilometer_partition_ready", labels) == 0
    assert group.positions["employee.postings", 1] == Committed(5, "")
    assert sample("nilometer_checkpoint_bytes", {"stream": "employees", "partition": "0"}) > 0
    Broker.forget(scene.broker.name)
