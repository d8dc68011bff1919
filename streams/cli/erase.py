"""`nilometer state erase`: what is known of one key is forgotten."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from streams.cli.options import ConfigFile, StreamName, known, settings_of
from streams.errors import UserError


def erase(
    stream: StreamName,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The sensor, card, employee or source.", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", help="Yes, what was learnt of it may be forgotten.")] = False,
    config: ConfigFile = None,
) -> None:
    """Forget what is known of one card, employee, sensor or source: every partition does at its next cut.

    Workers must be running: they forget it at most a checkpoint's interval later, and at most three intervals later no checkpoint
    that knows it is in force; Kafka's cleaner then takes the old ones from the disk. Stop sending the key first, or it begins anew.
    Sources, alerts, scores, dead letters and labels are as old as their topics' retention.
    """
    known(stream)
    settings = settings_of(config)
    import msgspec
    from kafka.errors import KafkaError

    from streams import topics
    from streams.cli import brokers
    from streams.erasure import Request, digest

    if not yes:
        raise UserError(f"all that was learnt of {stream}/{key} would be forgotten: say so with --yes")
    topic, name = settings.kafka.prefix + topics.erasures(stream), digest(key.encode())
    request = Request(name, datetime.now(UTC).isoformat(timespec="seconds"))
    with brokers.admin(settings) as client:
        brokers.there(client, topic)
        try:
            with brokers.producer(settings, acks="all") as producer:
                sent = producer.send(topic, msgspec.json.encode(request), partition=0)
                place = sent.get(timeout=brokers.DELIVERY_SECONDS)
        except KafkaError as problem:
            raise UserError(f"the request was not delivered: {problem}") from problem
    typer.echo(f"asked as {name}: {topic} at {place.offset}; `nilometer inspect {stream} {key}` says when it is forgotten")
