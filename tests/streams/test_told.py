"""What enters and leaves beside the source: people's verdicts, and postings that cards bring about."""

from __future__ import annotations

import asyncio

import msgspec

from config.load import load
from streams import topics
from streams.agents.postings import decimal
from streams.app import assemble
from streams.engine import run
from streams.topic_settings import create_topics
from streams.transport.broker import Broker
from streams.transport.tail import MemoryLogs

START = 1_700_000_000


def settings_with(streams, partitions, **more):
    return load(None, overrides={"streams.enabled": streams, "streams.partitions": partitions, **more}, environment={})


async def until(condition, seconds=60.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def running(name, settings, feed):
    """Run a worker on an embedded broker while `feed(broker, pipeline)` does its work; return the broker."""
    broker = Broker.named(name)
    create_topics(broker.create_topic, settings, settings.streams.enabled)
    pipeline = assemble(settings, broker_url=f"memory://{name}", logs=MemoryLogs(broker))
    try:
        asyncio.run(run(pipeline.app, feed(broker, pipeline)))
    finally:
        pipeline.executor.shutdown()
        Broker.forget(name)
    return broker


def alerts_of(broker, stream):
    found = (record for number in range(2) for record in broker.read(topics.alerts(stream), number))
    return [msgspec.json.decode(record.value)["data"] for record in found]


def test_a_verdict_ends_an_employees_episode_at_the_next_cut():
    settings = settings_with(["employees"], 2, **{"benford.mu": 2.5, "benford.sigma": 0.6, "benford.alpha": 0.2})

    async def feed(broker, pipeline):
        def post(first, count):
            for i in range(first, first + count):
                value = {"employee_id": "e", "at": START + 600 * i, "amount_minor": 90_000 + i}
                broker.produce(topics.source("employees"), b"e", msgspec.json.encode(value))

        post(0, 800)
        await until(lambda: alerts_of(broker, "employees"))
        alert = alerts_of(broker, "employees")[0]
        label = {"stream": "employees", "key": "e", "alert_id": alert["episode"]["id"], "verdict": "cleared", "at": START}
        broker.produce(topics.ALERT_LABELS, b"e", msgspec.json.encode(label))
        broker.produce(topics.ALERT_LABELS, b"e", b'{"no": "verdict"}')
        pending = pipeline.watchers["employees"].offers.waiting["verdicts"]
        await until(lambda: any(each.due(10**18)[1] for each in pending.values()))
        post(800, 30)
        await until(lambda: any(data.get("verdict") == "cleared" for data in alerts_of(broker, "employees")))
        await asyncio.sleep(0.1)

    broker = running("verdict", settings, feed)
    closed = next(data for data in alerts_of(broker, "employees") if "verdict" in data)
    assert closed["phase"] == "closed"
    assert "a person has judged it: cleared" in closed["reasons"][0]
    (letter,) = broker.read(topics.DEAD_LETTERS, 0)
    assert dict(letter.headers)["nilometer-topic"] == b"alert.labels"


def test_a_transaction_of_an_employee_becomes_a_posting_once_with_its_origin():
    settings = settings_with(["cards", "employees"], 2)
    cards = [(f"card {i % 7}", START + 60 * i, 1000 + i, "e" if i % 3 else None) for i in range(90)]
    cards.append(("card 1", START + 6000, -500, "e"))  # a refund
    wanted = sum(employee is not None and amount > 0 for _, _, amount, employee in cards)

    async def feed(broker, pipeline):
        for i, (card, at, amount, employee) in [*enumerate(cards), (89, cards[89])]:  # the last but one is sent twice
            value = {"card_id": card, "transaction_id": f"t{i}", "at": at, "amount_minor": amount, "employee_id": employee}
            broker.produce(topics.source("cards"), card.encode(), msgspec.json.encode(value))
        folds = pipeline.watchers["employees"].partitions
        await until(lambda: sum(part.counts.events for part in folds.values()) == wanted)
        for number in range(2):  # a worker that has crashed says them again
            for record in broker.read(topics.source("employees"), number):
                broker.produce(topics.source("employees"), record.key, record.value, partition=number, headers=record.headers)
        await until(lambda: sum(part.counts.skipped for part in folds.values()) == wanted)
        assert sum(part.counts.events for part in folds.values()) == wanted

    broker = running("postings", settings, feed)
    said = [record for number in range(2) for record in broker.read(topics.source("employees"), number)]
    said.sort(key=lambda record: msgspec.json.decode(record.value)["at"])
    header = dict(said[0].headers)["nilometer-origin"].decode()
    assert header.startswith("card.transactions/")
    assert msgspec.json.decode(said[0].value) == {"employee_id": "e", "at": START + 60.0, "amount": "10.01"}
    assert not list(broker.read(topics.DEAD_LETTERS, 0))


def test_an_origin_that_says_nothing_is_a_dead_letter():
    settings = settings_with(["employees"], 1)

    async def feed(broker, pipeline):
        value = msgspec.json.encode({"employee_id": "e", "at": START, "amount": "9.50"})
        broker.produce(topics.source("employees"), b"e", value, headers=[("nilometer-origin", b"somewhere")])
        broker.produce(topics.source("employees"), b"e", value, headers=[("another", b"x")])
        await until(lambda: list(broker.read(topics.DEAD_LETTERS, 0)))
        await until(lambda: sum(part.counts.events for part in pipeline.watchers["employees"].partitions.values()) == 1)

    broker = running("bad origin", settings, feed)
    (letter,) = broker.read(topics.DEAD_LETTERS, 0)
    assert "wanted card.transactions/partition/offset/index" in dict(letter.headers)["nilometer-reason"].decode()


def test_minor_units_are_written_as_a_person_would():
    assert [decimal(a, 2) for a in (1, 10, 100, 123456)] == ["0.01", "0.10", "1.00", "1234.56"]
