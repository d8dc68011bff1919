"""Avro in the source topics, against a small registry in this process: the same verdicts as JSON, and a letter for what cannot be read."""

from __future__ import annotations

import asyncio
import io
import json
import struct
import threading
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.load import ConfigError, load
from streams import topics
from streams.app import assemble
from streams.configured import definition
from streams.decoding import avro
from streams.decoding.registry import NoSchema, Registry, Unanswered
from streams.engine import run
from streams.topic_settings import create_topics
from streams.transport.broker import Broker
from streams.transport.tail import MemoryLogs
from tests.streams.chunks import chunk_of
from tests.streams.live import at_rest

MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 15, "scale": 2}
READING = {
    "type": "record", "name": "Reading",
    "fields": [{"name": "sensor_id", "type": "string"}, {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
               {"name": "value", "type": ["null", "double"], "default": None}],
}  # fmt: skip
POSTING = {
    "type": "record", "name": "Posting", "namespace": "books",
    "fields": [{"name": "employee_id", "type": "string"}, {"name": "at", "type": "double"}, {"name": "amount", "type": "books.Money"}],
}  # fmt: skip
MONEY_RECORD = {"type": "fixed", "name": "Money", "namespace": "books", "size": 8, "logicalType": "decimal", "precision": 15, "scale": 2}
ANSWERS = {
    "/schemas/ids/1": {"schema": json.dumps(READING)},
    "/schemas/ids/2": {"schema": json.dumps(POSTING), "references": [{"name": "books.Money", "subject": "money/value", "version": 3}]},
    "/subjects/money%2Fvalue/versions/3": {"schema": json.dumps(MONEY_RECORD)},
    "/schemas/ids/3": {"schema": "syntax = 'proto3';", "schemaType": "PROTOBUF"},
    "/schemas/ids/4": {"schema": '"string"'},
    "/schemas/ids/5": {"schema": '{"type": "recor"}'},
}
LOGIN = "ann:open sesame"


class Answering(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []
    failing = False

    def do_GET(self):
        Answering.asked.append(self.path)
        known = self.headers.get("Authorization") == "Basic YW5uOm9wZW4gc2VzYW1l"
        code = 503 if Answering.failing else 401 if not known else 200 if self.path in ANSWERS else 404
        body = json.dumps(ANSWERS.get(self.path, {"error_code": 40403})).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


@pytest.fixture(scope="module")
def registry():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def settings_with(url, **more):
    environment = {
        "NILOMETER_KAFKA__VALUE_FORMAT": "avro",
        "NILOMETER_KAFKA__SCHEMA_REGISTRY_URL": url,
        "NILOMETER_KAFKA__SCHEMA_REGISTRY_LOGIN": LOGIN,
        "NILOMETER_STREAMS__PARTITIONS": "1",
    }
    return load(environment={**environment, **more})


def framed(number, schema, record, names=None):
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema, dict(names or {})), record)
    return struct.pack(">bI", 0, number) + body.getvalue()


def reading(sensor, second, value):
    return framed(1, READING, {"sensor_id": sensor, "at": datetime.fromtimestamp(1_700_000_000 + second, UTC), "value": value})


def money():
    names = {}
    fastavro.parse_schema(MONEY_RECORD, names)
    return names


def test_readings_are_what_they_would_be_in_json(registry):
    stream = definition("sensors", settings_with(registry))
    plain = definition("sensors", load(environment={}))
    values = [(b"p", reading("p", i, i / 7)) for i in range(20)]
    texts = [(b"p", json.dumps({"sensor_id": "p", "at": 1_700_000_000 + i, "value": i / 7}).encode()) for i in range(20)]
    got, wanted = stream.decode(chunk_of(values)), plain.decode(chunk_of(texts))
    assert got.dead == []
    assert got.columns.at.tolist() == wanted.columns.at.tolist()
    assert got.columns.keys.tolist() == wanted.columns.keys.tolist()
    assert got.columns.fields["value"].tolist() == wanted.columns.fields["value"].tolist()
    mixed = stream.decode(chunk_of([values[0], texts[1], values[2]]))  # our own postings of cards are JSON
    assert mixed.columns.fields["value"].tolist() == wanted.columns.fields["value"][:3].tolist()


def test_no_digit_of_an_amount_is_lost_and_references_are_followed(registry):
    stream = definition("employees", settings_with(registry))
    amounts = ["12.30", "0.01", "7036874417766.41"]
    values = [
        (b"e", framed(2, POSTING, {"employee_id": "e", "at": 1_700_000_000.5, "amount": Decimal(text)}, money())) for text in amounts
    ]  # fmt: skip
    decoded = stream.decode(chunk_of(values))
    assert decoded.dead == []
    assert decoded.columns.fields["amount"].tolist() == [1230, 1, 703_687_441_776_641]
    assert decoded.columns.at[0] == 1_700_000_000_500_000


