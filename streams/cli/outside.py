"""A store (`streams.durable.store`) for commands: kafka-python, outside the group, whose positions it sets while nobody is in it."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from streams.errors import UserError

if TYPE_CHECKING:
    from config.settings import Settings
    from streams.durable.store import Committed, Contents, Place

T = TypeVar("T")


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run what awaits nothing but this store, to its end: no event loop is needed."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("a command's store never waits")


class _Done:
    """Something awaitable that is there already."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __await__(self) -> Generator[Any, None, int]:
        yield from ()
        return self.value


class OutsideStore:
    """A broker as a command sees it; every call is over when it returns."""

    def __init__(self, settings: Settings, client: Any, consumer: Any, producer: Any = None) -> None:
        self.settings, self.client, self.consumer, self._producer = settings, client, consumer, producer

    async def append(self, place: Place, key: bytes | None, value: bytes | None) -> Awaitable[int]:
        from streams.cli import brokers

        sent = self._producer.send(place[0], value, key=key, partition=place[1])
        return _Done(int(sent.get(timeout=brokers.DELIVERY_SECONDS).offset))

    async def read_to_end(self, place: Place, start: int = 0) -> Contents:
        from kafka import TopicPartition

        from streams.cli import reading
        from streams.durable.store import Contents, Stored

        tp = TopicPartition(*place)
        begin, end = self.consumer.beginning_offsets([tp])[tp], self.consumer.end_offsets([tp])[tp]
        records = [Stored(record.offset, record.key, record.value) for record in reading.to_end(self.consumer, *place, start)]
        return Contents(int(begin), max(int(end), records[-1].offset + 1 if records else 0), records)

    async def commit(self, place: Place, offset: int, metadata: str, generation: int) -> None:
        from kafka import TopicPartition
        from kafka.structs import OffsetAndMetadata

        from streams.cli import brokers
        from streams.cli.cold import group_of

        group, tp = group_of(self.settings), TopicPartition(*place)
        taken = brokers.patiently(lambda: self.client.alter_group_offsets(group, {tp: OffsetAndMetadata(offset, metadata, -1)}))
        if taken[tp].errno != 0:
            raise UserError(f"the group {group} does not take the commit ({taken[tp].__name__}): stop every worker, and try again")

    async def committed(self, place: Place) -> Committed | None:
        from kafka import TopicPartition

        from streams.cli import brokers
        from streams.cli.cold import group_of
        from streams.durable.store import Committed

        group = group_of(self.settings)
        found = brokers.patiently(lambda: self.client.list_group_offsets(group)).get(group, {}).get(TopicPartition(*place))
        return None if found is None or found.offset < 0 else Committed(int(found.offset), found.metadata or "")

    async def source_begin(self, place: Place) -> int:
        from kafka import TopicPartition

        tp = TopicPartition(*place)
        return int(self.consumer.beginning_offsets([tp])[tp])

    async def source_end(self, place: Place) -> int:
        from kafka import TopicPartition

        tp = TopicPartition(*place)
        return int(self.consumer.end_offsets([tp])[tp])


@contextmanager
def store(settings: Settings, *, writes: bool = False) -> Iterator[OutsideStore]:
    """A store for one command.

    Raises
    ------
    UserError
        No broker answers, or it refuses what is asked.
    """
    from streams.cli import brokers, reading

    with ExitStack() as stack:
        client = stack.enter_context(brokers.admin(settings))
        consumer = stack.enter_context(reading.reader(settings))
        producer = stack.enter_context(brokers.producer(settings, acks="all")) if writes else None
        yield OutsideStore(settings, client, consumer, producer)
