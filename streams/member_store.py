"""The store of checkpoints and cut logs for one app: its consumer commits, one of its producers appends, `logs` reads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any

from faust.types import TP

from streams.store import Committed, Contents, Place, Stored
from streams.transport.faults import line_of
from streams.transport.tail import Logs

if TYPE_CHECKING:
    from faust.types.transports import ProducerT

    from streams.engine import App


class Delivery:
    """The offset of a record that was sent, once it is durable."""

    def __init__(self, sent: Awaitable[Any]) -> None:
        self.sent = sent

    def __await__(self) -> Generator[Any, None, int]:
        metadata = yield from self.sent.__await__()
        return int(metadata.offset)


class MemberStore:
    """A `streams.store.Store` on either broker."""

    def __init__(self, app: App, logs: Logs, producer: Callable[[], ProducerT]) -> None:
        self.app, self.logs, self.producer, self.line = app, logs, producer, line_of(app)

    async def append(self, place: Place, key: bytes | None, value: bytes | None) -> Delivery:
        return Delivery(await self.producer().send(place[0], key, value, place[1], None, []))

    async def read_to_end(self, place: Place, start: int = 0) -> Contents:
        await self.line.do("read", place[0], lambda: None)
        whole = await self.logs.read_to_end(*place, start)
        return Contents(whole.begin, whole.end, [Stored(record.offset, record.key, record.value) for record in whole.records])

    async def commit(self, place: Place, offset: int, metadata: str, generation: int) -> None:
        await self.app.members.commit_position(TP(*place), offset, metadata, generation=generation)

    async def committed(self, place: Place) -> Committed | None:
        return await self.app.members.committed_position(TP(*place))

    async def source_begin(self, place: Place) -> int:
        return await self.logs.begin(*place)

    async def source_end(self, place: Place) -> int:
        await self.line.do("read", place[0], lambda: None)
        return await self.logs.end(*place)
