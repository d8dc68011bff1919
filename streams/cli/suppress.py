"""`nilometer suppress`: a key of which nothing is to be heard for a while."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.options import ConfigFile, known, settings_of
from streams.errors import UserError

if TYPE_CHECKING:
    from config.settings import Settings
    from streams.relay.quiet import Suppression, Suppressions

Key = Annotated[str | None, typer.Argument(metavar="KEY", help="Its sensor, card, employee or source (`subject`).", show_default=False)]


def suppress(
    stream: Annotated[str | None, typer.Argument(metavar="STREAM", help="The alerts' stream.", show_default=False)] = None,
    key: Key = None,
    span: Annotated[str | None, typer.Option("--for", metavar="TIME", help="How long: 30m, 2h, 7d.", show_default=False)] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stands beside what is held.")] = "",
    lift: Annotated[bool, typer.Option("--lift", help="End what is suppressed of this key.")] = False,
    config: ConfigFile = None,
) -> None:
    """Let every relay hold back the alerts of a key for a while; without arguments, list what is suppressed.

    What is still open at the end is told then. Agents go on alerting: the alerts stand in their topic.
    """
    settings = settings_of(config)
    import msgspec

    from streams.relay import quiet

    if stream is None:
        if lift or span is not None or reason:
            raise UserError("wanted STREAM and KEY beside these options")
        _list(_known(settings))
        return
    known(stream)
    if key is None or (span is None) == (not lift):
        raise UserError("wanted STREAM KEY with --for TIME, or with --lift")
    now, before = time.time(), _known(settings)
    last = before.get(stream, key)
    if lift:
        if last is None or last.until <= now:
            raise UserError(f"nothing is suppressed of {stream}/{key}")
        said = msgspec.structs.replace(last, until=now)
    else:
        try:
            seconds = quiet.seconds_of(span or "")
        except ValueError as problem:
            raise UserError(f"--for {problem}") from problem
        said = quiet.prolonged(last, quiet.Suppression(stream, key, now, now + seconds, reason))
    _send(settings, said, quiet.stale(before.all(), now))
    typer.echo(f"{stream}/{key}: {'heard again from now on' if lift else f'suppressed until {_words(said.until)}'}")


def _list(found: Suppressions) -> None:
    now = time.time()
    holding = [each for each in found.all() if each.until > now]
    for each in holding:
        typer.echo(f"{each.stream}/{each.key}  until {_words(each.until)}  since {_words(each.since)}  {each.reason}".rstrip())
    if not holding:
        typer.echo("nothing is suppressed", err=True)


def _known(settings: Settings) -> Suppressions:
    """What the topic says now."""
    from streams import topics
    from streams.cli import brokers, reading
    from streams.relay.quiet import Suppressions

    found, topic = Suppressions(), settings.kafka.prefix + topics.ALERT_SUPPRESSIONS
    with brokers.admin(settings) as client:
        if brokers.partitions_of(client, {topic: None})[topic] is None:
            raise UserError(f"topic {topic} is missing: nilometer topics create")
        with reading.reader(settings) as consumer:
            for record in reading.to_end(consumer, topic, 0):
                found.hear(record.key, record.value)
    return found


def _send(settings: Settings, said: Suppression, stale: list[Suppression]) -> None:
    import msgspec
    from kafka.errors import KafkaError

    from streams import topics
    from streams.cli import brokers

    topic = settings.kafka.prefix + topics.ALERT_SUPPRESSIONS
    try:
        with brokers.producer(settings) as producer:
            for old in stale:
                if old.topic_key() != said.topic_key():
                    producer.send(topic, None, key=old.topic_key(), partition=0)
            sent = producer.send(topic, msgspec.json.encode(said), key=said.topic_key(), partition=0)
            producer.flush(brokers.DELIVERY_SECONDS)
            sent.get(timeout=brokers.DELIVERY_SECONDS)
    except KafkaError as problem:
        raise UserError(f"it was not delivered: {problem}") from problem


def _words(at: float) -> str:
    return datetime.fromtimestamp(int(at), UTC).isoformat().replace("+00:00", "Z")
