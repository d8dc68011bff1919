"""The composition root: from settings to streams, and from streams to a Faust app that watches them.

The one place where settings meet detectors, and detectors meet agents.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from config.settings import Settings
from streams import outside, topics
from streams.agents.trainer import fetching
from streams.agents.watch import Unsent, Watcher
from streams.awake import keep_awake
from streams.configured import audit, build, definition
from streams.durable.checkpoints import Checkpoints
from streams.durable.cut_log import CutLog
from streams.durable.lease import Lease
from streams.durable.pace import Pace
from streams.durable.parked import Cause, Dead, Parked
from streams.durable.references import Records
from streams.durable.tenure import Tenure
from streams.durable.tenures import Notes, Tenures
from streams.outside import FromOutside
from streams.partition import signature_text
from streams.telemetry.measuring import keep_measuring
from streams.telemetry.metrics import Metrics
from streams.telemetry.watch_list import WatchList
from streams.transport.cutting import LostPosition
from streams.transport.tail import Logs
from streams.undelivered import Undelivered
from streams.watchdog import Progress, Watchdog

if TYPE_CHECKING:  # Faust is heavy, and a backtest does without it
    from faust.types import TP

    from streams.engine import App

T = TypeVar("T")
BUILDS_AT_ONCE = 2  # models built beside the event loop: more would take its cores


@dataclass
class Pipeline:
    """A worker put together and not yet started."""

    app: App
    watchers: dict[str, Watcher]
    metrics: Metrics
    executor: Executor
    tenures: dict[str, Tenures]
    progress: Progress

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether this worker has its partitions and folds them, for ``/readyz``; one that has joined and got none is ready, too."""
        folding = {name: sorted(watcher.partitions) for name, watcher in self.watchers.items()}
        parked = {
            each.stream: {str(number): str(why) for number, why in each.parked.items()} for each in self.tenures.values() if each.parked
        }
        takes_part = self.app.started and (any(folding.values()) or (self.app.settled and not self.app.assigned()))
        return takes_part and not parked, {"folding": folding, "parked": parked}

    def healthy(self) -> tuple[bool, dict[str, Any]]:
        """Whether the process does what it is for, for ``/healthz``: it has not crashed, its loop turns, its folds move."""
        crashed, stuck = self.app.crashed, self.progress.trouble()
        return not crashed and stuck is None, {"crashed": repr(self.app.crash_reason) if crashed else None, "stuck": stuck}


def assemble(settings: Settings, *, broker_url: str, logs: Logs, metrics: Metrics | None = None) -> Pipeline:
    """Put a worker together: the agents of the enabled streams on one Faust app.

    Parameters
    ----------
    broker_url
        ``memory://name`` or ``kafka://host:port``.
    logs
        Reads checkpoints, cut logs and what partitions share, outside every consumer group.
    """
    from aiokafka.errors import KafkaError, MessageSizeTooLargeError
    from faust.exceptions import ProducerSendError
    from faust.types import TP

    from streams.engine import create_app
    from streams.transport.security import credentials

    prefix = settings.kafka.prefix
    metrics = metrics or Metrics()
    executor = ThreadPoolExecutor(BUILDS_AT_ONCE, thread_name_prefix="build")
    watch_list = WatchList(settings.metrics.watch, metrics, settings.log)
    watchers: dict[str, Watcher] = {}
    of_topic: dict[str, Watcher] = {}
    tenures: dict[str, Tenures] = {}
    pace = Pace(settings.checkpoint.bytes_per_second)
    undelivered = Undelivered(metrics)

    def position(tp: TP) -> int | None:
        if tp.topic not in of_topic:
            return None
        at = of_topic[tp.topic].position(tp.partition)
        # What is parked is not read; but it must be sought to somewhere, and its committed offset may be nowhere.
        return at if at is not None else app.consumer.highwater(tp)

    app = create_app(
        name=f"{prefix}nilometer",
        broker_url=broker_url,
        partitions=settings.streams.partitions,
        positions=position,
        broker_credentials=credentials(settings.kafka),
    )
    app.chunks.record_batches = settings.kafka.fetch == "record_batches"
    app.chunks.isolation_level = settings.kafka.isolation_level

    async def outlet(topic: str, key: bytes | None, value: bytes | None, *, partition: int | None = None, headers: Any = ()) -> Any:
        try:
            return undelivered.watch(prefix + topic, await app.producer.send(prefix + topic, key, value, partition, None, list(headers)))
        except ProducerSendError as problem:
            if isinstance(problem.__cause__, MessageSizeTooLargeError):
                raise  # it would never leave
            raise Unsent(str(problem)) from problem

    async def deliver(topic: str, records: Any) -> None:
        try:
            await app.producer.deliver(prefix + topic, records)  # type: ignore[attr-defined]  # both of our transports' have it
        except (KafkaError, ProducerSendError) as problem:
            metrics.undelivered.labels(prefix + topic).inc()
            raise Unsent(repr(problem)) from problem

    for name in settings.streams.enabled:
        stream = definition(name, settings)
        topic = prefix + topics.source(name)
        watchers[name] = of_topic[topic] = Watcher(
            definition=stream,
            audit=audit(settings, stream),
            metrics=metrics,
            outlet=outlet,
            deliver=deliver,
            executor=executor,
            prefix=prefix,
            end=lambda number, topic=topic: app.consumer.highwater(TP(topic, number)),  # type: ignore[misc]
            watch_list=watch_list,
        )
        metrics.begin(stream)
        _watch(app, topic, watchers[name])
        if stream.merges:
            outside.share(app, prefix + topics.shared(name), watchers[name], logs)
        records = Records(fetching(logs, prefix))
        outside.forget(app, prefix + topics.erasures(name), watchers[name], logs)
        if stream.train is not None:
            outside.train(app, settings, watchers[name], logs, records)
        tenures[topic] = _tenures(app, settings, watchers[name], logs, pace, records)
    metrics.identify(build(), next(iter(watchers.values())).audit.configuration)
    metrics.checkpoint_interval.set(settings.checkpoint.interval)
    app.task(lambda: keep_measuring(watchers))

    _keep_partitions(app, tenures)
    dog = Watchdog(clock=time.monotonic)
    keep_awake(app, dog, tenures, of_topic, logs)

    def unreadable(tp: TP, lost: LostPosition) -> None:
        why = (
            f"{lost}. Bring the records back, or `nilometer state reset` the partition to go on from what there is "
            "(`--at` an offset behind what is damaged)"
        )
        tenures[tp.topic].park(tp.partition, Parked(Cause.SOURCE, why))

    app.chunks.unreadable = unreadable
    pipeline = Pipeline(app, watchers, metrics, executor, tenures, Progress(standing=lambda: dog.standing))
    metrics.ready.set_function(lambda: pipeline.ready()[0])
    return pipeline


