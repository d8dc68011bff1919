"""A line between a client and a broker that can be made slow, narrow, short-lived or deaf while it is in use.

with Proxy() as line, Kafka(behind=line.port) as kafka:
    line.to = kafka.addresses["BEHIND"]  # clients that come by `line.address` are told to stay on it
    line.latency = 0.2

It runs in a thread of its own, so that it goes on whatever the test waits for. What is set holds for connections that are open, too.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

PIECE = 16 << 10  # bytes that are passed on at once
QUEUED = 64  # pieces under way in one direction of one connection: more are not read, so that the sender feels it
LOOK = 0.02  # how often is looked whether it still holds, in seconds


@dataclass
class Proxy:
    """A line on a port of its own.

    Attributes
    ----------
    to
        ``host:port`` of what is at its other end; "": nobody, connections are refused.
    latency
        Seconds that every byte takes, each way.
    rate
        Bytes a second, each way, for all connections together; 0: as many as come.
    holds
        Whether what comes waits until it no longer holds; nothing is lost.
    swallows
        Whether what comes is lost. A connection from which anything was lost never passes anything on again, as when a firewall has
        forgotten it; who wants to be heard must open another.
    cuts, connections, lost
        Connections cut, connections made, bytes swallowed so far.
    """

    to: str = ""
    latency: float = 0.0
    rate: float = 0.0
    holds: bool = False
    swallows: bool = False
    cuts: int = 0
    connections: int = 0
    lost: int = 0
    port: int = 0
    _open: set[_Connection] = field(default_factory=set)
    _free: dict[bool, float] = field(default_factory=lambda: {True: 0.0, False: 0.0})  # by direction: when the next piece may go

    @property
    def address(self) -> str:
        """Where clients find it."""
        return f"127.0.0.1:{self.port}"

    def cut(self) -> None:
        """End every connection that is open now, as a router does that is switched off and on."""
        self._call(self._cut())

    @contextmanager
    def cutting(self, every: float) -> Iterator[None]:
        """Cut all connections again and again."""
        halt = threading.Event()

        def blow() -> None:
            while not halt.wait(every):
                self.cut()

        thread = threading.Thread(target=blow)
        thread.start()
        try:
            yield
        finally:
            halt.set()
            thread.join()

    def __enter__(self) -> Proxy:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        await self._cut()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _cut(self) -> None:
        self.cuts += len(self._open)
        for connection in list(self._open):
            connection.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self.to.rpartition(":")
        try:
            there = await asyncio.open_connection(host, int(port))
        except (OSError, ValueError):
            writer.transport.abort()
            return
        self.connections += 1
        connection = _Connection([writer, there[1]])
        self._open.add(connection)
        try:
            ways = [
                asyncio.ensure_future(work)
                for queue, source, sink, out in (
                    (asyncio.Queue(QUEUED), reader, there[1], True),
                    (asyncio.Queue(QUEUED), there[0], writer, False),
                )
                for work in (self._read(connection, source, queue), self._pass_on(queue, sink, out))
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        finally:
            connection.abort()
            self._open.discard(connection)

    async def _read(self, connection: _Connection, source: asyncio.StreamReader, queue: asyncio.Queue[Any]) -> None:
        """Take what comes, and when it may arrive; ends with the connection, unless that is deaf: it then stays open."""
        clock = asyncio.get_running_loop().time
        with suppress(OSError):
            while piece := await source.read(PIECE):
                if self.swallows or connection.deaf:
                    connection.deaf = True
                    self.lost += len(piece)
                else:
                    await queue.put((clock() + self.latency, piece))
        if connection.deaf:
            await asyncio.Event().wait()  # until it is cut: the other side is not told of the end either
        await queue.put((clock() + self.latency, b""))
        await asyncio.Event().wait()

    async def _pass_on(self, queue: asyncio.Queue[Any], sink: asyncio.StreamWriter, out: bool) -> None:
        """Write what is due; ends at the end of the connection."""
        clock = asyncio.get_running_loop().time
        with suppress(OSError):
            while True:
                at, piece = await queue.get()
                if self.rate and piece:
                    self._free[out] = max(self._free[out], clock()) + len(piece) / self.rate
                    at = max(at, self._free[out])
                while (rest := LOOK if self.holds else at - clock()) > 0:
                    await asyncio.sleep(rest)
                if not piece:
                    return
                sink.write(piece)
                await sink.drain()


@dataclass(eq=False)
class _Connection:
    """The two ends of a connection, and whether something of it was lost."""

    ends: list[asyncio.StreamWriter]
    deaf: bool = False

    def abort(self) -> None:
        for end in self.ends:
            end.transport.abort()
