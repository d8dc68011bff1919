"""On Apache Kafka: who asks for a verdict finds it in the topic that the record named, with the id that it gave."""

from __future__ import annotations

import time

import msgspec
import pytest
from kafka import KafkaConsumer, KafkaProducer

from streams.replies import CORRELATION, REPLY_TO
from tests.kafka.commands import installation, working

START = 1_700_000_000
ASKED = 40


def payment(i):
    value = {"card_id": f"card {i % 7}", "transaction_id": f"t{i}", "at": START + 60 * i, "amount": "12.50"}
    headers = [(REPLY_TO, b"answers"), (CORRELATION, b"question %d" % i)] if i < ASKED else [("trace", b"x")] if i % 2 else []
    return value["card_id"].encode(), msgspec.json.encode(value), headers


@pytest.mark.parametrize("fetch", ["record_batches", "records"])
def test_a_transaction_that_asks_is_answered(kafka, fetch):
    more = {"NILOMETER_CARDS__REPLY_TOPICS": '["answers"]', "NILOMETER_KAFKA__FETCH": fetch}
    with installation(kafka, "cards", **more) as environment:
        prefix = environment["NILOMETER_KAFKA__PREFIX"]
        with working(environment):
            producer = KafkaProducer(bootstrap_servers=kafka)
            for i in range(ASKED + 20):
                key, value, headers = payment(i)
                producer.send(prefix + "card.transactions", value, key=key, headers=headers)
            producer.close()
            answers, end = {}, time.monotonic() + 60
            reader = KafkaConsumer(prefix + "answers", bootstrap_servers=kafka, auto_offset_reset="earliest")
            while len(answers) < ASKED and time.monotonic() < end:
                for records in reader.poll(timeout_ms=200).values():
                    answers |= {dict(record.headers)[CORRELATION]: record for record in records}
            reader.close()
    assert set(answers) == {b"question %d" % i for i in range(ASKED)}
    for i in range(ASKED):
        told = msgspec.json.decode(answers[b"question %d" % i].value)
        assert (told["transaction_id"], told["key"], told["decision"]) == (f"t{i}", f"card {i % 7}", "passed")
        assert answers[b"question %d" % i].key == f"card {i % 7}".encode()
