"""`nilometer`: the command line. A command lives in a file of its own and imports what is heavy when it is called.

Exit codes: 0 done, 1 a failure of ours (with a traceback), 2 a mistake of the user's (one line on stderr for each), 130 Ctrl-C.
"""

from __future__ import annotations

import importlib.util
import inspect as signatures
import logging
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from config.load import ConfigError
from streams.cli import config, dead_letters, simulate, state, topics
from streams.cli.backtest import backtest
from streams.cli.demo import demo
from streams.cli.explain import explain
from streams.cli.inspect import inspect
from streams.cli.judge import judge
from streams.cli.reconcile import reconcile
from streams.cli.relay import relay
from streams.cli.replay import replay
from streams.cli.status import status
from streams.cli.suppress import suppress
from streams.cli.worker import worker
from streams.errors import UserError
from streams.telemetry import logs

UsageError: Any = typer.BadParameter.__base__  # typer brings its own click and does not name this one
OURS = ("streams", "detectors", "state", "config")

app = typer.Typer(
    name="nilometer",
    help="Learns what is normal for every sensor, card and employee in Kafka streams, and says what is not, and why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo)
app.command()(worker)
app.command()(relay)
app.command()(suppress)
app.command()(replay)
app.command()(backtest)
app.command()(status)
app.command()(inspect)
app.command()(reconcile)
app.command()(judge)
app.command()(explain)
app.add_typer(topics.commands, name="topics")
app.add_typer(state.commands, name="state")
app.add_typer(dead_letters.commands, name="dead-letters")
app.add_typer(simulate.commands, name="simulate")
app.add_typer(config.commands, name="config")


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nilometer {version('nilometer')}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version and leave.")] = False,
) -> None:
    """Take what stands before any command."""


def reflowed(of: typer.Typer) -> None:
    """Let a terminal break the lines of help: Typer would break them where the docstrings do, too."""
    for command in of.registered_commands:
        paragraphs = (signatures.getdoc(command.callback) or "").split("\n\n")
        command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    for group in of.registered_groups:
        if group.typer_instance is not None:
            reflowed(group.typer_instance)


reflowed(app)


def shadowed() -> list[str]:
    """Where something else on the path bears one of our four names."""
    home = Path(__file__).resolve().parents[2]
    found = []
    for name in OURS:
        spec = importlib.util.find_spec(name)
        place = Path(spec.origin).resolve() if spec is not None and spec.origin else None
        if place != home / name / "__init__.py":
            found.append(f"the package {name} is taken from {place or 'nowhere'}, not from {home / name}")
    return found


def main(arguments: list[str] | None = None) -> None:
    """Run a command and leave with its exit code."""
    mistakes = shadowed()
    if mistakes:
        mistakes.append("Nilometer wants an environment of its own (.venv, a container, pipx), started outside folders of these names")
    try:
        if not mistakes:
            sys.exit(app(arguments, standalone_mode=False, prog_name="nilometer") or 0)
    except UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # no command yet: what there is has been shown
            error.show()
            sys.exit(2)
        where = error.ctx.command_path if error.ctx is not None else "nilometer"
        words = " ".join(error.format_message().replace("Value error, ", "").split()).rstrip(".")
        mistakes.append(f"{words} (see {where} --help)")
    except typer.Abort:
        sys.exit(130)
    except ConfigError as error:
        mistakes += error.mistakes
    except UserError as error:
        mistakes += str(error).splitlines()
    except UnicodeEncodeError as error:
        if not (isinstance(error.object, str) and any(error.object in given for given in (sys.argv if arguments is None else arguments))):
            raise
        mistakes.append(f"{error.object!a}: wanted UTF-8 text")
    except OSError as error:
        if error.filename is None:
            raise
        mistakes.append(f"{error.filename}: {error.strerror or error}")
    except KeyboardInterrupt:
        sys.exit(130)
    for mistake in mistakes:
        logs.say(mistake, logging.ERROR)
    sys.exit(2)


if __name__ == "__main__":
    main()
