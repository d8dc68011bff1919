"""What a long-running command says of itself, on stderr: lines for a person, or JSON lines for a log store.

Secrets of the configuration are struck out of every line, whoever wrote it. Ids of cards and employees stand in none of ours.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from config.load import secrets
from config.settings import Settings

SAME_LINE_SECONDS = 10.0  # a line is logged no more often: a broker that is away brings dozens a second
MOST_LINES = 1_000  # remembered; beyond, those that may pass again are forgotten
OWN = logging.getLogger("nilometer")  # what a command says to whoever watches it; never left out
CHATTY = ("faust", "mode", "aiokafka")  # their warnings are enough, but for whoever asks for all
STRUCK_OUT = "(not shown)"
_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def set_up(settings: Settings) -> None:
    """Send every logger's lines to stderr, in the form and from the level of `[log]`; uncaught exceptions, too, where that is JSON."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Stderr)]:
        root.removeHandler(handler)
    handler = _Stderr()
    handler.setFormatter(InJson(settings) if settings.log.format == "json" else InText(settings))
    level = logging.getLevelNamesMapping()[settings.log.level.upper()]
    handler.addFilter(lambda record: record.name == OWN.name or record.levelno >= level)
    handler.addFilter(Seldom())
    root.addHandler(handler)
    root.setLevel(level)
    if level == logging.DEBUG:
        for chatty in CHATTY:
            logging.getLogger(chatty).setLevel(level)
    OWN.setLevel(logging.INFO)
    if settings.log.format == "json":
        sys.excepthook = _uncaught
        threading.excepthook = lambda told: _uncaught(told.exc_type, told.exc_value, told.exc_traceback)


def say(words: str, level: int = logging.INFO, **where: object) -> None:
    """A line for whoever watches the command, with its stream and partition if it is of one; before `set_up` it goes to stderr as it is."""
    if any(isinstance(handler, _Stderr) for handler in logging.getLogger().handlers):
        OWN.log(level, "%s", words, extra=where)
    else:
        print(f"nilometer: {words}", file=sys.stderr, flush=True)


class InText(logging.Formatter):
    """Lines for a person; what a command says itself begins with its name and nothing else."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(_TEXT)
        self._secrets = secrets(settings)

    def format(self, record: logging.LogRecord) -> str:
        return struck_out(f"nilometer: {record.getMessage()}" if record.name == OWN.name else super().format(record), self._secrets)


class InJson(logging.Formatter):
    """A JSON object a line: time, level, logger, message and, of a line that speaks of one, stream and partition; an exception.

    `logger.warning(…, extra={"stream": "cards", "partition": 3})` gives them, to look for all that was said of a partition.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._secrets = secrets(settings)

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in ("stream", "partition"):
            if (value := getattr(record, name, None)) is not None:
                line[name] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        safe = {name: struck_out(value, self._secrets) if isinstance(value, str) else value for name, value in line.items()}
        return json.dumps(safe, ensure_ascii=False, default=str)


class Seldom(logging.Filter):
    """Lets a line pass again only after a while; lines of a partition are the same that differ in their arguments alone."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[object, ...], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is logged."""
        if record.name == OWN.name:
            return True
        words = record.msg if isinstance(record.msg, str) else repr(record.msg)
        now, line = time.monotonic(), (record.name, words, getattr(record, "stream", None), getattr(record, "partition", None))
        if now - self._last.get(line, -SAME_LINE_SECONDS) < SAME_LINE_SECONDS:
            return False
        if len(self._last) >= MOST_LINES:  # what is remembered for nothing, by now
            self._last = {each: at for each, at in self._last.items() if now - at < SAME_LINE_SECONDS}
        self._last[line] = now
        return True


class _Stderr(logging.StreamHandler[Any]):
    """Writes to what stderr is at the time."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def struck_out(text: str, hidden: Iterable[str]) -> str:
    """A text without these secrets."""
    for secret in hidden:
        text = text.replace(secret, STRUCK_OUT)
    return text


def _uncaught(kind: type[BaseException], problem: BaseException | None, trace: TracebackType | None) -> None:
    OWN.critical("%s: %s", kind.__name__, problem, exc_info=None if problem is None else (kind, problem, trace))
