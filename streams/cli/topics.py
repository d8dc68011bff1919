"""`nilometer topics`: every topic that the streams need, made and looked after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.options import ConfigFile, settings_of
from streams.errors import UserError

if TYPE_CHECKING:
    from config.settings import Settings
    from streams.topic_settings import Wanted

commands = typer.Typer(no_args_is_help=True, help="Create and check the topics on Kafka.")
Streams = Annotated[str | None, typer.Option("--streams", metavar="NAMES", help="Some streams only: sensors,cards,employees,errors.")]


def enabled(streams: str | None) -> dict[str, object]:
    """The option as an override of the settings."""
    return {"streams.enabled": None if streams is None else [name.strip() for name in streams.split(",")]}


@commands.command()
def create(config: ConfigFile = None, streams: Streams = None) -> None:
    """Create the topics that are missing; those that exist stay as they are. Exit code 2 if one of these is not as it should be."""
    from streams.cli import brokers

    settings, wanted = _wanted(config, streams)
    with brokers.admin(settings) as client:
        made = brokers.create_missing(client, settings, wanted)
        for topic, want in wanted.items():
            configs = "".join(f", {name}={value}" for name, value in want.configs.items())
            typer.echo(f"{'created' if topic in made else 'exists':<9}{topic}  {want.partitions} partitions{configs}")
        _refuse(brokers.mistakes(client, wanted))


@commands.command()
def check(config: ConfigFile = None, streams: Streams = None) -> None:
    """Name every topic that is missing, is not as it should be, or that we may not read or write; exit code 2 if there is one."""
    from streams.cli import brokers, granted

    settings, wanted = _wanted(config, streams)
    with brokers.admin(settings) as client:
        refused = granted.refusals(client, settings, wanted)
        _refuse(refused or brokers.mistakes(client, wanted))
        for note in brokers.notes(client, settings, wanted):
            typer.echo(f"note: {note}")
    typer.echo(f"All {len(wanted)} topics are there, with their partitions and settings, and may be read and written.")


@commands.command(name="list")
def list_(config: ConfigFile = None, streams: Streams = None) -> None:
    """Print every topic with its partitions, settings and what must be granted: for whoever creates them. Kafka is not asked."""
    from streams.cli import granted

    settings, wanted = _wanted(config, streams)
    for topic, operations in granted.needed(settings, wanted).items():
        configs = " ".join(f"{name}={value}" for name, value in wanted[topic].configs.items()) or "-"
        typer.echo(f"{topic}\t{wanted[topic].partitions}\t{','.join(operations)}\t{configs}")
    for group in granted.groups(settings):
        typer.echo(f"group {group}\t-\tRead\t-")


def _wanted(config: ConfigFile, streams: str | None) -> tuple[Settings, dict[str, Wanted]]:
    settings = settings_of(config, enabled(streams))
    from streams.topic_settings import wanted_topics

    return settings, wanted_topics(settings, settings.streams.enabled)


def _refuse(mistakes: list[str]) -> None:
    if mistakes:
        raise UserError("\n".join(mistakes))
