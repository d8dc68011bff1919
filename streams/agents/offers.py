"""What partitions have still to adopt from outside: the newest of what a whole stream shares, and what is
said of single keys: people's verdicts on their alerts, employees' limits.

A partition adopts at most once an hour of its event time; what keys to forget, at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streams.agents.pending import Pending
from streams.agents.population import HOUR
from streams.erasure import Asked


class Offers:
    """Inputs that wait, by name; of what the stream shares, what is newer takes the place of what still waits."""

    def __init__(self) -> None:
        self.waiting: dict[str, dict[int, Pending]] = {}  # of single keys, by name and by the partitions that are read for
        self.erasures = Asked()
        self._newest: dict[str, Any] = {}
        self._taken: dict[int, dict[str, Any]] = {}
        self._hours: dict[int, int] = {}

    def offer(self, inputs: dict[str, Any]) -> None:
        """Let every partition adopt these at its next cut."""
        self._newest.update(inputs)

    def due(self, number: int, event_time: int, through: Mapping[str, int]) -> dict[str, Any]:
        """What a partition should adopt now, empty if nothing; its state has adopted what waits up to `through` already."""
        hour = event_time // HOUR
        if hour <= self._hours.get(number, hour - 1):
            return {}
        taken = self._taken.get(number, {})
        inputs = {name: value for name, value in self._newest.items() if taken.get(name) is not value}
        for name, pending in self.waiting.items():
            if number in pending:
                offset, items = pending[number].due(event_time)
                if items and offset > through[name]:
                    inputs[name] = {"through": offset, "items": items}
        return inputs

    def adopted(self, number: int, event_time: int, inputs: dict[str, Any]) -> None:
        """Note that a partition has."""
        self._hours[number] = event_time // HOUR
        for name in inputs.keys() & self.waiting.keys():
            if number in self.waiting[name]:
                self.waiting[name][number].adopted(inputs[name]["through"])
        shared = {name: value for name, value in inputs.items() if name not in self.waiting}
        self._taken[number] = self._taken.get(number, {}) | shared
