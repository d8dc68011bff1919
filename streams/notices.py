"""What somebody who sets budgets should know before events come: the history that they need, and where a promise is coarse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from detectors.normal_model.budget import history_needed
from detectors.wording import plain
from streams.agents import errors, sensors

if TYPE_CHECKING:
    from config.settings import Sensors, Settings

PACES = (("a second", 1.0), ("a minute", 60.0))  # at which sensors may send: what they do is not known before they come


def notices(settings: Settings, streams: Sequence[str]) -> list[str]:
    """A line a thing to know, of these streams."""
    found: list[str] = []
    if "sensors" in streams:
        found += _of_sensors(settings)
    caution = errors.detector_of(settings).caution if "errors" in streams else None
    return found + ([f"errors: {caution}"] if caution else [])


def _of_sensors(settings: Settings) -> Iterator[str]:
    """Of sensors without a class, and of each class whose budget or block is another."""
    own, kinds = settings.sensors, sensors.detector_of(settings).kinds
    said: set[tuple[str, ...]] = set()
    for name, section, kind in zip(("", *(name for name, _ in own.classes)), (own, *(c for _, c in own.classes)), kinds, strict=True):
        first, *paces = lines = _history(section, kind.normal_length or 3 * section.window)
        if lines not in said:
            said.add(lines)
            yield f"sensors{f' of class {name}' if name else ''}: {first}"
            yield from paces


def _history(section: Sensors, block: int) -> tuple[str, ...]:
    until = f"{plain(100 * section.epsilon)} % of readings (epsilon)"
    if section.false_alarms_per_sensor_day == 0.0:
        return (f"no budget is set, the paper's rule decides: {until}",)
    return (
        f"{sensors.budget_of(section)}, once there is history enough; until then {until}",
        *(
            f"  at a reading {pace}: {history_needed(section.false_alarms_per_sensor_day, readings=block, interval=seconds).words}"
            for pace, seconds in PACES
        ),
    )
