"""The store of checkpoints and cut logs for one app: its consumer commits, one of its producers appends, `logs` reads.

Each call has the broker's request timeout: one that is never answered is tried again, or its fold is dropped, long before a partition
has stood still for too long. A producer alone would wait for minutes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from faust.types import TP

from streams.durable.store import Committed, Contents, Place, Stored
from streams.transport.faults import line_of
from streams.transport.groups import UnansweredCommit
from streams.transport.tail import Logs

if TYPE_CHECKING:
    from faust.types.transports import ProducerT

    from streams.engine import App


class Delivery:
    """The offset of a record that was sent, once it is durable; whoever awaits it does so for no more than `limit` seconds."""

    def __init__(self, sent: asyncio.Future[Any], limit: float) -> None:
        self.sent, self.limit = sent, limit

    def __await__(self) -> Generator[Any, None, int]:
        return self._offset().__await__()

    async def _offset(self) -> int:
        done, _ = await asyncio.wait([self.sent], timeout=self.limit)
        if not done:
            self.sent.add_done_callback(_seen)  # it may still come to something: nobody will ask
            raise TimeoutError(f"a record was not taken within {self.limit:g} s")
        return int(self.sent.result().offset)


def _seen(sent: asyncio.Future[Any]) -> None:
    if not sent.cancelled():
        sent.exception()


class MemberStore:
    """A `streams.durable.store.Store` on either broker."""

    def __init__(self, app: App, logs: Logs, producer: Callable[[], ProducerT]) -> None:
        self.app, self.logs, self.producer, self.line = app, logs, producer, line_of(app)

    @property
    def limit(self) -> float:
        """Seconds that an answer may take."""
        return self.app.conf.broker_request_timeout

    async def append(self, place: Place, key: bytes | None, value: bytes | None) -> Delivery:
        async with asyncio.timeout(self.limit):
            sent = await self.producer().send(place[0], key, value, place[1], None, [])
        return Delivery(asyncio.ensure_future(sent), self.limit)

    async def read_to_end(self, place: Place, start: int = 0) -> Contents:
        await self._heard("read", place)
        # All of it may take long; `Logs` limits each answer.
        whole = await self.logs.read_to_end(*place, start)
        return Contents(whole.begin, whole.end, [Stored(record.offset, record.key, record.value) for record in whole.records])

    async def commit(self, place: Place, offset: int, metadata: str, generation: int) -> None:
        try:
            async with asyncio.timeout(self.limit):
                await self.app.members.commit_position(TP(*place), offset, metadata, generation=generation)
        except TimeoutError as silence:
            raise UnansweredCommit(f"no answer to the commit of {offset} for {place[0]}/{place[1]}") from silence

    async def committed(self, place: Place) -> Committed | None:
        async with asyncio.timeout(self.limit):
            return await self.app.members.committed_position(TP(*place))

    async def source_begin(self, place: Place) -> int:
        await self._heard("begin", place)
        return await self.logs.begin(*place)

    async def source_end(self, place: Place) -> int:
        await self._heard("read", place)
        return await self.logs.end(*place)

    async def _heard(self, operation: str, place: Place) -> None:
        """Reads do not go over the member's line: let what shall happen to them happen."""
        async with asyncio.timeout(self.limit):
            await self.line.do(operation, place[0], lambda: None)
