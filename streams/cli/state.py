"""`nilometer state`: what a stream's partitions have adopted."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from streams.cli.options import ConfigFile, settings_of
from streams.errors import UserError

commands = typer.Typer(no_args_is_help=True, help="Look at what partitions have adopted.")
StreamName = Annotated[str, typer.Argument(metavar="STREAM", help="sensors, cards, employees or errors.", show_default=False)]


@commands.command()
def cuts(stream: StreamName, config: ConfigFile = None) -> None:
    """Print the cuts that count as JSON lines, partition by partition: what `nilometer backtest --cuts` takes."""
    settings = settings_of(config)
    from streams.cli import brokers, reading
    from streams.cut_log import counting
    from streams.cuts import dump
    from streams.parked import Parked

    known(stream)
    from streams import topics

    topic = settings.kafka.prefix + topics.cuts(stream)
    with brokers.admin(settings) as client, reading.reader(settings) as consumer:
        for number in range(partitions(client, topic)):
            try:
                for cut in counting(number, ((record.offset, record.value or b"") for record in reading.to_end(consumer, topic, number))):
                    typer.echo(dump(cut).decode())
            except Parked as problem:
                raise UserError(f"{topic}/{number}: {problem}") from problem


def known(stream: str) -> None:
    """Refuse what is no stream."""
    from streams.topics import SOURCES

    if stream not in SOURCES:
        raise UserError(f"{stream}: wanted one of {', '.join(SOURCES)}")


def partitions(client: Any, topic: str) -> int:
    """How many a topic has.

    Raises
    ------
    UserError
        There is no such topic.
    """
    from streams.cli import brokers

    many = brokers.partitions_of(client, {topic: None})[topic]
    if many is None:
        raise UserError(f"topic {topic} is missing: nilometer topics create")
    return many
