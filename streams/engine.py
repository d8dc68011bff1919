"""The Faust app: its settings, the seams that our folds need, and how it is started and stopped inside a running event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any, cast

import faust
from faust.app.base import BootStrategy
from faust.exceptions import ConsumerNotStarted
from faust.tables.manager import TableManager
from faust.types import TP, AgentT, TopicT
from faust.types.transports import ProducerT
from mode import OneForOneSupervisor, ServiceT

from streams.telemetry.logs import CHATTY
from streams.transport import kafka, memory  # noqa: F401  # make `kafka://` and `memory://` known to Faust
from streams.transport.chunked import ChunkedConsumer, ChunkedTopics, ChunkSchema
from streams.transport.cutting import ChunkLimits

FAUST = logging.getLogger("faust.app")  # what a service of Faust's says goes with the rest of Faust
Handler = Callable[[set[TP], int], Awaitable[None]]


class Tables(TableManager):
    """No tables: a partition's state is our own (snapshots and an offset), and nothing has to be waited for."""

    logger = FAUST

    async def on_start(self) -> None:
        # Faust sleeps a second here, so that agents may still register tables.
        await self._update_channels()
        await self.recovery.start()


class Agent(faust.Agent):
    """Its actors end quietly when their partition goes to another member.

    Faust takes an actor that is cancelled in an `await` for a crashed one, and starts another for a partition that is gone:
    it ends at once, again and again, and the hundredth time raises SystemExit.
    """

    logger = FAUST

    async def _execute_actor(self, coro: Awaitable[Any], aref: Any) -> None:
        await super()._execute_actor(self._until_stopped(coro, aref), aref)

    async def _until_stopped(self, coro: Awaitable[Any], aref: Any) -> None:
        try:
            await coro
        except asyncio.CancelledError:
            if not (aref.should_stop or self.should_stop):
                raise RuntimeError(f"{aref!r} was cancelled, though nobody stopped it") from None


class NoSecondLife(OneForOneSupervisor):
    """Lets ended actors go, where Faust would start another in their place.

    An agent's error crashes the app (see `App`): until that has stopped, no actor may go on behind the chunk that failed.
    """

    logger = FAUST

    def service_operational(self, service: ServiceT) -> bool:
        return not (service.crashed or service.should_stop)

    async def restart_services(self, services: list[ServiceT]) -> None:
        self.discard(*services)


class Boot(BootStrategy):
    """Starts a second producer beside the first; both stop after the consumer."""

    app: App

    def kafka_producer(self) -> Iterable[ServiceT]:
        return [*super().kafka_producer(), self.app.bulk_producer]


