"""What comes from outside for one key at a time, and waits until its partition adopts it at a cut.

A record takes effect at the first cut whose event time reaches its `at`; those behind it wait with it. A partition's state knows up to
which offset of its part of the topic it has adopted everything, so a restart repeats none and loses none.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

from streams.dead_letters import DeadLetter
from streams.transport.log import Record

AT_ONCE = 500  # records in one cut: it stays far below a broker's largest record


class Waiting(NamedTuple):
    """One that waits: where it stands in the topic, when it takes effect (microseconds), and what the cut will say."""

    offset: int
    at: int
    item: dict[str, Any]


class Pending:
    """The records of a topic that one partition has still to adopt, in its order."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._waiting: deque[Waiting] = deque()
        self._read_to = 0
        self._at_once = at_once

    def add(self, offset: int, waiting: Waiting | None) -> None:
        """Note that the topic has been read past `offset`."""
        self._read_to = offset + 1
        if waiting is not None:
            self._waiting.append(waiting)

    def due(self, now: int) -> tuple[int, list[dict[str, Any]]]:
        """Up to which offset everything can be adopted at event time `now`, and what; it is not taken away yet."""
        items: list[dict[str, Any]] = []
        for waiting in self._waiting:
            if waiting.at > now or len(items) == self._at_once:
                return waiting.offset, items
            items.append(waiting.item)
        return self._read_to, items

    def adopted(self, through: int) -> None:
        """Let go of what stands below an offset."""
        while self._waiting and self._waiting[0].offset < through:
            self._waiting.popleft()


async def keep_reading(
    records: AsyncIterator[Record],
    pending: Pending,
    topic: str,
    read: Callable[[Record], Waiting | None],
    refuse: Callable[[DeadLetter], Awaitable[Any]],
) -> None:
    """Read a partition of a topic for ever; `read` makes a record one that waits, or None. What it raises ValueError of is refused."""
    async for record in records:
        try:
            pending.add(record.offset, read(record))
        except ValueError as problem:
            pending.add(record.offset, None)
            letter = DeadLetter(topic, record.partition, record.offset, str(problem), (), record.key, record.value)
            await refuse(letter)
        await asyncio.sleep(0)
