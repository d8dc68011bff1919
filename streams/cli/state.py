"""`nilometer state`: what a stream's partitions have adopted, and the way out of a parked one."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli import erase, savepoints
from streams.cli.options import ConfigFile, StreamName, known, settings_of
from streams.errors import UserError

commands = typer.Typer(no_args_is_help=True, help="What partitions have adopted; their state as a file, and back; ways to begin anew.")
commands.command("export")(savepoints.export)
commands.command("import")(savepoints.import_)
commands.command("repartition")(savepoints.repartition)
commands.command("erase")(erase.erase)


@commands.command()
def cuts(
    stream: StreamName,
    models: Annotated[bool, typer.Option("--models", help="Print the versions that they name instead.")] = False,
    config: ConfigFile = None,
) -> None:
    """Print the cuts that count as JSON lines, partition by partition: what `nilometer backtest --cuts` takes.

    Of a partition that was reset, those since then. With --models, print instead what they name in nilometer.models.cards, as far as
    that topic holds it: what `nilometer backtest --models` takes.
    """
    settings = settings_of(config)
    from streams import model_files
    from streams.cli import brokers, reading
    from streams.cuts import dump
    from streams.durable.cut_log import counting
    from streams.durable.parked import Parked
    from streams.durable.references import as_reference
    from streams.savepoints.cold_start import since_reset

    known(stream)
    from streams import topics

    topic = settings.kafka.prefix + topics.cuts(stream)
    named: set[int] = set()
    with brokers.admin(settings) as client, reading.reader(settings) as consumer:
        for number in range(brokers.there(client, topic)):
            try:
                log = [(record.offset, record.value or b"") for record in reading.to_end(consumer, topic, number)]
                for cut in counting(number, since_reset(log)):
                    if models:
                        named |= {found.offset for found in map(as_reference, cut.inputs.values()) if found is not None}
                    else:
                        typer.echo(dump(cut).decode())
            except Parked as problem:
                raise UserError(f"{topic}/{number}: {problem}") from problem
        if named:
            for record in reading.to_end(consumer, settings.kafka.prefix + model_files.TOPIC, 0, min(named)):
                if record.offset in named:
                    typer.echo(model_files.line(record.offset, record.value or b"{}").decode())


@commands.command()
def reset(
    stream: StreamName,
    partition: Annotated[int, typer.Option("--partition", metavar="N", min=0, help="The partition to begin anew.", show_default=False)],
    at: Annotated[int | None, typer.Option("--at", metavar="OFFSET", min=0, help="Begin there, not at the group's position.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Yes, what the partition has learnt may be forgotten.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Forget nothing: go on from the last checkpoint, in a new epoch.")] = False,
    config: ConfigFile = None,
) -> None:
    """Let a partition begin anew with nothing learnt: the way out when it is parked and nothing else helps.

    It goes on from the group's position, or from the beginning of the source where there is none that the source still holds.
    What was said of records behind that offset may be said once more, and differently. With --keep it goes on from its last checkpoint and
    forgets nothing: the way out when the group was deleted, or its offsets expired, and its generations begin anew.
    Stop every worker first, and use their configuration.
    """
    settings = settings_of(config)
    known(stream)
    if keep and at is not None:
        raise UserError("--keep goes on from the last checkpoint: --at has no say in it")
    from streams import topics
    from streams.cli import brokers, cold, reading

    source = settings.kafka.prefix + topics.source(stream)
    with brokers.admin(settings) as client, reading.reader(settings) as consumer:
        many = brokers.there(client, source)
        if partition >= many:
            raise UserError(f"--partition {partition}: {source} has {many}, from 0 on")
        for topic in (topics.cuts(stream), topics.checkpoints(stream)):
            if brokers.there(client, settings.kafka.prefix + topic) != many:
                raise UserError(f"{settings.kafka.prefix}{topic} has not as many partitions as {source}: nilometer topics check")
        cold.refuse_members(client, settings)
        if keep:
            epoch, name, start = cold.keep(client, consumer, settings, stream, partition)
            typer.echo(f"{source}/{partition} goes on from checkpoint {name} at {start} (epoch {epoch}); start the workers")
            return
        start = cold.start(client, consumer, settings, (source, partition), at)
        if not yes:
            raise UserError(f"{source}/{partition} would begin anew at {start} with nothing learnt: say so with --yes")
        epoch, name = cold.reset(client, consumer, settings, stream, partition, many, start)
    typer.echo(f"{source}/{partition} begins anew at {start} (epoch {epoch}, checkpoint {name}); start the workers")
