"""Maintenance windows: times in which nothing is to be heard of a stream, or of any.

Written ``[STREAM ]DAYS HH:MM-HH:MM`` (DAYS: daily, Sun, Mon-Fri or Sat,Sun; the end up to 24:00, or of the next morning) or, for once,
``[STREAM ]FROM/TO`` with local times such as ``2026-12-24T18:00``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = 24 * 60  # minutes


@dataclass(frozen=True, slots=True)
class Window:
    """Either minutes of certain days of the week, or one stretch of local time.

    `stream` is the one that it concerns; None: all. An `until` of at most `begin` is of the next morning.
    """

    text: str
    stream: str | None
    days: frozenset[int] = frozenset()
    begin: int = 0
    until: int = 0
    once: tuple[datetime, datetime] | None = None

    def holds(self, local: datetime) -> bool:
        """Whether a moment lies in it; `local` is what the clock on the wall shows, without its zone."""
        if self.once is not None:
            return self.once[0] <= local < self.once[1]
        minute, day = 60 * local.hour + local.minute, local.weekday()
        if self.begin < self.until:
            return day in self.days and self.begin <= minute < self.until
        yesterday = (local - timedelta(days=1)).weekday()
        return (day in self.days and minute >= self.begin) or (yesterday in self.days and minute < self.until)

    def began(self, local: datetime) -> datetime:
        """When it began, of a moment that lies in it."""
        if self.once is not None:
            return self.once[0]
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
        of_today = self.begin < self.until or (local.weekday() in self.days and 60 * local.hour + local.minute >= self.begin)
        return midnight + timedelta(minutes=self.begin, days=0 if of_today else -1)


def read(text: str, streams: Sequence[str]) -> Window:
    """A window as it is written.

    Raises
    ------
    ValueError
        It is not written like one.

    Examples
    --------
    >>> read("sensors Sat,Sun 22:00-06:00", ["sensors"]).holds(datetime(2026, 11, 23, 5, 59))
    True
    >>> read("Mon-Fri 12:00-13:00", []).holds(datetime(2026, 11, 23, 13, 0))
    False
    >>> read("Sat,Sun 22:00-06:00", []).began(datetime(2026, 11, 23, 5, 59)).isoformat()
    '2026-11-22T22:00:00'
    """
    words = text.split()
    stream = words.pop(0) if words and words[0] in streams else None
    if len(words) == 1:
        begin, end = (datetime.fromisoformat(part) for part in words[0].split("/"))
        if begin.tzinfo is not None or end.tzinfo is not None or begin >= end:
            raise ValueError(text)
        return Window(text, stream, once=(begin, end))
    days, times = words
    first, last = (_minute(part) for part in times.split("-"))
    if first == DAY or (first, last) == (0, 0):
        raise ValueError(text)
    return Window(text, stream, _days(days.lower()), first, last)


def zone(name: str) -> tzinfo:
    """A time zone by its name ("Europe/Berlin"); "UTC" needs no database of them.

    Raises
    ------
    ValueError
        There is none of that name.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValueError(name) from None


def _days(text: str) -> frozenset[int]:
    if text == "daily":
        return frozenset(range(7))
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        low, high = DAYS.index(first), DAYS.index(last if dash else first)
        found.update((low + step) % 7 for step in range((high - low) % 7 + 1))
    return frozenset(found)


def _minute(text: str) -> int:
    hours, minutes = text.split(":")
    if len(minutes) != 2 or not (hours + minutes).isdecimal() or int(minutes) > 59 or 60 * int(hours) + int(minutes) > DAY:
        raise ValueError(text)
    return 60 * int(hours) + int(minutes)
