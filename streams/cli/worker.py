"""`nilometer worker`: watch streams on Apache Kafka until told to stop; run as many as you like."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from streams import heap
from streams.cli.options import ConfigFile, settings_of
from streams.cli.topics import Streams, enabled
from streams.errors import UserError
from streams.telemetry import logs
from streams.telemetry.logs import say

if TYPE_CHECKING:
    from config.settings import Settings
    from streams.app import Pipeline
    from streams.telemetry.metrics import Metrics
    from streams.transport.kafka_logs import KafkaLogs

RETRY_SECONDS = 3.0  # between two attempts to reach a broker that is down at the start
SILENCE_SECONDS = 10.0  # after which we say ourselves that the group does not answer
LEAVE_SECONDS = 10.0  # that a crashed worker has to leave in order: a thread that hangs must not keep it in its group


def worker(config: ConfigFile = None, streams: Streams = None) -> None:
    """Watch the streams on Kafka: fold records, raise alerts, serve metrics and health; SIGTERM and Ctrl-C end it in order.

    Missing topics are created. Partitions are shared among as many workers as run. Exit code 1 after a failure: start it again.
    """
    settings = settings_of(config, enabled(streams))
    logs.set_up(settings)
    heap.keep_small()
    from streams.kernels import compiling

    say("compiling the kernels (a quarter of a minute the first time, then they are on disk)")
    digests: dict[str, str] = {}
    with compiling(settings.streams.enabled, digests) as finished:
        from streams.app import Pipeline  # noqa: F401  # the heavy imports happen here, meanwhile
        from streams.telemetry.metrics import Metrics

        for _ in finished:
            pass
    metrics = Metrics()
    metrics.tested_kernels(digests)
    asyncio.run(_run(settings, metrics))


async def _run(settings: Settings, metrics: Metrics) -> None:
    from streams.app import assemble
    from streams.engine import running
    from streams.notices import notices
    from streams.telemetry.health import HealthServer, PortError
    from streams.transport.kafka import url

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    state: dict[str, Pipeline] = {}
    try:
        server = HealthServer(
            settings.metrics.host,
            settings.metrics.port,
            metrics.registry,
            lambda: state["pipeline"].healthy() if state else (True, {"waiting": "for Kafka"}),
            lambda: state["pipeline"].ready() if state else (False, {"waiting": "for Kafka"}),
        )
    except PortError as error:
        raise UserError(str(error)) from error
    try:
        async with AsyncExitStack() as stack:
            log_reader = await _connected(stack, settings, stop)
            if log_reader is None:
                return
            await asyncio.to_thread(_prepare_topics, settings)
            broker_url = url(settings.kafka.bootstrap_servers)
            pipeline = state["pipeline"] = assemble(settings, broker_url=broker_url, logs=log_reader, metrics=metrics)
            for lasting in (pipeline.progress.beat(), heap.keep_giving_back()):
                stack.callback(asyncio.ensure_future(lasting).cancel)
            say(f"watching {', '.join(settings.streams.enabled)} on {settings.kafka.bootstrap_servers}")
            for line in notices(settings, settings.streams.enabled):
                say(line)
            say(f"metrics on http://{server.host}:{server.port}/metrics")
            try:
                async with running(pipeline.app):
                    await _until_over(pipeline, settings, stop)
                    say("leaving the group")
            finally:
                pipeline.executor.shutdown(wait=False, cancel_futures=True)
    except UserError:
        raise
    except Exception as problem:
        say(f"stopped by {type(problem).__name__}: {problem}")
        raise
    finally:
        server.close()
    say("stopped")


async def _connected(stack: AsyncExitStack, settings: Settings, stop: asyncio.Event) -> KafkaLogs | None:
    """A connection to Kafka, tried for until it answers; None if told to stop before."""
    from aiokafka.errors import KafkaConnectionError

    from streams.transport.kafka_logs import KafkaLogs
    from streams.transport.security import client_options

    options = client_options(settings.kafka)
    while not stop.is_set():
        try:
            return await stack.enter_async_context(KafkaLogs(options))
        except KafkaConnectionError as problem:
            say(f"cannot reach Kafka at {settings.kafka.bootstrap_servers} ({problem}); trying again every {RETRY_SECONDS:g} s")
            await _first(asyncio.sleep(RETRY_SECONDS), stop.wait())
    return None


def _prepare_topics(settings: Settings) -> None:
    """Create what is missing, unless others create topics.

    Raises
    ------
    UserError
        A topic is not as it should be, or Kafka refuses.
    """
    from streams.cli import brokers
    from streams.topic_settings import wanted_topics

    wanted = wanted_topics(settings, settings.streams.enabled)
    with brokers.admin(settings) as client:
        made = brokers.create_missing(client, settings, wanted) if settings.kafka.create_topics else []
        wrong = brokers.mistakes(client, wanted)
    if made:
        say(f"created {len(made)} topics: {', '.join(made)}")
    if wrong:
        raise UserError("\n".join(wrong))


async def _until_over(pipeline: Pipeline, settings: Settings, stop: asyncio.Event) -> None:
    """Wait until told to stop or crashed; say when Kafka falls silent, and when it answers again."""
    app = pipeline.app
    silent_since: float | None = None
    while not stop.is_set():
        await _first(stop.wait(), app._crashed.wait(), asyncio.sleep(1.0))
        if app.crashed:
            say(f"has failed ({app.crash_reason!r}) and leaves")
            last_resort = threading.Timer(LEAVE_SECONDS, os._exit, (1,))
            last_resort.daemon = True
            last_resort.start()
            return
        heard = app.members.last_heartbeat_answered()  # type: ignore[attr-defined]  # of Kafka's consumer
        now = time.monotonic()
        if heard is not None and silent_since is not None and now - heard < SILENCE_SECONDS:
            say(f"Kafka answers again, after {now - silent_since:.0f} s")
            silent_since = None
        elif heard is not None and silent_since is None and now - heard > SILENCE_SECONDS:
            say(f"no answer from Kafka at {settings.kafka.bootstrap_servers} for {now - heard:.0f} s; still trying")
            silent_since = heard


async def _first(*waiting: Any) -> None:
    """Wait for the first of them and drop the others."""
    tasks = [asyncio.ensure_future(each) for each in waiting]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
