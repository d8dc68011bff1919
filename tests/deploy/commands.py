"""Whether a command line is one that our own command line takes: parsed by it, and not run."""

from __future__ import annotations

from typing import Any

import typer.main

from streams.cli.main import app


def accepted(arguments: list[str]) -> bool:
    """True, or the parser's own error is raised."""
    command: Any = typer.main.get_command(app)
    rest = list(arguments)
    while hasattr(command, "commands"):
        name = rest.pop(0)
        assert name in command.commands, f"no command {name} of {arguments}: there are {', '.join(command.commands)}"
        command = command.commands[name]
    command.make_context(arguments[0], rest)
    return True
