"""A store on an embedded broker for one member of a group, with no app around it; and a fold small enough to see through."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import msgspec
from aiokafka.errors import IllegalGenerationError, UnknownMemberIdError

from streams.cuts import Cut
from streams.durable.checkpoints import Checkpoints
from streams.durable.cut_log import CutLog
from streams.durable.store import Committed, Contents, Place, Stored
from streams.durable.tenure import Tenure
from streams.transport.broker import Broker
from streams.transport.chunked import StaleCommit

SOURCE, STATES, CUTS = ("source", 0), ("states", 0), ("cuts", 0)


class Member:
    """A store, and the member of the group whose it is."""

    def __init__(self, broker: Broker) -> None:
        self.broker, self.group = broker, broker.group("group")
        self.name = self.group.enter(lambda: None)
        self.fails: list[str] = []  # keys' endings of appends that fail
        self.join()

    def join(self) -> int:
        for name in list(self.group.members):
            self.group.join(name, None, lambda members: dict.fromkeys(members), lambda joined: None)
        return self.group.generation

    def leave(self) -> None:
        self.group.leave(self.name)

    async def append(self, place: Place, key: bytes | None, value: bytes | None) -> Awaitable[int]:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        for ending in self.fails:
            if (key or b"").endswith(ending.encode()):
                future.set_exception(TimeoutError(f"{key!r} was not delivered"))
                return future
        future.set_result(self.broker.produce(place[0], key, value, partition=place[1]).offset)
        return future

    async def read_to_end(self, place: Place, start: int = 0) -> Contents:
        begin = self.broker.begin_offset(*place)
        records = self.broker.read(*place, offset=max(begin, start)) if start <= self.broker.end_offset(*place) else []
        return Contents(begin, self.broker.end_offset(*place), [Stored(r.offset, r.key, r.value) for r in records])

    async def commit(self, place: Place, offset: int, metadata: str, generation: int) -> None:
        try:
            self.group.commit(self.name, generation, {place: Committed(offset, metadata)})
        except (IllegalGenerationError, UnknownMemberIdError) as stale:
            raise StaleCommit(str(stale)) from stale

    async def committed(self, place: Place) -> Committed | None:
        return self.group.positions.get(place)

    async def source_begin(self, place: Place) -> int:
        return self.broker.begin_offset(*place)

    async def source_end(self, place: Place) -> int:
        return self.broker.end_offset(*place)


class Listed:
    """A fold that keeps everything: its state is what it has seen."""

    def __init__(self, size: int = 0) -> None:
        self.next = self.first = 0
        self.seen: list[str] = []
        self.size = size  # bytes of ballast that does not compress

    def fold(self, upto: int) -> None:
        for n in range(self.next, upto):
            self.seen.append(f"event {n}")
        self.next = upto

    def adopt(self, cut: Cut) -> list[Any]:
        assert cut.n == self.next
        self.seen.append(f"cut {cut.inputs['x']} before {cut.n}")
        return []

    def pieces(self) -> list[memoryview]:
        noise = b"".join((n * 2654435761 % 2**32).to_bytes(4, "little") for n in range(self.size // 4))
        return [memoryview(msgspec.msgpack.encode([self.next, self.seen, noise]))]

    def thaw(self, data: bytes | bytearray, spend: bool = False) -> None:
        self.next, self.seen, _ = msgspec.msgpack.decode(data)


def tenure_of(member: Member, fold: Listed | None = None, *, partitions: int = 1, signature: str = "length=75") -> Tenure:
    """A worker's hold on the only partition, not yet restored."""
    checkpoints = Checkpoints(member, STATES, SOURCE, partitions, {"detector": signature})
    return Tenure(fold or Listed(), checkpoints, CutLog(member, CUTS, SOURCE, 0))
