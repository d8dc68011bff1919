"""The composition root: from settings to streams, and from streams to a Faust app that watches them.

The one place where settings meet detectors, and detectors meet agents.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import msgspec

from config.load import without_secrets
from config.settings import Settings
from streams import topics
from streams.agents import cards, employees, errors, sensors
from streams.agents.population import keep_population
from streams.agents.watch import Watcher
from streams.alerts import Audit
from streams.definitions import Definition
from streams.metrics import Metrics
from streams.partition import signature_text

if TYPE_CHECKING:  # Faust is heavy, and a backtest does without it
    from streams.engine import App

BUILDS_AT_ONCE = 2  # models built beside the event loop: more would take its cores
_DEFINE: dict[str, Callable[[Settings], Definition]] = {
    "sensors": sensors.define,
    "cards": cards.define,
    "employees": employees.define,
    "errors": errors.define,
}


def definition(stream: str, settings: Settings) -> Definition:
    """One of the four streams under these settings."""
    return _DEFINE[stream](settings)


def build() -> str:
    """Which build this is, as it stands in every alert."""
    try:
        return f"nilometer {version('nilometer')}"
    except PackageNotFoundError:
        return "nilometer (not installed)"


def audit(settings: Settings, stream: Definition) -> Audit:
    """What lets an auditor derive an alert of this stream again."""
    canonical = msgspec.json.encode(without_secrets(settings), order="sorted")
    return Audit(build(), hashlib.blake2b(canonical, digest_size=8).hexdigest(), signature_text(stream.detector))


@dataclass
class Pipeline:
    """A worker put together and not yet started."""

    app: App
    watchers: dict[str, Watcher]
    metrics: Metrics
    executor: Executor

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether this worker has its partitions and folds them, for ``/readyz``."""
        folding = {name: sorted(watcher.partitions) for name, watcher in self.watchers.items()}
        return self.app.started and any(folding.values()), {"folding": folding}

    def healthy(self) -> tuple[bool, dict[str, Any]]:
        """Whether the process does anything at all, for ``/healthz``."""
        return not self.app.crashed, {"crashed": repr(self.app.crash_reason) if self.app.crashed else None}


def create_topics(create: Callable[[str, int], None], settings: Settings, streams: Sequence[str]) -> None:
    """Create every topic that these streams need; what belongs together has the same number of partitions."""
    many, prefix = settings.streams.partitions, settings.kafka.prefix
    for stream in streams:
        for topic in (topics.source(stream), topics.alerts(stream), topics.scores(stream), topics.cuts(stream)):
            create(prefix + topic, many)
        create(prefix + topics.shared(stream), 1)
    create(prefix + topics.DEAD_LETTERS, 1)


def assemble(
    settings: Settings, *, broker_url: str, tail: Callable[[str], AsyncIterator[bytes]], metrics: Metrics | None = None
) -> Pipeline:
    """Put a worker together: the agents of the enabled streams on one Faust app.

    Parameters
    ----------
    broker_url
        ``memory://name`` or ``kafka://host:port``.
    tail
        Reads the only partition of a topic from its beginning and then for ever, outside every consumer group.
    """
    from faust.types import TP

    from streams.engine import create_app
    from streams.transport.security import credentials

    prefix = settings.kafka.prefix
    metrics = metrics or Metrics()
    executor = ThreadPoolExecutor(BUILDS_AT_ONCE, thread_name_prefix="build")
    watchers: dict[str, Watcher] = {}
    of_topic: dict[str, Watcher] = {}

    def position(tp: TP) -> int | None:
        watcher = of_topic.get(tp.topic)
        return None if watcher is None else watcher.position(tp.partition)

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
        return await app.producer.send(prefix + topic, key, value, partition, None, list(headers))

    for name in settings.streams.enabled:
        stream = definition(name, settings)
        topic = prefix + topics.source(name)
        watchers[name] = of_topic[topic] = Watcher(
            definition=stream,
            audit=audit(settings, stream),
            metrics=metrics,
            outlet=outlet,
            executor=executor,
            prefix=prefix,
            end=lambda number, topic=topic: app.consumer.highwater(TP(topic, number)),  # type: ignore[misc]
        )
        metrics.promised_rate.labels(name).set(stream.rate)
        _watch(app, topic, watchers[name])
        if stream.merges:
            _share(app, prefix + topics.shared(name), watchers[name], tail)
    metrics.build.info({"version": build(), "configuration": next(iter(watchers.values())).audit.configuration})

    async def assigned(partitions: set[TP], generation: int) -> None:
        for topic, watcher in of_topic.items():
            watcher.own({tp.partition for tp in partitions if tp.topic == topic})

    app.when_assigned(assigned)
    return Pipeline(app, watchers, metrics, executor)


def _watch(app: App, topic: str, watcher: Watcher) -> None:
    """One actor, one queue, one fold a partition: one that waits or stumbles holds up no other."""

    async def watch(chunks: Any) -> None:
        async for chunk in chunks:
            await watcher.watch(chunk)

    app.agent(app.chunked_topic(topic), name=f"watch-{watcher.definition.name}", isolated_partitions=True)(watch)


def _share(app: App, topic: str, watcher: Watcher, tail: Callable[[str], AsyncIterator[bytes]]) -> None:
    """Keep the inputs that a stream's partitions make together."""

    async def tell(value: bytes) -> Any:
        return await (await app.producer.send(topic, None, value, 0, None, []))

    async def share() -> None:
        try:
            await keep_population(tail(topic), tell, watcher.offer, lambda: 0 in watcher.partitions)
        except asyncio.CancelledError:
            raise
        except Exception as problem:  # without it no reference would ever change again: leave loudly
            await app.crash(problem)

    app.task(share)
