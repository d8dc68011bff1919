"""People's verdicts on alerts: read from `alert.labels`, adopted by the partition whose alert it was at its next cut.

A record is ``{"stream", "key", "alert_id", "verdict", "at"}``, keyed like the stream's source, with a verdict of "confirmed" (it was
what it looked like) or "cleared" (it was not). It takes effect at the first cut whose event time reaches its `at`. A partition's state
knows up to which offset of its part of the topic it has adopted everything, so a restart repeats none and loses none.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Literal, NamedTuple

import msgspec

from detectors.wording import instant
from streams import times, topics
from streams.dead_letters import DeadLetter
from streams.times import Moment
from streams.transport.log import Record

AT_ONCE = 500  # verdicts in one cut: it stays far below a broker's largest record


class AlertLabel(msgspec.Struct):
    """A person's verdict on one alert."""

    stream: Literal["sensors", "cards", "employees", "errors"]
    key: str
    alert_id: str
    verdict: Literal["confirmed", "cleared"]
    at: float | Moment
    v: Literal[1] = 1


class Verdict(NamedTuple):
    """One that waits: where it stands in the topic, when it takes effect (microseconds), and what the cut will say."""

    offset: int
    at: int
    item: dict[str, Any]


_decode = msgspec.json.Decoder(AlertLabel).decode


def read(record: Record, stream: str, future: float) -> Verdict | None:
    """One record of the topic as a verdict on this stream's alert, None where it is another stream's.

    Raises
    ------
    ValueError
        If it cannot be read, or says a time more than `future` seconds ahead of its own Kafka timestamp: it would hold up all others.
    """
    if record.value is None:
        raise ValueError("the value is null: a verdict is taken back by another verdict")
    try:
        label = _decode(record.value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise ValueError(str(problem)) from problem
    if label.stream != stream:
        return None
    identity(label.alert_id)
    at = int(times.of_mixed([label.at])[0])
    if at == times.NO_TIME or (record.timestamp_ms >= 0 and at > record.timestamp_ms * 1000 + int(future * 1e6)):
        raise ValueError(f"at = {label.at}: not a time, or more than {future:,.0f} s ahead of its record (records.future_seconds)")
    return Verdict(record.offset, at, {"key": label.key, "alert_id": label.alert_id, "verdict": label.verdict, "at": instant(at)})


def identity(alert: str) -> bytes:
    """The id of the episode that an alert belongs to.

    Raises
    ------
    ValueError
        If this is no alert's id.
    """
    try:
        return bytes.fromhex(alert.split(".")[0])
    except ValueError:
        raise ValueError(f"alert_id = {alert[:60]!r}: wanted the id of an alert") from None


class Pending:
    """The verdicts that one partition has still to adopt, in the order of the topic."""

    def __init__(self) -> None:
        self._waiting: deque[Verdict] = deque()
        self._read_to = 0

    def add(self, offset: int, verdict: Verdict | None) -> None:
        """Note that the topic has been read past `offset`."""
        self._read_to = offset + 1
        if verdict is not None:
            self._waiting.append(verdict)

    def due(self, now: int) -> tuple[int, list[dict[str, Any]]]:
        """Up to which offset everything can be adopted at event time `now`, and what; it is not taken away yet."""
        items: list[dict[str, Any]] = []
        for verdict in self._waiting:
            if verdict.at > now or len(items) == AT_ONCE:
                return verdict.offset, items
            items.append(verdict.item)
        return self._read_to, items

    def adopted(self, through: int) -> None:
        """Let go of what stands below an offset."""
        while self._waiting and self._waiting[0].offset < through:
            self._waiting.popleft()


async def keep_reading(
    records: AsyncIterator[Record],
    pending: Pending,
    stream: str,
    future: float,
    refuse: Callable[[DeadLetter], Awaitable[Any]],
) -> None:
    """Read a partition of the topic for ever. What cannot be read is refused, by the owner of every stream that reads it."""
    async for record in records:
        try:
            pending.add(record.offset, read(record, stream, future))
        except ValueError as problem:
            pending.add(record.offset, None)
            letter = DeadLetter(topics.ALERT_LABELS, record.partition, record.offset, str(problem), (), record.key, record.value)
            await refuse(letter)
        await asyncio.sleep(0)
