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
    """Name every topic that is missing or is not as it should be; exit code 2 if there is one."""
    from streams.cli import brokers

    settings, wanted = _wanted(config, streams)
    with brokers.admin(settings) as client:
        _refuse(brokers.mistakes(client, wanted))
    typer.echo(f"All {len(wanted)} topics are there, with their partitions and settings.")


def _wanted(config: ConfigFile, streams: str | None) -> tuple[Settings, dict[str, Wanted]]:
    settings = settings_of(config, enabled(streams))
    from streams.topic_settings import wanted_topics

    return settings, wanted_topics(settings, settings.streams.enabled)


def _refuse(mistakes: list[str]) -> None:
    if mistakes:
        raise UserError("\n".join(mistakes))