def test_what_cannot_be_read_is_a_letter_with_its_original_bytes(registry):
    stream = definition("sensors", settings_with(registry))
    good = reading("p", 1, 1.5)
    bad = {
        struct.pack(">bI", 0, 999) + b"x": "the schema registry knows no schema 999",
        struct.pack(">bI", 0, 3) + b"x": "schema 3 is PROTOBUF: wanted AVRO",
        struct.pack(">bI", 0, 5) + b"x": "schema 5 cannot be read",
        struct.pack(">bI", 0, 4) + b"\x02a": "the value is no Avro of schema 4 (ValueError: it is no record)",
        good[:-3]: "the value is no Avro of schema 1 (",
        good + b"!": "the value is no Avro of schema 1 (ValueError: 1 bytes are left over)",
        b"\0\0": "the value begins like Avro and ends after 2 bytes",
        reading("p", 2, None): "value is null: wanted a finite number",
        reading("q", 2, 1.0): "the Kafka key",
        reading("p", 2, float("nan")): "value is null",
        b"{}": "sensor_id is missing",
    }
    decoded = stream.decode(chunk_of([(b"p", good), *((b"p", value) for value in bad), (b"p", None), (b"p", reading("p", 3, 2.5))]))
    assert decoded.columns.fields["value"].tolist() == [1.5, 2.5]
    letters = {letter.value: letter.reason for letter in decoded.dead}
    assert letters.keys() == {*bad, None}
    for value, reason in bad.items():
        assert letters[value].startswith(reason), (letters[value], reason)


@given(tail=st.binary(max_size=40), number=st.sampled_from([1, 2, 4]))
def test_any_bytes_are_read_or_refused(registry, tail, number):
    value = struct.pack(">bI", 0, number) + tail
    decoded = definition("sensors", settings_with(registry)).decode(chunk_of([(b"p", value)]))
    assert len(decoded.dead) + len(decoded.columns) == 1
    assert all(letter.value == value for letter in decoded.dead)


def test_a_schema_is_asked_for_once_and_a_wrong_login_is_no_answer(registry):
    known = Registry(settings_with(registry).kafka)
    Answering.asked.clear()
    assert known.schema(1) is known.schema(1)
    assert Answering.asked == ["/schemas/ids/1"]
    with pytest.raises(NoSchema):
        known.schema(77)
    stranger = Registry(settings_with(registry, NILOMETER_KAFKA__SCHEMA_REGISTRY_LOGIN="ann:wrong").kafka)
    with pytest.raises(Unanswered, match="answers 401"):
        stranger.schema(1)


def test_a_worker_waits_for_its_registry_and_then_folds_all(registry, monkeypatch):
    monkeypatch.setattr(avro, "PAUSE_SECONDS", 0.05)
    settings = settings_with(registry, NILOMETER_STREAMS__ENABLED='["sensors"]')
    broker = Broker.named("avro")
    create_topics(broker.create_topic, settings, ["sensors"])
    pipeline = assemble(settings, broker_url="memory://avro", logs=MemoryLogs(broker))
    watcher, source = pipeline.watchers["sensors"], topics.source("sensors")
    Answering.asked.clear()
    Answering.failing = True

    async def feed():
        for i in range(50):
            broker.produce(source, b"p", reading("p", i, float(i)))
        broker.produce(source, b"p", struct.pack(">bI", 0, 999))
        while len(Answering.asked) < 3:
            await asyncio.sleep(0.02)
        assert watcher.position(0) == 0
        assert watcher.building(0)  # it waits, and the watchdog lets it
        Answering.failing = False
        while watcher.position(0) != 51 or not at_rest(watcher):
            await asyncio.sleep(0.02)

    try:
        asyncio.run(run(pipeline.app, feed()))
        assert pipeline.metrics.registry.get_sample_value("nilometer_events_total", {"stream": "sensors"}) == 50
        (letter,) = broker.read(topics.DEAD_LETTERS, 0)
        assert letter.value == struct.pack(">bI", 0, 999)
    finally:
        Answering.failing = False
        pipeline.executor.shutdown()
        Broker.forget("avro")


def test_avro_wants_a_registry():
    with pytest.raises(ConfigError, match="schema_registry_url is empty"):
        load(environment={"NILOMETER_KAFKA__VALUE_FORMAT": "avro"})