def _tenures(app: App, settings: Settings, watcher: Watcher, logs: Logs, pace: Pace, records: Records) -> Tenures:
    """A stream's folds, each with its checkpoints and its cut log."""
    stream, prefix = watcher.definition, settings.kafka.prefix
    source, metrics = prefix + topics.source(stream.name), watcher.metrics
    from faust.types import TP

    from streams.durable.member_store import MemberStore

    states, log = MemberStore(app, logs, lambda: app.bulk_producer), MemberStore(app, logs, lambda: app.producer)

    def create(number: int) -> Tenure:
        place = (prefix + topics.checkpoints(stream.name), number)
        signatures = {"detector": signature_text(stream.detector)}
        many = app.consumer.topic_partitions(source) or settings.streams.partitions
        checkpoints = Checkpoints(states, place, (source, number), many, signatures, in_a_thread, pace)
        cuts = CutLog(log, (prefix + topics.cuts(stream.name), number), (source, number), number)
        return Tenure(stream.partition(number), checkpoints, cuts, lease, records)

    def lease() -> bool:
        clock = getattr(app.consumer, "clock", time.monotonic)
        return Lease(app.conf.broker_session_timeout, app.members.last_heartbeat_answered, clock)()

    def rejoin(why: str) -> None:
        ask = getattr(app.consumer, "rejoin", None)
        if ask is not None:
            ask()
        else:  # another worker, or the next life of this one, takes over
            app.add_future(app.crash(Dead(why)))

    def restored(number: int, seconds: float) -> None:
        metrics.restored(stream.name, number, seconds)
        readers.begin(number)

    def dropped(number: int) -> None:
        watcher.forget(number)
        readers.end(number)

    readers = FromOutside(app, settings, watcher, logs)
    notes = Notes(
        restored, partial(metrics.waits, stream.name), partial(metrics.checkpoint, stream.name), partial(metrics.checkpointed, stream.name),
        dropped,
    )  # fmt: skip
    tenures = Tenures(
        stream.name, create, settings.checkpoint.interval,
        lambda generation: generation == app.consumer_generation_id and not app.members.given_back, rejoin, pace, notes,
        watcher.settle,
    )  # fmt: skip
    watcher.unwanted = lambda number: app.consumer.pause_partitions([TP(source, number)])
    watcher.tenures, watcher.died, watcher.park = tenures.held, tenures.died, tenures.park
    return tenures


async def in_a_thread(work: Callable[..., T], *arguments: Any) -> T:
    """Run slow work beside the event loop, to its end even when cancelled: what it reads must not change under it."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


def _keep_partitions(app: App, tenures: dict[str, Tenures]) -> None:
    """Restore, checkpoint and give back, as the group wants it."""

    async def assigned(partitions: set[TP], generation: int) -> None:
        await asyncio.gather(
            *(each.assign({tp.partition for tp in partitions if tp.topic == topic}, generation) for topic, each in tenures.items())
        )

    async def given_back(partitions: set[TP], generation: int) -> None:
        await asyncio.gather(*(each.revoke(0.5 * app.conf.broker_rebalance_timeout) for each in tenures.values()))

    app.when_assigned(assigned)
    app.when_revoked(given_back)
    app.when_stopping(given_back)
    for each in tenures.values():
        app.task(each.keep_checkpointing)


def _watch(app: App, topic: str, watcher: Watcher) -> None:
    """One actor, one queue, one fold a partition: one that waits or stumbles holds up no other."""

    async def watch(chunks: Any) -> None:
        async for chunk in chunks:
            await watcher.watch(chunk)

    app.agent(app.chunked_topic(topic), name=f"watch-{watcher.definition.name}", isolated_partitions=True)(watch)
