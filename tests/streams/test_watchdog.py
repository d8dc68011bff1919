"""The watchdog: it finds what stands still, and never what is idle, slow, restored, or was stopped with the whole process."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest

import streams.app
import streams.awake
from config.load import load
from streams import topics
from streams.app import assemble
from streams.engine import running
from streams.topic_settings import create_topics
from streams.transport.broker import Broker
from streams.transport.tail import MemoryLogs
from streams.watchdog import Deaf, Progress, Standing, Watchdog, more_to_do
from tests.streams.apps import until

STUCK = Standing(place=7, more=True)


class Watch:
    """A watchdog whose clock stands until it is told to go on."""

    def __init__(self) -> None:
        self.now = 100.0
        self.dog = Watchdog(clock=lambda: self.now)

    def looks(self, many, standing, step=2.0):
        found = []
        for i in range(many):
            found = self.dog.look({"cards/1": standing(i) if callable(standing) else standing})
            if found:
                break
            self.now += step
        return found


def test_a_partition_that_stands_still_though_its_log_has_more_is_found_after_half_a_minute():
    watch = Watch()
    assert watch.looks(15, STUCK) == []
    assert watch.now - 100.0 == 30.0
    assert watch.looks(1, STUCK) == ["cards/1"]


def test_a_partition_without_a_fold_is_found_too():
    assert Watch().looks(20, Standing(None, more=True)) == ["cards/1"]


@pytest.mark.parametrize(
    "standing",
    [
        Standing(7, more=False),
        Standing(7, more=True, waits=True),
        lambda i: Standing(i // 14, more=True),  # slow: a step in 28 s
        lambda i: Standing(7, more=i % 14 > 0),  # caught up now and then
        lambda i: Standing(7, more=True, waits=i % 14 == 0),
    ],
    ids=["idle", "waits", "slow", "caught up", "waited"],
)
def test_what_is_idle_or_waits_or_moves_slowly_is_left_alone(standing):
    assert Watch().looks(500, standing) == []


def test_a_process_that_was_stopped_has_not_stood_still_meanwhile():
    watch = Watch()
    assert watch.looks(3, STUCK) == []
    watch.now += 3600.0
    assert watch.looks(10, STUCK) == []


def test_a_partition_that_went_and_came_again_is_counted_anew():
    watch = Watch()
    assert watch.looks(14, STUCK) == []
    assert watch.dog.look({}) == []
    assert watch.looks(14, STUCK) == []


def test_each_partition_is_counted_by_itself():
    watch = Watch()
    for i in range(16):
        found = watch.dog.look({"cards/0": Standing(i, more=True), "cards/1": STUCK})
        watch.now += 2.0
    assert found == ["cards/1"]


@pytest.mark.parametrize(
    ("folded", "fetched", "handed", "end", "more"),
    [
        (10, 10, 10, 10, False),
        (10, 10, 10, 11, True),
        (10, 12, 10, 12, False),  # holes behind the last record
        (10, 12, 12, 12, True),  # fetched, waiting in the queue
        (10, None, None, 12, True),  # never sought
        (10, None, None, 10, False),
        (10, 10, 10, None, False),
    ],
)
def test_more_is_what_is_unread_or_unfolded(folded, fetched, handed, end, more):
    assert more_to_do(folded, fetched, handed, end) is more


def test_a_worker_whose_flow_is_never_resumed_leaves_loudly(monkeypatch):
    monkeypatch.setattr(streams.app, "Watchdog", partial(Watchdog, limit=0.5))
    monkeypatch.setattr(streams.awake, "LOOK", 0.05)
    settings = load(environment={"NILOMETER_STREAMS__ENABLED": '["errors"]', "NILOMETER_STREAMS__PARTITIONS": "2"})
    broker = Broker.named("deaf")
    create_topics(broker.create_topic, settings, ["errors"])
    pipeline = assemble(settings, broker_url="memory://deaf", logs=MemoryLogs(broker))
    watcher, source = pipeline.watchers["errors"], topics.source("errors")
    event = b'{"source_id": "m", "at": 1700000000, "error": 0.5, "hardness": 0.5}'

    async def listen():
        async with running(pipeline.app) as app:
            broker.produce(source, b"m", event, partition=1)
            await until(lambda: watcher.position(1) == 1)
            await asyncio.sleep(1.0)  # idle
            assert not app.crashed
            app.consumer.stop_flow()
            broker.produce(source, b"m", event, partition=1)
            await until(lambda: app.crashed)

    try:
        with pytest.raises(Deaf, match=r"errors/1 .* stood still"):
            asyncio.run(listen())
    finally:
        pipeline.executor.shutdown()
        Broker.forget("deaf")


def test_a_probe_finds_a_loop_that_has_stopped_and_a_fold_that_stands_still_not_an_idle_one():
    watch = Watch()
    progress = Progress(clock=lambda: watch.now, standing=lambda: watch.dog.standing)
    assert progress.trouble() is None  # nobody keeps the sign of life

    async def one_beat():
        beat = asyncio.ensure_future(progress.beat())
        await asyncio.sleep(0)
        beat.cancel()

    asyncio.run(one_beat())
    assert progress.turned == watch.now
    watch.now += 59.0
    assert progress.trouble() is None
    watch.now += 30.0
    assert progress.trouble() == "the event loop has not turned for 89 s"
    progress.turned = None
    watch.looks(100, Standing(7, more=False))
    assert progress.trouble() is None
    watch.dog.limit = 1e9  # one that barks and is not heard
    watch.looks(30, STUCK)
    assert progress.trouble() is None
    watch.looks(1, STUCK)
    assert progress.trouble() == "no progress though the log has more: cards/1 for 60 s"


def test_a_probe_while_a_worker_starts_makes_it_no_second_consumer():
    settings = load(environment={"NILOMETER_STREAMS__ENABLED": '["errors"]', "NILOMETER_STREAMS__PARTITIONS": "1"})
    broker = Broker.named("probed")
    create_topics(broker.create_topic, settings, ["errors"])
    pipeline = assemble(settings, broker_url="memory://probed", logs=MemoryLogs(broker))
    make, made, said = pipeline.app._new_consumer, [], []

    def probed():
        made.append(make())
        if len(made) == 1:  # as the server of /readyz does, in a thread of its own
            probe = threading.Thread(target=lambda: said.append(pipeline.ready()[0]))
            probe.start()
            probe.join()
        return made[-1]

    pipeline.app._new_consumer = probed

    async def start():
        async with running(pipeline.app):
            await until(lambda: pipeline.ready()[0])

    try:
        asyncio.run(start())
        assert len(made) == 1
        assert said == [False]
    finally:
        pipeline.executor.shutdown()
        Broker.forget("probed")


def test_a_worker_to_spare_is_ready_and_says_what_is_stuck():
    settings = load(environment={"NILOMETER_STREAMS__ENABLED": '["errors"]', "NILOMETER_STREAMS__PARTITIONS": "1"})
    broker = Broker.named("spare")
    create_topics(broker.create_topic, settings, ["errors"])
    workers = [assemble(settings, broker_url="memory://spare", logs=MemoryLogs(broker)) for _ in range(2)]

    async def both():
        assert not workers[1].ready()[0]
        async with running(workers[0].app), running(workers[1].app):
            await until(lambda: all(worker.ready()[0] for worker in workers))
            assert sorted(worker.ready()[1]["folding"]["errors"] for worker in workers) == [[], [0]]
            assert workers[0].healthy() == (True, {"crashed": None, "stuck": None})
            workers[0].progress.turned = float("-inf")
            well, why = workers[0].healthy()
            assert not well
            assert why["stuck"].startswith("the event loop has not turned")

    try:
        asyncio.run(both())
    finally:
        for worker in workers:
            worker.executor.shutdown()
        Broker.forget("spare")
