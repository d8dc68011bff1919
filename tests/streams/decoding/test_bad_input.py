"""Whatever is thrown at a worker: it goes to the dead letters with its reason, nothing else is lost, and the worker goes on."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from config.load import load
from streams.app import assemble
from streams.engine import run
from streams.topic_settings import create_topics
from streams.transport.broker import Broker
from streams.transport.tail import MemoryLogs
from tests.streams.apps import until
from tests.streams.live import at_rest

GOOD = {
    "sensor.readings": ("sensor_id", {"sensor_id": "k", "at": 1000, "value": 1.0}),
    "card.transactions": ("card_id", {"card_id": "k", "transaction_id": "t", "at": "2024-01-01T00:00:00Z", "amount": "12.30"}),
    "employee.postings": ("employee_id", {"employee_id": "k", "at": 1000, "amount": 99.5}),
    "model.errors": ("source_id", {"source_id": "k", "at": 1000, "error": 0.5, "hardness": 1.0}),
}
MEASURED = {"sensor.readings": "value", "card.transactions": "amount", "employee.postings": "amount", "model.errors": "error"}


def rubbish(topic):
    """(key, value) of records that cannot be folded."""
    name, good = GOOD[topic]
    measured = MEASURED[topic]

    def changed(**more):
        return b"k", msgspec.json.encode({**good, **more})

    yield b"k", None
    yield b"k", b""
    yield b"k", b"\x00\xff\xfe"
    yield b"k", b"{"
    yield b"k", b"[]"
    yield b"k", b'"text"'
    yield b"k", b"[" * 5_000
    yield b"k", b"x" * 1_040_000
    yield b"k", msgspec.json.encode({field: value for field, value in good.items() if field != name})
    yield b"k", msgspec.json.encode({field: value for field, value in good.items() if field != "at"})
    yield b"k", msgspec.json.encode({field: value for field, value in good.items() if field != measured})
    yield changed(**{measured: True})
    yield changed(**{measured: {"a": 1}})
    yield changed(**{measured: None})
    for token in (b"NaN", b"Infinity", b"1e999"):
        yield (
            b"k",
            msgspec.json.encode({**good, measured: 0}).replace(b'"%s":0' % measured.encode(), b'"%s":%s' % (measured.encode(), token)),
        )
    yield changed(**{measured: 1e300})
    yield changed(**{measured: -1e300})
    yield changed(at=-1)
    yield changed(at="1969-12-31T23:59:59Z")
    yield changed(at="2999-01-01T00:00:00Z")
    yield changed(at=1e300)
    yield changed(at="yesterday")
    yield changed(v=2)
    yield changed(**{name: ""})
    yield changed(**{name: 7})
    yield changed(**{name: "another key"})
    yield None, msgspec.json.encode(good)


@pytest.mark.parametrize("topic", GOOD)
def test_rubbish_goes_to_the_dead_letters_and_the_rest_is_folded(topic):
    settings = load(None, overrides={"streams.partitions": 1}, environment={})
    broker = Broker.named(f"rubbish-{topic}")
    create_topics(broker.create_topic, settings, settings.streams.enabled)
    pipeline = assemble(settings, broker_url=f"memory://{broker.name}", logs=MemoryLogs(broker))
    sent = []

    async def feed():
        _, good = GOOD[topic]
        for number, (key, value) in enumerate(rubbish(topic)):
            sent.append((broker.produce(topic, key, value, partition=0).offset, key, value))
            later = {**good, "at": 2000 + number} | ({"transaction_id": f"t{number}"} if "transaction_id" in good else {})
            broker.produce(topic, b"k", msgspec.json.encode(later), partition=0)
        watcher = next(w for w in pipeline.watchers.values() if w.definition.partition(0).topic == topic)
        await until(lambda: watcher.partitions and watcher.partitions[0].next == broker.end_offset(topic, 0) and at_rest(watcher))
        assert watcher.partitions[0].counts.events == len(sent)

    asyncio.run(run(pipeline.app, feed()))
    letters = broker.read("dead-letters", 0)
    assert [int(dict(letter.headers)["nilometer-offset"]) for letter in letters] == [offset for offset, _, _ in sent]
    for letter, (_, key, value) in zip(letters, sent, strict=True):
        assert letter.key == key
        assert letter.value == (value if value is None else value[:900_000])
        reason = dict(letter.headers)["nilometer-reason"].decode()
        assert len(reason) > 10
    Broker.forget(broker.name)


def test_a_bad_reading_of_a_frame_is_named_by_its_index_and_the_others_are_folded():
    settings = load(None, overrides={"streams.partitions": 1}, environment={})
    broker = Broker.named("frames")
    create_topics(broker.create_topic, settings, settings.streams.enabled)
    pipeline = assemble(settings, broker_url="memory://frames", logs=MemoryLogs(broker))
    frame = b'{"sensor_id":"k","at":0,"step":0.5,"values":[1,2,null,"x",5,1e300]}'

    async def feed():
        broker.produce("sensor.readings", b"k", frame)
        watcher = pipeline.watchers["sensors"]
        await until(lambda: watcher.partitions and watcher.partitions[0].next == 1 and at_rest(watcher))
        assert watcher.partitions[0].counts.events == 3

    asyncio.run(run(pipeline.app, feed()))
    (letter,) = broker.read("dead-letters", 0)
    assert letter.value == frame
    assert dict(letter.headers)["nilometer-indices"] == b"2,3,5"
    Broker.forget("frames")
