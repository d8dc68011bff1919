"""Readers of logs that may not end because a broker is silent for a while."""

from __future__ import annotations

import asyncio
import logging

import pytest

from streams.transport.broker import Broker
from streams.transport.tail import MemoryLogs, PatientLogs, Whole


class Silent(MemoryLogs):
    """Answers every third time."""

    asked = 0

    def answer(self) -> None:
        self.asked += 1
        if self.asked % 3:
            raise TimeoutError(f"no answer to {self.asked}")

    async def begin(self, topic: str, partition: int) -> int:
        self.answer()
        return await super().begin(topic, partition)

    async def end(self, topic: str, partition: int) -> int:
        self.answer()
        return await super().end(topic, partition)

    async def read_to_end(self, topic: str, partition: int, start: int = 0) -> Whole:
        self.answer()
        return await super().read_to_end(topic, partition, start)


async def some(logs: PatientLogs) -> tuple[int, int, list[bytes | None], bytes | None]:
    tail = logs.tail("topic", 0, 1)
    return (
        await logs.begin("topic", 0),
        await logs.end("topic", 0),
        [record.value for record in (await logs.read_to_end("topic", 0, 1)).records],
        (await anext(tail)).value,
    )


def test_whoever_is_patient_is_answered_in_the_end(caplog: pytest.LogCaptureFixture) -> None:
    broker = Broker("silent")
    broker.create_topic("topic", 1)
    for value in (b"1", b"2"):
        broker.produce("topic", None, value)
    with caplog.at_level(logging.WARNING, "streams.transport.tail"):
        assert asyncio.run(some(PatientLogs(Silent(broker)))) == (0, 2, [b"2"], b"2")
    assert caplog.messages == [f"Asking again: no answer to {number}" for number in (1, 2, 4, 5, 7, 8)]
