"""What partitions have still to adopt from outside: the newest of what a whole stream shares, and people's verdicts on their alerts.

A partition adopts at most once an hour of its event time.
"""

from __future__ import annotations

from typing import Any

from streams.agents.population import HOUR
from streams.agents.verdicts import Pending


class Offers:
    """Inputs that wait, by name; of what the stream shares, what is newer takes the place of what still waits."""

    def __init__(self) -> None:
        self.verdicts: dict[int, Pending] = {}  # of the partitions that are read for
        self._newest: dict[str, Any] = {}
        self._taken: dict[int, dict[str, Any]] = {}
        self._hours: dict[int, int] = {}

    def offer(self, inputs: dict[str, Any]) -> None:
        """Let every partition adopt these at its next cut."""
        self._newest.update(inputs)

    def due(self, number: int, event_time: int, verdicts_through: int) -> dict[str, Any]:
        """What a partition should adopt now, empty if nothing; its state has adopted verdicts up to an offset already."""
        hour = event_time // HOUR
        if hour <= self._hours.get(number, hour - 1):
            return {}
        taken = self._taken.get(number, {})
        inputs = {name: value for name, value in self._newest.items() if taken.get(name) is not value}
        if number in self.verdicts:
            through, items = self.verdicts[number].due(event_time)
            if items and through > verdicts_through:
                inputs["verdicts"] = {"through": through, "items": items}
        return inputs

    def adopted(self, number: int, event_time: int, inputs: dict[str, Any]) -> None:
        """Note that a partition has."""
        self._hours[number] = event_time // HOUR
        told = inputs.get("verdicts")
        if told is not None and number in self.verdicts:
            self.verdicts[number].adopted(told["through"])
        self._taken[number] = self._taken.get(number, {}) | {name: value for name, value in inputs.items() if name != "verdicts"}
