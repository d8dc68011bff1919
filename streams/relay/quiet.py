"""When nothing is to be heard of a key: while people suppress it, and in maintenance windows.

Suppressions are records of the compacted topic `alert.suppressions`, the key of which is stream and key: every relay sees them, and
the newest of a key counts. One that is over, or lifted, stays for a while, so that a relay that begins again still knows what was held.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from config.settings import STREAMS, Relay
from config.windows import read, zone

KEPT_SECONDS = 30 * 86_400.0  # a suppression stays so long after its end
UNIT_SECONDS = {"m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
LONGEST_SECONDS = 366 * 86_400.0
LATEST = 4e9  # epoch seconds: a calendar that any stamp of a record can be held against


class Suppression(msgspec.Struct, frozen=True):
    """Nothing is to be heard of a stream's key from `since` until before `until`, epoch seconds."""

    stream: str
    key: str
    since: float
    until: float
    reason: str = ""
    v: int = 1

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
        if said is not None and said.since <= at < said.until:
            return f"suppressed until {_words(said.until)}" + (f": {said.reason}" if said.reason else "")
        if not self._windows:
            return None
        local = datetime.fromtimestamp(min(max(at, 0.0), LATEST), self._zone).replace(tzinfo=None)
        return next((f"maintenance, {w.text}" for w in self._windows if w.stream in (None, stream) and w.holds(local)), None)


def prolonged(before: Suppression | None, said: Suppression) -> Suppression:
    """A suppression that follows on one that still holds begins with it: what that held back is still held."""
    if before is None or not before.since <= said.since < before.until:
        return said
    return msgspec.structs.replace(said, since=before.since)


def stale(known: Iterable[Suppression], now: float) -> list[Suppression]:
    """Those that can be forgotten."""
    return [each for each in known if each.until + KEPT_SECONDS < now]


def _words(at: float) -> str:
    return datetime.fromtimestamp(int(at), UTC).isoformat().replace("+00:00", "Z")
