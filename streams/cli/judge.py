"""`nilometer judge`: a person's verdict on an alert."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from streams.cli.options import ConfigFile, settings_of
from streams.errors import UserError


class Stream(StrEnum):
    """Whose alert it is."""

    sensors = "sensors"
    cards = "cards"
    employees = "employees"
    errors = "errors"


class Verdict(StrEnum):
    """What it was."""

    confirmed = "confirmed"
    cleared = "cleared"


def judge(
    stream: Annotated[Stream, typer.Argument(help="The alert's stream.")],
    key: Annotated[str, typer.Argument(help="Its sensor, card, employee or source (`subject`).", show_default=False)],
    alert: Annotated[str, typer.Argument(help="Its id, or that of any report of its episode.", show_default=False)],
    verdict: Annotated[Verdict, typer.Argument(help="confirmed: it was what it looked like; cleared: it was not.")],
    at: Annotated[
        datetime | None, typer.Option("--at", help="Event time from which it counts, UTC; now, if it is not given.", show_default=False)
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Say what an alert was: `alert.labels` takes it, and the partition whose alert it was adopts it at its next cut.

    An employee's episode ends by it, and the evidence begins anew (cleared) or without those postings (confirmed); the events of a
    confirmed alert leave the ranks of their source.
    """
    import msgspec
    from kafka.errors import KafkaError

    from streams import topics
    from streams.agents.verdicts import AlertLabel, identity
    from streams.cli import brokers

    try:
        identity(alert)
    except ValueError as problem:
        raise UserError(str(problem)) from problem
    settings = settings_of(config)
    topic = settings.kafka.prefix + topics.ALERT_LABELS
    moment = datetime.now(UTC) if at is None else at.replace(tzinfo=UTC)
    label = AlertLabel(stream.value, key, alert, verdict.value, moment)
    with brokers.admin(settings) as client:
        if brokers.partitions_of(client, {topic: None})[topic] is None:
            raise UserError(f"topic {topic} is missing: nilometer topics create")
        try:
            with brokers.producer(settings) as producer:
                sent = producer.send(topic, msgspec.json.encode(label), key=key.encode())
                producer.flush(brokers.DELIVERY_SECONDS)
                place = sent.get(timeout=brokers.DELIVERY_SECONDS)
        except KafkaError as problem:
            raise UserError(f"the verdict was not delivered: {problem}") from problem
    typer.echo(f"{verdict.value}, {stream.value}/{key}: {topic}/{place.partition} at {place.offset}")
