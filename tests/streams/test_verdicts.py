from __future__ import annotations

import asyncio

import msgspec
import pytest

from streams.agents.offers import Offers
from streams.agents.pending import AT_ONCE, Pending, keep_reading
from streams.agents.verdicts import read
from streams.transport.log import Record

HOUR = 3600
ID = "0f" * 16


def record(offset=0, *, timestamp=10**12, **fields):
    label = {"stream": "sensors", "key": "pump", "alert_id": ID, "verdict": "confirmed", "at": 1000.0} | fields
    return Record("alert.labels", 0, offset, timestamp, b"pump", msgspec.json.encode(label), ())


def test_a_verdict_is_read_for_its_own_stream_only():
    verdict = read(record(7), "sensors", 60.0)
    assert verdict is not None
    assert (verdict.offset, verdict.at) == (7, 1_000_000_000)
    assert verdict.item == {"key": "pump", "alert_id": ID, "verdict": "confirmed", "at": "1970-01-01T00:16:40Z"}
    assert read(record(), "cards", 60.0) is None


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"stream": "valves"}, "stream"),
        ({"verdict": "perhaps"}, "verdict"),
        ({"alert_id": "not hex"}, "wanted the id of an alert"),
        ({"at": 2e9}, "ahead of its record"),
        ({"at": None}, "at"),
    ],
)
def test_what_is_no_verdict_says_what_was_wanted(fields, says):
    with pytest.raises(ValueError, match=says):
        read(record(timestamp=1_000_000, **fields), "sensors", 60.0)


def test_a_verdict_waits_for_its_time_and_those_behind_it_wait_with_it():
    pending = Pending()
    for offset, at in enumerate([100, 300, 200]):
        pending.add(offset, read(record(offset, at=at), "sensors", 60.0))
    pending.add(3, None)
    assert pending.due(99_000_000) == (0, [])
    through, items = pending.due(250_000_000)
    assert (through, len(items)) == (1, 1)
    assert pending.due(300_000_000)[0] == 4  # everything that has been read, another stream's too
    pending.adopted(through)
    assert len(pending.due(300_000_000)[1]) == 2


def test_one_cut_never_holds_more_than_a_broker_takes():
    pending = Pending()
    for offset in range(AT_ONCE + 5):
        pending.add(offset, read(record(offset), "sensors", 60.0))
    through, items = pending.due(10**15)
    assert (through, len(items)) == (AT_ONCE, AT_ONCE)
    pending.adopted(through)
    assert len(pending.due(10**15)[1]) == 5


def test_a_bad_record_is_refused_and_holds_nothing_up():
    refused = []

    async def told():
        yield record(0, verdict="perhaps")
        yield record(1)

    async def refuse(letter):
        refused.append((letter.topic, letter.offset, letter.reason))

    pending = Pending()
    asyncio.run(keep_reading(told(), pending, "alert.labels", lambda each: read(each, "sensors", 60.0), refuse))
    assert [(topic, offset) for topic, offset, _ in refused] == [("alert.labels", 0)]
    assert "perhaps" in refused[0][2] or "verdict" in refused[0][2]
    assert len(pending.due(10**15)[1]) == 1


def test_a_partition_adopts_at_most_once_an_hour_and_nothing_twice():
    offers, first, later = Offers(), 5 * HOUR * 10**6, 6 * HOUR * 10**6
    offers.offer({"population": {"n": 1}})
    offers.waiting["verdicts"] = {0: Pending()}
    offers.waiting["verdicts"][0].add(0, read(record(0), "sensors", 60.0))
    inputs = offers.due(0, first, {"verdicts": 0})
    assert inputs["population"] == {"n": 1}
    assert inputs["verdicts"]["through"] == 1
    offers.adopted(0, first, inputs)
    offers.offer({"population": {"n": 2}})
    assert offers.due(0, first, {"verdicts": 1}) == {}  # within the hour
    assert offers.due(0, later, {"verdicts": 1}) == {"population": {"n": 2}}
    offers.offer({"model": {"version": 3}})
    assert set(offers.due(0, later, {"verdicts": 1})) == {"population", "model"}
    assert set(offers.due(1, first, {"verdicts": 0})) == {"population", "model"}  # another partition has all of it before it
