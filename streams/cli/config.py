"""`nilometer config`: is the configuration sound, and what is in force."""

from __future__ import annotations

import typer

from streams.cli.options import ConfigFile, settings_of

commands = typer.Typer(no_args_is_help=True, help="Check and show the configuration.")


@commands.command()
def check(config: ConfigFile = None) -> None:
    """Name every mistake of the configuration at once (exit code 2 if there is one).

    Of a sound one it says what differs from the defaults, and how much has to be seen before its budgets can be kept.
    """
    from config.load import changed

    settings = settings_of(config)
    different = changed(settings)
    typer.echo("The configuration is sound; " + ("everything is as by default." if not different else "changed from the defaults:"))
    for line in different:
        typer.echo(f"  {line}")
    from streams.notices import notices

    for line in notices(settings, settings.streams.enabled):
        typer.echo(line)


@commands.command()
def show(config: ConfigFile = None) -> None:
    """Print the settings in force as TOML, with the default beside each that was changed."""
    from config.load import in_toml

    typer.echo(in_toml(settings_of(config)), nl=False)
