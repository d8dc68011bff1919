"""Small apps on an embedded broker of their own, as plumbing for tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

from faust.types import TP

from streams.engine import App, create_app
from streams.transport.broker import Broker
from streams.transport.chunk import Chunk
from streams.transport.chunked import StaleCommit

_numbers = count()


@contextmanager
def embedded(**topics: int) -> Iterator[Broker]:
    """A broker with these topics and numbers of partitions."""
    name = f"test-{next(_numbers)}"
    broker = Broker.named(name)
    for topic, partitions in topics.items():
        broker.create_topic(topic, partitions)
    try:
        yield broker
    finally:
        Broker.forget(name)


class Reader:
    """An app with one agent that notes every chunk it gets, in its actor's partition, and folds nothing.

    With `keep=True` it commits what it has read whenever it must give it back, as a fold does.
    """

    def __init__(
        self, broker: Broker | str, topic: str = "source", name: str = "reader", *, keep: bool = False, **settings: Any
    ) -> None:  # fmt: skip
        url = broker if isinstance(broker, str) else f"memory://{broker.name}"
        self.app: App = create_app(name=name, broker_url=url, positions=self.position, **settings)
        self.chunks: list[Chunk] = []
        self.actors: dict[int, set[int]] = {}
        self.next: dict[TP, int] = {}
        self.generation = 0
        self.problem: Callable[[Chunk], Any] = lambda chunk: None

        @self.app.agent(self.app.chunked_topic(topic), isolated_partitions=True)
        async def read(stream):
            async for chunk in stream:
                self.problem(chunk)
                self.actors.setdefault(chunk.partition, set()).add(id(stream))
                self.chunks.append(chunk)
                self.next[TP(chunk.topic, chunk.partition)] = chunk.next

        if keep:
            self.app.when_assigned(self.restore)
            self.app.when_revoked(self.commit)
            self.app.when_stopping(self.commit)

    def position(self, tp: TP) -> int | None:
        return self.next.get(tp)

    async def restore(self, tps: set[TP], generation: int) -> None:
        self.next, self.generation = {}, generation
        for tp in tps:
            committed = await self.app.members.committed_position(tp)
            self.next[tp] = committed.offset if committed else 0

    async def commit(self, tps: set[TP], generation: int) -> None:
        # Under the generation in which it was restored, never a later one: the app may be asked to give back what it has not
        # restored yet, and what it knows then is older than what another member has committed since.
        with suppress(StaleCommit):
            for tp in tps & self.next.keys():
                await self.app.members.commit_position(tp, self.next[tp], "kept", generation=self.generation)

    def values(self, partition: int | None = None) -> list[bytes | None]:
        return [value for chunk in self.chunks if partition in (None, chunk.partition) for value in chunk.values()]


async def until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    """Wait until it holds; a test that waits longer than `seconds` has failed, however busy the machine is."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"still not so after {seconds} s")
        await asyncio.sleep(0.001)
