"""A stream under its settings: where settings meet detectors, for the worker, the backtest and every command alike."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import msgspec

from config.load import as_dict
from config.settings import Settings
from streams.agents import cards, employees, errors, sensors
from streams.alerts import Audit
from streams.definitions import Definition
from streams.partition import signature_text

_NOT_OF_VERDICTS = ("kafka", "metrics", "checkpoint", "log", "relay")  # sections on which no verdict depends
_DEFINE: dict[str, Callable[[Settings], Definition]] = {
    "sensors": sensors.define,
    "cards": cards.define,
    "employees": employees.define,
    "errors": errors.define,
}


def definition(stream: str, settings: Settings) -> Definition:
    """One of the four streams under these settings."""
    made = _DEFINE[stream](settings)
    if settings.kafka.value_format == "json":
        return made
    from streams.decoding import avro

    return avro.reading(made, settings)


def build() -> str:
    """Which build this is, as it stands in every alert."""
    try:
        return f"nilometer {version('nilometer')}"
    except PackageNotFoundError:
        return "nilometer (not installed)"


def audit(settings: Settings, stream: Definition) -> Audit:
    """What lets an auditor derive an alert of this stream again.

    The digest is of the settings that verdicts can depend on: two workers on different ports, or with another broker's address,
    say the same.
    """
    shaping = {name: section for name, section in as_dict(settings).items() if name not in _NOT_OF_VERDICTS}
    canonical = msgspec.json.encode(shaping, order="sorted")
    return Audit(build(), hashlib.blake2b(canonical, digest_size=8).hexdigest(), signature_text(stream.detector))
