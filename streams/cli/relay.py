"""`nilometer relay`: alerts from their topics to Alertmanager and webhooks, until told to stop."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import typer

from streams.cli.options import ConfigFile, settings_of
from streams.cli.topics import Streams, enabled
from streams.errors import UserError
from streams.telemetry import logs
from streams.telemetry.logs import say

if TYPE_CHECKING:
    from config.settings import Settings

RETRY_SECONDS = 3.0  # between two attempts to reach a broker that is down at the start


def relay(config: ConfigFile = None, streams: Streams = None) -> None:
    """Forward alerts to Alertmanager and webhooks (section relay of the configuration); SIGTERM and Ctrl-C end it in order.

    It commits what has been delivered: killed at any moment, it loses nothing. Several of them share the topics' partitions. Exit code 1
    after a failure: start it again.
    """
    settings = settings_of(config, enabled(streams))
    if not settings.relay.alertmanagers and not settings.relay.webhooks:
        raise UserError("nowhere to go: set relay.alertmanagers or relay.webhooks (NILOMETER_RELAY__ALERTMANAGERS=http://host:9093)")
    logs.set_up(settings)
    from streams.relay.service import Service
    from streams.telemetry.health import HealthServer, PortError

    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    service = Service(settings)
    try:
        server = HealthServer(settings.relay.host, settings.relay.port, service.metrics.registry, service.healthy, service.ready)
    except PortError as error:
        raise UserError(str(error).replace("metrics.port", "relay.port")) from error
    try:
        if not _topics_there(settings, stop):
            return
        service.start()
        say(f"relaying {', '.join(settings.streams.enabled)} from {settings.kafka.bootstrap_servers} to {', '.join(service.destinations)}")
        say(f"metrics on http://{server.host}:{server.port}/metrics")
        while not stop.wait(0.5) and not service.failed.is_set():
            pass
        service.stop()
    finally:
        server.close()
    if service.failed.is_set():
        raise typer.Exit(1)
    say("stopped")


def _topics_there(settings: Settings, stop: threading.Event) -> bool:
    """Make what is missing of the topics that are read and written here, when Kafka answers; False if told to stop before."""
    from streams import topics
    from streams.cli import brokers
    from streams.topic_settings import wanted_topics

    prefix, streams = settings.kafka.prefix, settings.streams.enabled
    names = {prefix + name for name in (topics.ALERT_SUPPRESSIONS, topics.DEAD_LETTERS, *map(topics.alerts, streams))}
    wanted = {name: want for name, want in wanted_topics(settings, streams).items() if name in names}
    while not stop.is_set():
        try:
            with brokers.admin(settings) as client:
                missing = [name for name, many in brokers.partitions_of(client, wanted).items() if many is None]
                if missing and not settings.kafka.create_topics:
                    raise UserError("\n".join(f"topic {name} is missing: nilometer topics create" for name in missing))
                brokers.create_missing(client, settings, wanted)
                return True
        except UserError as problem:
            if "cannot reach" not in str(problem):
                raise
            say(f"{problem}; trying again every {RETRY_SECONDS:g} s")
            stop.wait(RETRY_SECONDS)
    return False
