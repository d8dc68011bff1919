"""Employees' limits: read, adopted at cuts, from a topic and from a file."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from streams.agents.limits import AT_ANY_TIME, of_file, read
from streams.agents.pending import Pending, keep_reading
from streams.transport.log import Record


def record(offset=0, *, key=b"e", timestamp=10**12, tombstone=False, **fields):
    value = None if tombstone else msgspec.json.encode(fields)
    return Record("employee.limits", 0, offset, timestamp, key, value, ())


def test_limits_are_read_as_a_posting_writes_amounts():
    found = read(record(7, limit="5000.00", approval_limit=100, at=1000.0), 2, 60.0)
    assert (found.offset, found.at) == (7, 1_000_000_000)
    assert found.item == {"key": "e", "limit": 500_000, "approval_limit": 10_000, "at": "1970-01-01T00:16:40Z"}
    assert read(record(limit=None, approval_limit=12.5), 2, 60.0).item == {"key": "e", "limit": None, "approval_limit": 1_250}


def test_a_tombstone_takes_limits_away_at_once():
    found = read(record(3, tombstone=True), 2, 60.0)
    assert (found.at, found.item) == (AT_ANY_TIME, {"key": "e", "limit": None, "approval_limit": None})


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"limit": "many"}, "limit = 'many': wanted a decimal number"),
        ({"limit": 0}, "limit = 0: wanted an amount above 0"),
        ({"approval_limit": -3}, "approval_limit = -3: wanted an amount above 0"),
        ({"approval_limit": 1.234}, "more decimals than the currency's 2"),
        ({"limit": 1, "at": 2e9}, "ahead of its record"),
        ({"limit": 1, "at": "noon"}, "at"),
        ({"limit": 1, "at": 1e300}, "not a time"),
        ({"limit": [1]}, "limit"),
        ({"limit": 1, "v": 2}, "2"),
        ({"limit": 1, "key": None}, "the record has no key"),
        ({"limit": 1, "key": b"\xff"}, "the key is no text"),
    ],
)
def test_what_is_no_limit_says_what_was_wanted(fields, says):
    with pytest.raises(ValueError, match=says):
        read(record(timestamp=1_000_000, **fields), 2, 60.0)


def test_a_bad_record_is_refused_and_holds_nothing_up():
    refused = []

    async def told():
        yield record(0, limit="many")
        yield record(1, limit=10)

    async def refuse(letter):
        refused.append((letter.topic, letter.offset))

    pending = Pending()
    asyncio.run(keep_reading(told(), pending, "employee.limits", lambda each: read(each, 2, 60.0), refuse))
    assert refused == [("employee.limits", 0)]
    assert pending.due(0)[1] == [{"key": "e", "limit": 1_000, "approval_limit": None}]


def test_a_file_says_the_same_as_json_lines_and_as_csv(tmp_path):
    lines, table = tmp_path / "limits.jsonl", tmp_path / "limits.csv"
    lines.write_text(
        '{"employee_id": "e", "limit": 5000, "at": "2026-01-01T00:00:00Z"}\n\n{"employee_id": "f", "approval_limit": "99.50"}\n'
    )
    table.write_text("employee_id,limit,approval_limit,at\ne,5000,,2026-01-01T00:00:00Z\nf,,99.50,\n")
    found = list(of_file(lines, 2))
    assert found == list(of_file(table, 2))
    assert [each.item["limit"] for each in found] == [500_000, None]
    assert [each.at for each in found] == [1_767_225_600_000_000, AT_ANY_TIME]


@pytest.mark.parametrize("row", ['{"limit": 5}', "[]", "nonsense", '{"employee_id": "e", "limit": "x"}'])
def test_a_bad_line_of_a_file_is_named(row, tmp_path):
    file = tmp_path / "limits.jsonl"
    file.write_text(row + "\n")
    with pytest.raises(ValueError, match=r"limits.jsonl, row 1: "):
        list(of_file(file, 2))
