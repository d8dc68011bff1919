"""What cannot be read stops its partition, loudly and with a way out, and no other."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaError
from faust.types import TP

from streams.transport.kafka import Consumer, ConsumerThread
from tests.streams.transport.batches import Record, batch, read, with_crc

GOOD, BAD = TopicPartition("source", 0), TopicPartition("source", 1)


def refusal(data: bytes, **limits: int) -> KafkaError:
    """What our reader says of a fetch."""
    with pytest.raises(KafkaError) as found:
        read(data, **limits)
    return found.value


def with_codec(number: int) -> bytes:
    whole = bytearray(batch([Record(0, value=b"x")]))
    whole[22] = number
    return with_crc(bytes(whole))


REFUSED = {
    "a bomb": lambda: refusal(batch([Record(0, value=bytes(3 << 20))], codec=4), largest=1 << 20),
    "a checksum that is not right": lambda: refusal(batch([Record(0)])[:-1] + b"\x55"),
    "a length below any batch's": lambda: refusal(bytes(100)),
    "a codec that is none": lambda: refusal(with_codec(7)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_partitions_are_read_on_beside_one_that_cannot_be(name: str) -> None:
    problem = REFUSED[name]()

    class Fetcher:
        _records: dict[TopicPartition, Any] = {GOOD: None, BAD: None}  # noqa: RUF012  # as aiokafka's has it

        async def fetched_records(self, tps: set[TopicPartition], timeout: float) -> dict[TopicPartition, list[Any]]:
            (tp,) = tps
            if tp == BAD:
                raise problem
            return {tp: ["what there is"]}

    assignment = SimpleNamespace(state_value=lambda tp: SimpleNamespace(has_valid_position=True, position=3))
    thread: Any = SimpleNamespace(consumer=SimpleNamespace(chunks=SimpleNamespace(topics=())))
    fetched, troubles = asyncio.run(ConsumerThread._drain(thread, Fetcher(), assignment, {TP(*GOOD), TP(*BAD)}))
    assert fetched == {TP(*GOOD): ["what there is"]}
    assert [(trouble.tp, trouble.problem) for trouble in troubles] == [(TP(*BAD), problem)]


def test_it_is_paused_and_a_person_is_told_where_it_stands() -> None:
    paused: list[TP] = []
    told: list[tuple[TP, str]] = []
    consumer: Any = SimpleNamespace(
        _wanted={TP(*BAD): 4711},
        chunks=SimpleNamespace(unreadable=lambda tp, lost: told.append((tp, str(lost)))),
        pause_partitions=paused.extend,
    )
    Consumer._set_aside(consumer, TP(*BAD), CorruptRecordException("refused as a bomb"))
    assert paused == [TP(*BAD)]
    ((tp, words),) = told
    assert tp == TP(*BAD)
    assert "source/1: cannot read on at offset 4711: what stands there is damaged" in words
    assert "refused as a bomb" in words
