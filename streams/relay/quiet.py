"""When nothing is to be heard of a key: while people suppress it, and in maintenance windows.

Suppressions are records of the compacted topic `alert.suppressions`, the key of which is stream and key: every relay sees them, and
the newest of a key counts, and names those before it. One that is over, or lifted, stays for a while, so that a relay that begins again
still knows what was held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec

from config.settings import STREAMS, Relay
from config.windows import Window, read, zone

KEPT_SECONDS = 30 * 86_400.0  # a suppression stays so long after its end
UNIT_SECONDS = {"m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
LONGEST_SECONDS = 366 * 86_400.0
MOST_EARLIER = 100  # that the newest suppression of a key names
MOMENT = 0.001  # s: of records' timestamps
LATEST = 4e9  # epoch seconds: a calendar that any stamp of a record can be held against
Seconds = Annotated[float, msgspec.Meta(ge=0.0, le=LATEST)]


class Suppression(msgspec.Struct, frozen=True):
    """Nothing is to be heard of a stream's key from `since` until before `until`, epoch seconds; `earlier` are such times before."""

    stream: str
    key: str
    since: Seconds
    until: Seconds
    reason: str = ""
    earlier: Annotated[tuple[tuple[Seconds, Seconds], ...], msgspec.Meta(max_length=MOST_EARLIER)] = ()
    v: Literal[1] = 1

    def spans(self) -> Iterator[tuple[float, float]]:
        """From when until when, the newest first."""
        yield self.since, self.until
        yield from self.earlier

    def topic_key(self) -> bytes:
        """Its key in the topic."""
        return topic_key(self.stream, self.key)


def topic_key(stream: str, key: str) -> bytes:
    """What suppressions of a stream's key are compacted by."""
    return msgspec.json.encode([stream, key])


def seconds_of(text: str) -> float:
    """A time span as people write it.

    Raises
    ------
    ValueError
        It is none, or is above a year.

    Examples
    --------
    >>> seconds_of("2h"), seconds_of("1.5d")
    (7200.0, 129600.0)
    """
    wrong = f"{text}: wanted a time such as 30m, 2h, 7d or 2w, at most a year"
    try:
        seconds = float(text[:-1]) * UNIT_SECONDS[text[-1:]]
    except (KeyError, ValueError):
        raise ValueError(wrong) from None
    if not 0.0 < seconds <= LONGEST_SECONDS:
        raise ValueError(wrong)
    return seconds


class Suppressions:
    """What the topic says, the newest of each key."""

    def __init__(self) -> None:
        self._of: dict[bytes, Suppression] = {}

    def hear(self, key: bytes | None, value: bytes | None) -> bool:
        """Take a record in; False where it cannot be read."""
        if key is None:
            return False
        if value is None:
            self._of.pop(key, None)
            return True
        try:
            said = msgspec.json.decode(value, type=Suppression)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False
        if said.stream not in STREAMS:
            return False
        self._of[said.topic_key()] = said
        return True

    def get(self, stream: str, key: str) -> Suppression | None:
        """What was last said of a key."""
        return self._of.get(topic_key(stream, key))

    def all(self) -> list[Suppression]:
        """By stream and key."""
        return sorted(self._of.values(), key=lambda each: (each.stream, each.key))


class Quiet:
    """Whether anything is to be heard of a key at a moment."""

    def __init__(self, relay: Relay, suppressions: Suppressions) -> None:
        self._windows = [read(text, STREAMS) for text in relay.maintenance]
        self._zone = zone(relay.timezone)
        self._suppressions = suppressions

    def __call__(self, stream: str, key: str, at: float) -> str | None:
        """Why nothing is to be heard of it at an epoch second; None if it is.

        >>> from config.load import load
        >>> relay = load(environment={}, overrides={"relay.maintenance": ["sensors Mon 00:00-01:00"]}).relay
        >>> Quiet(relay, Suppressions())("sensors", "p-1", 4 * 86_400.0), Quiet(relay, Suppressions())("cards", "c-1", 4 * 86_400.0)
        ('maintenance, sensors Mon 00:00-01:00', None)
        """
        said = self._suppressions.get(stream, key)
        for since, until in () if said is None else said.spans():
            if said is not None and since <= at < until:
                return f"suppressed until {_words(until)}" + (f": {said.reason}" if said.reason and since == said.since else "")
        local = self._local(at)
        return next((f"maintenance, {each.text}" for each in self._in_force(stream, local)), None)

    def began(self, stream: str, key: str, at: float, earliest: float) -> float:
        """Since when nothing has been heard of it without a break, at a moment of quiet; not looked for further back than `earliest`."""
        said = self._suppressions.get(stream, key)
        start = before = at
        while before >= earliest:
            local = self._local(before)
            found = [since for since, until in (() if said is None else said.spans()) if since <= before < until]
            found += [each.began(local).replace(tzinfo=self._zone).timestamp() for each in self._in_force(stream, local)]
            start = min([start, *found])
            if not found or start > before:  # no further back; or where clocks are changed
                break
            before = start - MOMENT
        return start

    def _in_force(self, stream: str, local: datetime) -> Iterator[Window]:
        return (each for each in self._windows if each.stream in (None, stream) and each.holds(local))

    def _local(self, at: float) -> datetime:
        return datetime.fromtimestamp(min(max(at, 0.0), LATEST), self._zone).replace(tzinfo=None)


def prolonged(before: Suppression | None, said: Suppression) -> Suppression:
    """A suppression of a key after another one: it begins with that if that still holds, and names what was held back before."""
    if before is None:
        return said
    if before.since <= said.since < before.until:
        return msgspec.structs.replace(said, since=before.since, earlier=before.earlier)
    known = tuple(span for span in before.spans() if span[1] + KEPT_SECONDS >= said.since)
    return msgspec.structs.replace(said, earlier=known[:MOST_EARLIER])


def stale(known: Iterable[Suppression], now: float) -> list[Suppression]:
    """Those that can be forgotten."""
    return [each for each in known if each.until + KEPT_SECONDS < now]


def _words(at: float) -> str:
    return datetime.fromtimestamp(int(at), UTC).isoformat().replace("+00:00", "Z")
