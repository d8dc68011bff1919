from __future__ import annotations

import asyncio

import msgspec
import pytest

from streams.durable.references import NoSuchRecord, Records, as_reference, digest

VALUE = msgspec.json.encode({"model": {"version": 7}, "shares": {"hour": 7}})


def fetching(log):
    async def fetch(topic, partition, offset):
        return log.get((topic, partition, offset))

    return fetch


def test_inputs_by_reference_become_what_they_name_and_others_stay():
    records = Records()
    reference = records.put("nilometer.models.cards", 0, 3, VALUE)
    told = msgspec.json.decode(msgspec.json.encode({"model": reference.plain(), "population": {"n": 3, "mean": 1.0}}))
    assert records.resolved(told) == {"model": {"version": 7}, "population": {"n": 3, "mean": 1.0}}
    assert as_reference(told["model"]) == reference
    assert as_reference(told["population"]) is None


def test_what_is_not_held_is_fetched_and_must_be_what_it_was():
    told = {"model": Records().put("models", 0, 3, VALUE).plain()}
    for log, problem in (({}, "is gone"), ({("models", 0, 3): VALUE + b" "}, "is another record")):
        with pytest.raises(NoSuchRecord, match=problem):
            asyncio.run(Records(fetching(log)).fetch(told))
    records = Records(fetching({("models", 0, 3): VALUE}))
    with pytest.raises(NoSuchRecord, match="has not been read"):
        records.resolved(told)
    asyncio.run(records.fetch(told))
    assert records.resolved(told) == {"model": {"version": 7}}


def test_only_the_newest_are_held():
    records = Records(keep=2)
    references = [records.put("models", 0, offset, VALUE) for offset in range(3)]
    with pytest.raises(NoSuchRecord):
        records.resolved({"model": references[0].plain()})
    assert records.resolved({"model": references[2].plain()})
    assert digest(VALUE) == references[0].digest
