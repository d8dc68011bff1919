"""Employees' limits: read from `employee.limits`, adopted by the partition that folds the employee's postings at its next cut.

The topic is compacted and keyed by employee. A record is ``{"limit", "approval_limit", "at"}``, amounts in major units as in a posting;
either limit may be missing, and without `at` it takes effect at once. A later record of an employee takes the place of an earlier one as
a whole, and a tombstone (no value) takes his limits away.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from detectors.wording import instant
from streams.agents.pending import Waiting
from streams.decoding import amounts, times
from streams.decoding.refusals import Refused
from streams.decoding.times import Moment
from streams.transport.log import Record

AT_ONCE = 5_000  # limits in one cut: some hundred kilobytes
AT_ANY_TIME = -(2**63)


class EmployeeLimits(msgspec.Struct):
    """An employee's limits."""

    limit: msgspec.Raw = msgspec.Raw()
    approval_limit: msgspec.Raw = msgspec.Raw()
    at: float | Moment | None = None
    v: Literal[1] = 1


_decode = msgspec.json.Decoder(EmployeeLimits).decode


def read(record: Record, exponent: int, future: float) -> Waiting:
    """One record of the topic; amounts become minor units of a currency with so many decimals.

    Raises
    ------
    ValueError
        If it cannot be read, or says a time more than `future` seconds ahead of its own Kafka timestamp: it would hold up all others.
    """
    if not record.key:
        raise ValueError("the record has no key: wanted the employee_id")
    try:
        key = record.key.decode()
    except UnicodeDecodeError as problem:
        raise ValueError(f"the key is no text: {problem}") from problem
    found = waiting(key, record.value, record.offset, exponent)
    if record.timestamp_ms >= 0 and found.at > record.timestamp_ms * 1000 + int(future * 1e6):
        raise ValueError(f"at = {instant(found.at)}: more than {future:,.0f} s ahead of its record (records.future_seconds)")
    return found


def waiting(key: str, value: bytes | None, offset: int, exponent: int) -> Waiting:
    """What an employee's record says, None being a tombstone. Raises ValueError if it cannot be read."""
    if value is None:
        return Waiting(offset, AT_ANY_TIME, {"key": key, "limit": None, "approval_limit": None})
    try:
        told = _decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise ValueError(str(problem)) from problem
    at = AT_ANY_TIME if told.at is None else int(times.of_mixed([told.at])[0])
    if told.at is not None and at == times.NO_TIME:
        raise ValueError(f"at = {told.at}: not a time")
    item: dict[str, Any] = {"key": key}
    for name, raw in (("limit", bytes(told.limit)), ("approval_limit", bytes(told.approval_limit))):
        item[name] = _minor(raw.decode(), exponent, name)
    if told.at is not None:
        item["at"] = instant(at)
    return Waiting(offset, at, item)


def of_file(path: Path, exponent: int) -> Iterator[Waiting]:
    """The limits in a file, in its order: JSON lines, or CSV with a header; `employee_id` beside what the topic's records have.

    Raises
    ------
    ValueError
        If a line cannot be read; it names the line.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows: Iterator[Any] = csv.DictReader(file) if path.suffix == ".csv" else (line for line in file if line.strip())
        for number, row in enumerate(rows):
            try:
                told = {name: text for name, text in row.items() if name and text} if isinstance(row, dict) else msgspec.json.decode(row)
                if not isinstance(told, dict) or not isinstance(told.get("employee_id"), str) or not told["employee_id"]:
                    raise ValueError("wanted an employee_id")
                if isinstance(row, dict) and "at" in told:
                    told["at"] = _time(told["at"])
                yield waiting(told.pop("employee_id"), msgspec.json.encode(told), number, exponent)
            except ValueError as problem:
                raise ValueError(f"{path}, row {number + 1}: {problem}") from problem


def _time(text: str) -> float | str:
    """A CSV's time: seconds since 1970, or RFC 3339."""
    try:
        return float(text)
    except ValueError:
        return text


def _minor(text: str, exponent: int, name: str) -> int | None:
    if text in ("", "null"):
        return None
    try:
        amount = amounts.exact(text[1:-1] if text[:1] == '"' else text, exponent, name)
    except Refused as refused:
        raise ValueError(str(refused)) from refused
    if amount <= 0:
        raise ValueError(f"{name} = {text}: wanted an amount above 0, or none")
    return amount
