"""An embedded broker as commands see Kafka: a store outside the group, and workers that come, fold what there is, and go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

from config.settings import Settings
from streams import topics
from streams.agents.watch import Watcher
from streams.app import assemble
from streams.configured import definition
from streams.cuts import dump
from streams.decoding.tabular import read
from streams.durable.cut_log import counting
from streams.durable.store import Committed, Contents, Place, Stored
from streams.engine import run
from streams.savepoints import savepoint
from streams.savepoints.cold_start import since_reset
from streams.savepoints.exports import Places, check, put, refuse_other, take
from streams.topic_settings import create_topics
from streams.transport.broker import Broker
from streams.transport.tail import MemoryLogs
from tests.streams.live import at_rest

_names = count()
GROUP = "nilometer"
PIECE = 200  # records that are produced at once


class Outside:
    """A store of somebody who is in no group: the group must be empty where he commits."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker

    async def append(self, place: Place, key: bytes | None, value: bytes | None) -> Awaitable[int]:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.set_result(self.broker.produce(place[0], key, value, partition=place[1]).offset)
        return future

    async def read_to_end(self, place: Place, start: int = 0) -> Contents:
        begin = self.broker.begin_offset(*place)
        records = [Stored(r.offset, r.key, r.value) for r in self.broker.read(*place, offset=max(begin, start))]
        return Contents(begin, self.broker.end_offset(*place), records)

    async def commit(self, place: Place, offset: int, metadata: str, generation: int) -> None:
        group = self.broker.group(GROUP)
        assert not group.members
        group.positions[place] = Committed(offset, metadata)

    async def committed(self, place: Place) -> Committed | None:
        return self.broker.group(GROUP).positions.get(place)

    async def source_begin(self, place: Place) -> int:
        return self.broker.begin_offset(*place)

    async def source_end(self, place: Place) -> int:
        return self.broker.end_offset(*place)


def records_of(stream: str, file: Any, settings: Settings) -> list[tuple[bytes | None, bytes]]:
    """A file's rows as records."""
    return [batch.record(place) for batch in read(stream, file, settings) for place in range(len(batch))]


class Site:
    """One stream on an embedded broker of its own: workers one after another, and commands between them."""

    def __init__(self, stream: str, settings: Settings) -> None:
        self.stream, self.settings = stream, settings
        self.broker = Broker.named(f"outside-{next(_names)}")
        create_topics(self.broker.create_topic, settings, settings.streams.enabled)
        self.runner = asyncio.Runner()

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *_: object) -> None:
        self.runner.close()
        Broker.forget(self.broker.name)

    def lying(self, topic: str) -> list[Any]:
        """The records of a topic, partition by partition."""
        return [record for number in range(self.broker.partitions(topic)) for record in self.broker.read(topic, number)]

    def cuts(self) -> list[bytes]:
        """What `nilometer state cuts` prints."""
        topic = topics.cuts(self.stream)
        logs = [[(r.offset, r.value) for r in self.broker.read(topic, number)] for number in range(self.broker.partitions(topic))]
        return [dump(cut) for number, log in enumerate(logs) for cut in counting(number, since_reset(log))]

    def folded(self, records: Any = (), until: Callable[[Watcher], bool] = lambda _: True) -> list[bytes]:
        """Produce records while a worker comes; let it fold to the end, until `until`, and leave in order: the partitions' states then."""
        return self.runner.run(self._folded(records, until))

    async def _folded(self, records: Any, until: Callable[[Watcher], bool]) -> list[bytes]:
        pipeline = assemble(self.settings, broker_url=f"memory://{self.broker.name}", logs=MemoryLogs(self.broker))
        watcher, source = pipeline.watchers[self.stream], topics.source(self.stream)

        def done() -> bool:
            parts = watcher.partitions
            if len(parts) < self.settings.streams.partitions:
                return False
            at_end = all(part.next >= self.broker.end_offset(source, number) for number, part in parts.items())
            return at_end and at_rest(watcher) and until(watcher)

        async def go() -> None:
            async with asyncio.timeout(60):
                for number, (key, value) in enumerate(records):
                    self.broker.produce(source, key, value)
                    if number % PIECE == 0:
                        await asyncio.sleep(0.03)  # what is merged comes back, and is adopted
                while not done():
                    assert not pipeline.tenures[source].parked, pipeline.tenures[source].parked
                    await asyncio.sleep(0.01)

        try:
            await run(pipeline.app, go())
            return [tenure.part.freeze() for _, tenure in sorted(pipeline.tenures[source].held.items())]
        finally:
            pipeline.executor.shutdown()

    def exported(self, file: Path) -> savepoint.Savepoint:
        """What `nilometer state export` does."""

        async def go() -> savepoint.Savepoint:
            found = [each async for each in take(Outside(self.broker), Places(self.stream, ""))]
            about = savepoint.Savepoint(
                stream=self.stream, topic=topics.source(self.stream), build="a test", made="2026-01-01T00:00:00+00:00",
                partitions=len(found), signatures=found[0][2].signatures, parts=[head for head, _, _ in found],
            )  # fmt: skip
            savepoint.write(file, about, [body for _, body, _ in found])
            return about

        return self.runner.run(go())

    def imported(self, file: Path, *, from_beginning: bool = False, keyed_anew: bool = False) -> None:
        """What `nilometer state import` does."""
        about, what, places = savepoint.read(file), definition(self.stream, self.settings), Places(self.stream, "")
        refuse_other(about, what, self.broker.partitions(topics.source(self.stream)))
        store = Outside(self.broker)

        async def go() -> None:
            for head, data in savepoint.states(file):
                ready = await check(store, places, what, head, data, from_beginning=from_beginning, keyed_anew=keyed_anew)
                await put(store, places, ready, about.partitions, about.signatures)

        self.runner.run(go())
