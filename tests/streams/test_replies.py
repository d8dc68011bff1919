from __future__ import annotations

import asyncio

import msgspec
import pyarrow.parquet as pq
import pytest

from config.load import ConfigError, load
from streams import topics
from streams.app import assemble
from streams.configured import definition
from streams.engine import run
from streams.replies import CORRELATION, LONGEST_CORRELATION, REPLY_TO
from streams.simulators.cards import simulate_cards
from streams.simulators.layout import table
from streams.topic_settings import create_topics
from streams.transport.broker import Broker
from streams.transport.faults import Fault
from streams.transport.tail import MemoryLogs
from tests.streams.apps import until
from tests.streams.chunks import chunk_of
from tests.streams.durable.test_crash_is_invisible import Scene, crash

START = 1_700_000_000
ASKS = ((REPLY_TO, b"answers"),)


def settings_with(**more):
    allowed = {"cards.reply_topics": ("answers", "others")}
    return load(
        None, environment={}, overrides={"streams.enabled": ("cards",), "streams.partitions": 1, "cards.epsilon": 0.01, **allowed, **more}
    )


def payment(i, **more):
    return {"card_id": f"card {i % 3}", "transaction_id": f"t{i}", "at": START + 600 * i, "amount_minor": 1_000 + 7 * (i % 50), **more}


@pytest.fixture(scope="module")
def talk():
    """What was asked and answered: 200 plain payments, then a few of other kinds."""
    settings, name = settings_with(), "replies"
    broker = Broker.named(name)
    create_topics(broker.create_topic, settings, settings.streams.enabled)
    pipeline = assemble(settings, broker_url=f"memory://{name}", logs=MemoryLogs(broker))
    sample = pipeline.metrics.registry.get_sample_value

    def ask(value, *headers):
        key = b"card 1" if isinstance(value, bytes) else value["card_id"].encode()
        broker.produce(topics.source("cards"), key, value if isinstance(value, bytes) else msgspec.json.encode(value), headers=headers)

    async def feed():
        for i in range(200):
            ask(payment(i), *(ASKS if i == 150 else ()))
        ask(payment(201, amount_minor=9_000_000), *ASKS, (CORRELATION, b"large"))
        ask(payment(201, amount_minor=9_000_000), *ASKS, (CORRELATION, b"again"))
        ask(payment(3, transaction_id="t-late"), (REPLY_TO, b"others"), (CORRELATION, b"late"))
        ask(b"{}", *ASKS, (CORRELATION, b"\xff"))
        ask(payment(202), (REPLY_TO, b"elsewhere"), (CORRELATION, b"not allowed"))
        ask(payment(203), *ASKS, (CORRELATION, b"x" * (LONGEST_CORRELATION + 1)))
        ask(payment(204), (REPLY_TO, None))
        ask(payment(205), ("another", b"header"))
        folds = pipeline.watchers["cards"].partitions
        await until(lambda: folds and all(part.next == broker.end_offset(part.topic, number) for number, part in folds.items()))
        await until(lambda: sample("nilometer_replies_total", {"stream": "cards", "outcome": "refused"}) == 3)
        await until(lambda: sum(1 for _ in replies(broker, "answers")) == 4)

    try:
        asyncio.run(run(pipeline.app, feed()))
        many = settings.streams.partitions
        rows = [msgspec.json.decode(r.value) for number in range(many) for r in broker.read(topics.scores("cards"), number)]
        answers = {dict(r.headers).get(CORRELATION): r for topic in ("answers", "others") for r in replies(broker, topic)}
        yield answers, rows, sample("nilometer_replies_total", {"stream": "cards", "outcome": "sent"})
    finally:
        pipeline.executor.shutdown()
        Broker.forget(name)


def replies(broker, topic):
    for number in sorted(broker.partitions_for_topic(topic)):
        yield from broker.read(topic, number)


def test_who_asks_gets_the_verdict_of_the_score_log(talk):
    answers, rows, _ = talk
    told = msgspec.json.decode(answers[None].value)
    row = next(row for row in rows if row["partition"] == told["origin"]["partition"] and told["origin"]["offset"] in row["offset"])
    place = row["offset"].index(told["origin"]["offset"])
    assert (told["transaction_id"], told["key"], answers[None].key) == ("t150", "card 0", b"card 0")
    assert told["origin"]["topic"] == "card.transactions"
    for name in ("rule", "decision", "score", "threshold", "p_value", "unusualness"):
        assert told[name] == row[name][place]
    assert told["decision"] == "passed"
    assert told["fraud_probability"] is told["model_version"] is None
    assert "reasons" not in told


def test_an_alerting_transaction_is_answered_with_reasons(talk):
    told = msgspec.json.decode(talk[0][b"large"].value)
    assert (told["decision"], told["rule"], told["not_ready"]) == ("alert", "epsilon", False)
    assert told["p_value"] <= 0.01
    assert told["reasons"][1].startswith("90,000.00, ")


def test_what_has_no_verdict_is_answered_and_says_why(talk):
    again, late, broken = (msgspec.json.decode(talk[0][name].value) for name in (b"again", b"late", b"\xff"))
    assert (again["decision"], again["reason"]) == ("not judged", "repeated: this event has been folded before")
    assert late["decision"] == "not judged"
    assert late["reason"].startswith("late")
    assert late["score"] is None
    assert broken["decision"] == "unreadable"
    assert "card_id" in broken["reason"]


def test_only_allowed_topics_are_answered_and_others_are_counted(talk):
    answers, _, sent = talk
    assert set(answers) == {None, b"large", b"again", b"late", b"\xff"}
    assert sent == 5


def test_records_without_headers_are_never_looked_at_for_them():
    what = definition("cards", settings_with())
    chunk = chunk_of([(b"card 1", msgspec.json.encode(payment(1)))])
    assert what.replies.answer("card.transactions", chunk, None, None) == ([], [])


@pytest.mark.parametrize("name", ["alerts.cards", "card.transactions", "nilometer.cuts.cards", "a b", "", "dead-letters"])
def test_what_is_ours_can_be_no_reply_topic(name):
    with pytest.raises(ConfigError, match="reply_topics"):
        settings_with(**{"cards.reply_topics": (name,)})


@pytest.mark.parametrize(
    "fault",
    [Fault("crash after", "produce", skip=9), Fault("crash before", "commit", skip=2), Fault("unanswered", "produce", skip=30)],
    ids=lambda fault: f"{fault.kind} {fault.operation}",
)
def test_after_a_crash_whoever_asked_is_answered_once_more_at_most_and_in_the_same_words(tmp_path, fault):
    file = tmp_path / "cards.parquet"
    pq.write_table(table(simulate_cards(cards=20, days=60, seed=2)), file)
    more = {"cards.scores": True, "cards.epsilon": 0.01, "cards.reply_topics": ("answers",)}
    scene = Scene("cards", file, more, headers=lambda i: (*ASKS, (CORRELATION, b"%d" % i)) if i % 3 == 0 else ())

    async def whole():
        try:
            await crash(scene, fault, len(scene.records) // 3, zombie=True)
            said = list(replies(scene.broker, "answers"))
            scene.check(tmp_path / "out")
            return said
        finally:
            await scene.end()

    said = asyncio.run(whole())
    answers: dict[bytes, set[bytes]] = {}
    for record in said:
        answers.setdefault(dict(record.headers)[CORRELATION], set()).add(record.value)
    assert sorted(map(int, answers)) == list(range(0, len(scene.records), 3))
    assert all(len(same) == 1 for same in answers.values())
