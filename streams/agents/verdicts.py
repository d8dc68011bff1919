"""People's verdicts on alerts: read from `alert.labels`, adopted by the partition whose alert it was at its next cut.

A record is ``{"stream", "key", "alert_id", "verdict", "at"}``, keyed like the stream's source, with a verdict of "confirmed" (it was
what it looked like) or "cleared" (it was not). It takes effect at the first cut whose event time reaches its `at`. A partition's state
knows up to which offset of its part of the topic it has adopted everything, so a restart repeats none and loses none.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from detectors.wording import instant
from streams.agents.pending import Waiting
from streams.decoding import times
from streams.decoding.times import Moment
from streams.transport.log import Record


class AlertLabel(msgspec.Struct):
    """A person's verdict on one alert."""

    stream: Literal["sensors", "cards", "employees", "errors"]
    key: str
    alert_id: str
    verdict: Literal["confirmed", "cleared"]
    at: float | Moment
    v: Literal[1] = 1


_decode = msgspec.json.Decoder(AlertLabel).decode


def read(record: Record, stream: str, future: float) -> Waiting | None:
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
    return Waiting(record.offset, at, {"key": label.key, "alert_id": label.alert_id, "verdict": label.verdict, "at": instant(at)})


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
