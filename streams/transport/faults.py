"""What can go wrong between a client and the embedded broker, at will: for tests, and for trying things out.

Everything that a client asks of the broker goes over its `Line`. A line can be cut: then the broker no longer hears this client,
whose calls wait for ever. That is a crash as `kill -9` makes it (a task that is cancelled would still run its `finally`). Opened
again after the session has passed, the same client is a zombie: all it had under way takes effect, late.

A record that is produced may also be *overtaken*: the producer takes it, others that come after it are delivered, and only then its
own delivery fails, as it does on Kafka when its time is up and theirs is not yet. It may land all the same, later than anybody expects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiokafka.errors import KafkaTimeoutError

from streams.transport.groups import Group

T = TypeVar("T")

SESSION = 10.0  # seconds, as the worker's own
PATIENCE = 0.05  # seconds of the clock on the wall that an overtaken record waits for others


@dataclass(slots=True)
class Fault:
    """What shall happen to one call of a client.

    Attributes
    ----------
    operation
        produce, fetch, commit, committed, read, begin, seek, join or joined; "" for any.
    topic
        Of the call, "" for any.
    skip
        How many such calls pass before.
    kind
        lose: it fails and has no effect. unanswered: it fails and has its effect. twice: it has its effect twice.
        crash before, crash after: the line is cut before or after its effect. cancel: it is cancelled from within, with no effect.
        hang: it is never answered. then before, then after: `then` is called, and it goes on.
        overtaken, overtaken and lands (of produce alone): it returns, its delivery fails after those of `later` records that the same
        producer took behind it, or after `PATIENCE` where so many do not come; the record is nowhere, or appended just then.
    record
        Whether a record of this key and value is meant, where one is produced.
    then
        What else shall happen.
    later
        How many records overtake this one.
    """

    kind: str
    operation: str = ""
    topic: str = ""
    skip: int = 0
    record: Callable[[bytes | None, bytes | None], bool] = lambda key, value: True
    then: Callable[[], object] = lambda: None
    later: int = 1


class Overtaken(Exception):
    """A record has been taken, and its delivery will fail behind others'."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.kind)
        self.later, self.lands = fault.later, fault.kind.endswith("lands")


KINDS = ("lose", "unanswered", "twice", "crash before", "crash after", "cancel", "hang")
LATE = ("overtaken", "overtaken and lands")  # of records that are produced


