from __future__ import annotations

import asyncio

import msgspec

from detectors.benford.detector import BenfordDetector
from streams.agents.population import keep_population, merged

DETECTOR = BenfordDetector()


def heard(records, owns_first=True):
    """What a worker tells and adopts when it reads these records."""
    told, adopted = [], []

    async def main():
        async def log():
            for record in records:
                if record is None:
                    await asyncio.sleep(0.2)
                    continue
                yield msgspec.json.encode(record)
            await asyncio.sleep(0.2)

        async def tell(value):
            told.append(msgspec.json.decode(value))

        await keep_population(DETECTOR, log(), tell, adopted.append, lambda: owns_first)

    asyncio.run(main())
    return told, adopted


def of(partition, n, mean):
    return {"partition": partition, "hour": 0, "contribution": {"n": n, "mean": mean, "m2": 1.0}}


def test_the_latest_of_every_partition_is_merged_in_order_of_partitions():
    told, _ = heard([of(1, 10, 2.0), of(0, 5, 3.0), of(1, 20, 2.5)])
    latest = [{"n": 5, "mean": 3.0, "m2": 1.0}, {"n": 20, "mean": 2.5, "m2": 1.0}]
    assert told == [{"inputs": merged(DETECTOR, latest)}]


def test_only_the_owner_of_partition_0_merges_and_everybody_adopts():
    inputs = {"population": {"n": 3, "mean": 1.0, "m2": 0.5}}
    told, adopted = heard([of(0, 5, 3.0), {"inputs": inputs}], owns_first=False)
    assert told == []
    assert adopted == [inputs]


def test_nothing_new_is_not_told_again():
    assert len(heard([of(0, 5, 3.0), None, of(0, 5, 3.0), None, of(0, 6, 3.0)])[0]) == 2


def test_what_was_merged_before_a_restart_is_not_merged_again():
    inputs = merged(DETECTOR, [{"n": 5, "mean": 3.0, "m2": 1.0}])
    told, adopted = heard([of(0, 4, 3.0), of(0, 5, 3.0), {"inputs": inputs}])
    assert told == []
    assert adopted == [inputs]


def test_nothing_given_makes_no_inputs():
    assert merged(DETECTOR, [None, None]) is None