class App(faust.App):
    """A Faust app whose source topics come in chunks and whose positions are its folds'."""

    logger = FAUST
    BootStrategy = Boot

    def __init__(self, *args: Any, chunks: ChunkedTopics, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.chunks = chunks

    def chunked_topic(self, name: str) -> TopicT:
        """A source topic for ``@app.agent(topic, isolated_partitions=True)``: one actor a partition, an event a chunk."""
        self.chunks.topics.add(name)
        return self.topic(name, schema=ChunkSchema(), acks=False)

    @cached_property
    def bulk_producer(self) -> ProducerT:
        """For what is large and can wait: in a queue of its own, it stands before nothing that `producer` sends."""
        return self.transport.create_producer(loop=self.loop, beacon=self.beacon)

    @property
    def members(self) -> ChunkedConsumer:
        """The consumer, with the positions it commits."""
        return cast(ChunkedConsumer, self.consumer)

    def when_assigned(self, handler: Handler) -> Handler:
        """Await `handler(partitions, generation)` in every rebalance, when it is settled and before the first record comes.

        Here folds are restored: whatever offset `ChunkedTopics.positions` gives afterwards is read next.
        """
        self.on_rebalance_complete.connect(self._guarded(handler, unless=lambda: self.members.given_back))
        return handler

    def when_revoked(self, handler: Handler) -> Handler:
        """Await `handler(partitions, generation)` when partitions must be given back; commits of that generation still count."""
        self.on_partitions_revoked.connect(self._guarded(handler))
        return handler

    def when_stopping(self, handler: Handler) -> Handler:
        """Await `handler(partitions, generation)` before the app leaves its group (a stop revokes nothing)."""
        self.on_before_shutdown.connect(self._guarded(handler))
        return handler

    def _guarded(self, handler: Handler, unless: Callable[[], bool] = lambda: False) -> Callable[..., Awaitable[None]]:
        """The handler in a task of its own: what leaves it crashes the app, never the task of Faust's that called it."""

        async def guarded(*_: Any, **__: Any) -> None:
            if unless():
                return
            work = asyncio.ensure_future(handler(self.assigned(), self.consumer_generation_id))
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError:
                work.cancel()
                raise
            if work.cancelled():
                await self.crash(RuntimeError(f"{handler!r} was cancelled from within"))
            elif problem := work.exception():
                await self.crash(problem)

        return guarded

    @property
    def settled(self) -> bool:
        """Whether the group has told us what is ours, and it is restored. Any thread may ask: Faust's `consumer` would make one."""
        consumer = self._consumer
        return consumer is not None and cast(ChunkedConsumer, consumer).settled

    def assigned(self) -> set[TP]:
        """What is assigned to us: nothing any more when the consumer's thread has ended, where Faust raises."""
        try:
            return self.consumer.assignment()
        except ConsumerNotStarted:
            return set()

    async def _on_agent_error(self, agent: AgentT[Any], exc: BaseException) -> None:
        # Faust would start the agent anew at the next chunk, and this one would be missing in the fold.
        await self.crash(exc)

    def _crash(self, reason: BaseException) -> None:
        if not self.crashed:  # the first reason is the one to tell of: others follow from it
            super()._crash(reason)

    def _create_directories(self) -> None:
        """Make none: Faust's are for tables on disk."""


def create_app(
    *,
    name: str,
    broker_url: str,
    partitions: int = 1,
    limits: ChunkLimits | None = None,
    positions: Callable[[TP], int | None] | None = None,
    **settings: Any,
) -> App:
    """An app ready for agents.

    Parameters
    ----------
    name
        Of the app and of its consumer group.
    broker_url
        ``memory://name`` or ``kafka://host:port``.
    partitions
        Of the topics that Faust creates itself.
    limits
        The size of a chunk.
    positions
        Where a partition's fold stands (see `ChunkedTopics`).
    settings
        Any of Faust's settings, before ours.
    """
    chunks = ChunkedTopics(limits=limits or ChunkLimits())
    if positions is not None:
        chunks.positions = positions
    ours: dict[str, Any] = {
        "store": "memory://",
        "topic_partitions": partitions,
        "key_serializer": "raw",
        "value_serializer": "raw",
        "autodiscover": False,
        "web_enabled": False,
        "topic_disable_leader": True,
        # Acks are not used (a hole of two offsets stops them for ever): Faust must not wait for any in a rebalance or a stop.
        "stream_wait_empty": False,
        # Without a table either; but 0 would silently change the assignor and un-pair co-partitioned topics.
        "table_standby_replicas": 1,
        "TableManager": Tables,
        "Agent": Agent,
        "agent_supervisor": NoSecondLife,
        "broker_max_poll_records": None,  # chunks are cut by us
        "broker_session_timeout": 10.0,
        "broker_heartbeat_interval": 3.0,
        "broker_request_timeout": 30.0,
        "producer_acks": -1,
        "producer_linger": 0.01,
        "producer_max_batch_size": 1 << 18,
        "producer_request_timeout": 120.0,  # a broker that is away for a while is waited for; Faust would wait 20 minutes
    }
    for chatty in CHATTY:
        logger = logging.getLogger(chatty)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)
    return App(name, chunks=chunks, broker=broker_url, **{**ours, **settings})


@asynccontextmanager
async def running(app: App) -> AsyncIterator[App]:
    """The app, up and folding within; stopped and gone from its group after.

    Several may run in one loop, and one after another. No signal handler is touched: Ctrl-C cancels the task as always.

    Raises
    ------
    Exception
        Whatever crashed the app: at once if it does so while starting, at the end if it did so within (`run` does not
        wait for the end).
    """
    try:
        try:
            await app.start()
        except Exception as problem:
            # What was not started for want of what had crashed: the crash is what matters.
            if app.crash_reason is not None and app.crash_reason is not problem:
                raise app.crash_reason from problem
            raise
        _raise_crash(app)
        yield app
    finally:
        await asyncio.shield(app.stop())
    _raise_crash(app)


async def run(app: App, until: Coroutine[Any, Any, Any]) -> None:
    """Run the app until `until`, begun when it is up, is done (its exception is raised) or the app has crashed (then that one's)."""
    try:
        async with running(app):
            end = asyncio.ensure_future(until)
            crash = asyncio.ensure_future(app._crashed.wait())
            try:
                await asyncio.wait([end, crash], return_when=asyncio.FIRST_COMPLETED)
                _raise_crash(app)
                await end
            finally:
                for waiting in (end, crash):
                    waiting.cancel()
                await asyncio.gather(end, crash, return_exceptions=True)
    finally:
        until.close()  # where the app never came up


def _raise_crash(app: App) -> None:
    if app.crashed and app.crash_reason is not None:
        raise app.crash_reason
