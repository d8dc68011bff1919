"""Options that several commands share, and what is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from config.load import load
from config.settings import Settings
from streams.errors import UserError

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="TOML file that names what differs from the defaults.", envvar="NILOMETER_CONFIG"),
]
StreamName = Annotated[str, typer.Argument(metavar="STREAM", help="sensors, cards, employees or errors.", show_default=False)]


def known(stream: str) -> None:
    """Refuse what is no stream."""
    from streams.topics import SOURCES

    if stream not in SOURCES:
        raise UserError(f"{stream}: wanted one of {', '.join(SOURCES)}")


def settings_of(config: Path | None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings in force: defaults ← file ← environment ← `overrides` ("section.key" → value, None: option not used)."""
    return load(config, overrides=overrides)