class Line:
    """A client's connection to the broker."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.calls: list[tuple[str, str]] | None = None  # set to a list to note every call: operation and topic
        self.last_heartbeat = 0.0
        self.now: Callable[[], float] = lambda: 0.0  # of `Sessions`; without them no time passes and nobody is put out
        self.members: dict[str, Group] = {}
        self.on_open: list[Callable[[], None]] = []
        self.when_cut: Callable[[], None] = lambda: None
        self._opened: asyncio.Event | None = None
        self._buried = asyncio.Event()

    @property
    def open(self) -> bool:
        """Whether the broker hears this client."""
        return self._opened is None

    def cut(self) -> None:
        """The broker hears nothing of this client any more."""
        if self._opened is None:
            self._opened = asyncio.Event()
            self.when_cut()

    def reopen(self) -> None:
        """It is heard again: all that waited goes through. If its session has passed meanwhile, it learns that it is out."""
        if self._opened is not None:
            self._opened.set()
            self._opened = None
            for tell in self.on_open:
                tell()

    def bury(self) -> None:
        """Whoever still waits, or asks, gets an error: so that the tasks of a crashed client can be ended."""
        self._buried.set()
        if self._opened is not None:
            self._opened.set()

    async def do(self, operation: str, topic: str, effect: Callable[[], T], record: tuple[bytes | None, bytes | None] = (None, None)) -> T:
        """Let a call through, with whatever shall happen to it; `record` is the key and value that are produced.

        Raises
        ------
        aiokafka.errors.KafkaTimeoutError
            It was not answered.
        ConnectionError
            The client has crashed.
        asyncio.CancelledError
            It was cancelled, though nobody has cancelled the caller.
        Overtaken
            It shall fail later: the producer sees to it.
        """
        if self.calls is not None:
            self.calls.append((operation, topic))
        if self._opened is None and not self.faults and not self._buried.is_set():
            return effect()
        fault = self._next(operation, topic, record)
        kind = fault.kind if fault else ""
        if kind == "crash before":
            self.cut()
        if kind == "then before" and fault:
            fault.then()
        await self.heard()
        if kind == "cancel":
            raise asyncio.CancelledError
        if kind == "hang":
            await self._buried.wait()
            raise ConnectionError("this client has crashed")
        if kind == "lose":
            raise KafkaTimeoutError(f"{operation} {topic}: lost")
        if fault and kind.startswith("overtaken"):
            raise Overtaken(fault)
        result = effect()
        if kind == "twice":
            effect()
        if kind == "crash after":
            self.cut()
        if kind == "then after" and fault:
            fault.then()
        await self.heard()
        if kind == "unanswered":
            raise KafkaTimeoutError(f"{operation} {topic}: not answered")
        return result

    def _next(self, operation: str, topic: str, record: tuple[bytes | None, bytes | None]) -> Fault | None:
        for fault in self.faults:
            if fault.operation in ("", operation) and fault.topic in ("", topic) and fault.record(*record):
                if fault.skip == 0:
                    self.faults.remove(fault)
                    return fault
                fault.skip -= 1
        return None

    async def heard(self) -> None:
        """Wait until the broker hears this client.

        Raises
        ------
        ConnectionError
            The client has crashed.
        """
        while self._opened is not None and not self._buried.is_set():
            await self._opened.wait()
        if self._buried.is_set():
            raise ConnectionError("this client has crashed")


@dataclass(eq=False)
class Straggler:
    """A record that is being overtaken: by how many more, its delivery, and what appends it, if it is to land."""

    later: int
    sent: asyncio.Future[Any]
    append: Callable[[], object] | None


class Stragglers:
    """What a producer has taken and will not deliver."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._waiting: list[Straggler] = []
        self._failing: set[asyncio.Future[None]] = set()

    def add(self, fault: Overtaken, sent: asyncio.Future[Any], append: Callable[[], object]) -> None:
        """Let this delivery fail, in its time."""
        late = Straggler(fault.later, sent, append if fault.lands else None)
        self._waiting.append(late)
        sent.get_loop().call_later(PATIENCE, self._fail, late)

    def passed(self) -> None:
        """Another record has been taken, and is about to be delivered."""
        for late in self._waiting:
            late.later -= 1
            if late.later == 0:
                late.sent.get_loop().call_soon(self._fail, late)  # behind that one's delivery

    def _fail(self, late: Straggler) -> None:
        if late not in self._waiting:
            return
        self._waiting.remove(late)
        if late.append is not None:
            late.append()  # it was on its way, whether its client is heard now or not
        failing = asyncio.ensure_future(self._tell(late))
        self._failing.add(failing)
        failing.add_done_callback(self._failing.discard)

    async def _tell(self, late: Straggler) -> None:
        problem: Exception = KafkaTimeoutError("overtaken: its time was up")
        try:
            await self._line.heard()
        except ConnectionError as crashed:
            problem = crashed
        if not late.sent.done():
            late.sent.set_exception(problem)


@dataclass
class Sessions:
    """Heartbeats and sessions on a clock that only a test moves.

    >>> sessions = Sessions(session=10.0)
    >>> line = sessions.add(Line())
    >>> sessions.advance(8.0)
    >>> sessions.now - line.last_heartbeat
    0.0
    """

    session: float = SESSION
    now: float = 0.0
    lines: list[Line] = field(default_factory=list)

    def add(self, line: Line) -> Line:
        line.last_heartbeat, line.now = self.now, lambda: self.now
        self.lines.append(line)
        return line

    def advance(self, seconds: float) -> None:
        """Let time pass: who is heard sends heartbeats, who has not been for a session is put out of its group."""
        self.now += seconds
        for line in self.lines:
            if line.open:
                line.last_heartbeat = self.now
            elif self.now - line.last_heartbeat >= self.session:
                for member, group in line.members.items():
                    group.leave(member)
                line.members.clear()


def line_of(app: Any) -> Line:
    """The line of an app: one for its consumer, its producer and its store; made when first asked for."""
    line: Line | None = getattr(app, "line", None)
    if line is None:
        line = app.line = Line()
    return line


__all__ = ["KINDS", "LATE", "PATIENCE", "SESSION", "Fault", "Line", "Overtaken", "Sessions", "Stragglers", "line_of"]
