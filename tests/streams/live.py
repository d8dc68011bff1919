"""A worker on an embedded broker, fed with a file: what it said of each row, to hold against a backtest."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.settings import Settings
from streams import cuts, scores, topics
from streams.agents.watch import Watcher
from streams.app import assemble
from streams.decoding.tabular import read
from streams.durable.cut_log import counting
from streams.engine import run
from streams.model_files import line
from streams.topic_settings import create_topics
from streams.transport.broker import Broker
from streams.transport.tail import MemoryLogs

# Said of every event in the score log beside the columns that scores.parquet shares with it.
COORDINATES = ("stream", "partition", "through", "source", "offset", "index", "key", *scores.NAMED_BY)


@dataclass
class Said:
    """What a live run left in its topics."""

    rows: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)  # by (partition, offset)
    alerts: list[bytes] = field(default_factory=list)
    cuts: list[bytes] = field(default_factory=list)
    letters: list[tuple[int, int, str]] = field(default_factory=list)  # partition, offset, reason
    states: dict[int, bytes] = field(default_factory=dict)
    models: bytes = b""  # as a file


def live(stream: str, file: Path, settings: Settings, name: str, pause_every: int = 3_000, before: Callable[[Broker], object] = id) -> Said:
    """Produce a file's rows as `replay` would while a worker folds them, until all is folded; `before` may produce other records."""
    broker = Broker.named(name)
    create_topics(broker.create_topic, settings, settings.streams.enabled)
    before(broker)
    pipeline = assemble(settings, broker_url=f"memory://{name}", logs=MemoryLogs(broker))
    watcher = pipeline.watchers[stream]
    source = topics.source(stream)

    async def feed() -> None:
        count = 0
        for batch in read(stream, file, settings):
            for place in range(len(batch)):
                key, value = batch.record(place)
                broker.produce(source, key, value, partition=None if key else 0)
                count += 1
                if count % pause_every == 0:
                    await asyncio.sleep(0.04)
        while any(part.next < broker.end_offset(source, number) for number, part in watcher.partitions.items()) or not watcher.partitions:
            await asyncio.sleep(0.02)
        while not at_rest(watcher):  # what the last chunk led to is on its way
            await asyncio.sleep(0.02)

    try:
        asyncio.run(run(pipeline.app, feed()))
        return _said(broker, stream, settings, {number: part.freeze() for number, part in watcher.partitions.items()})
    finally:
        pipeline.executor.shutdown()
        Broker.forget(name)


def at_rest(watcher: Watcher) -> bool:
    """Whether no batch is being folded, and all that the last one led to has been handed over."""
    return all(tenure.settled and not tenure.lock.locked() for tenure in watcher.tenures.values())


def _said(broker: Broker, stream: str, settings: Settings, states: dict[int, bytes]) -> Said:
    said = Said(states=states)
    for number in range(settings.streams.partitions):
        for record in broker.read(topics.scores(stream), number):
            columns = scores.decoded(record.value)
            names = [name for name in columns if name not in COORDINATES]
            for i, offset in enumerate(columns["offset"]):
                said.rows[number, offset] = {name: columns[name][i] for name in names}
        said.alerts += [record.value for record in broker.read(topics.alerts(stream), number)]
        log = ((record.offset, record.value) for record in broker.read(topics.cuts(stream), number))
        said.cuts += [cuts.dump(cut) for cut in counting(number, log)]
    said.models = lines_of(broker, stream)
    for record in broker.read(topics.DEAD_LETTERS, 0):
        headers = defaultdict(bytes, record.headers)
        where = int(headers["nilometer-partition"]), int(headers["nilometer-offset"])
        said.letters.append((*where, headers["nilometer-reason"].decode()))
    return said


def lines_of(broker: Broker, stream: str) -> bytes:
    """The versions that were published, as `--models` takes them."""
    if broker.partitions_for_topic(topics.models(stream)) is None:
        return b""
    return b"".join(line(record.offset, record.value or b"{}") + b"\n" for record in broker.read(topics.models(stream), 0))
