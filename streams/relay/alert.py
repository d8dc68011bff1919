"""An alert as it is read back from its topic: what the relay decides by, and how a partition's silence ends one."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from streams.transport.log import Record

CLOSED = "closed"
UNTIL_HEARD = {("sensors", "silent")}  # episodes that are about a silence, and so not ended by one


class Episode(msgspec.Struct, rename={"start": "from", "end": "to"}):
    """Of which story an alert is the `report`-th page; times are RFC 3339."""

    id: str
    report: int
    start: str
    end: str


class Audit(msgspec.Struct):
    """Of what an auditor needs: the source's partition."""

    partition: int


class Data(msgspec.Struct):
    """What the relay reads of an alert's data; the rest goes on unread."""

    stream: Literal["sensors", "cards", "employees", "errors"]
    key: str
    test: str
    phase: str
    severity: str
    episode: Episode
    reasons: list[str]
    audit: Audit


class Alert(msgspec.Struct):
    """A CloudEvent of `streams.alerts`."""

    id: str
    data: Data


def read(record: Record) -> Alert:
    """The alert that a record holds.

    Raises
    ------
    ValueError
        It holds none.
    """
    if record.value is None:
        raise ValueError("the value is null, no alert")
    try:
        return msgspec.convert(msgspec.json.decode(record.value), Alert)  # all of it is read: it will be written again
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise ValueError(f"no alert: {problem}") from problem


def without_evidence(value: bytes) -> bytes:
    """An alert's bytes without what fills them: enough to end its episode by."""
    event: dict[str, Any] = msgspec.json.decode(value)
    for name in ("evidence", "compared_with", "origin"):
        event["data"].pop(name, None)
    return msgspec.json.encode(event)


def ended_by_silence(value: bytes, seconds: float) -> bytes:
    """The end of an episode whose whole partition has fallen silent, as its worker would say it if it were heard from.

    Its id follows from the episode's, so that whoever says it again says the same.
    """
    event: dict[str, Any] = msgspec.json.decode(value)
    data = event["data"]
    event |= {"id": f"{data['episode']['id']}.silence", "type": f"nilometer.alert.{CLOSED}"}
    for name in ("evidence", "compared_with", "origin", "verdict"):
        data.pop(name, None)
    numbers: dict[str, Any] = {"threshold": None, "p_value": None, "e_value": None, "score": data["episode"].get("max_score")}
    data |= numbers | {
        "phase": CLOSED,
        "reasons": [f"the episode is over: nothing has come to its whole partition for {seconds:,.0f} s, by the relay's clock"],
    }
    return msgspec.json.encode(event)
