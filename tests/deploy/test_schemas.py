"""The published schemas against the code: both ways for what comes in, and all that goes out."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from config.load import load
from streams import topics
from streams.agents import labels, verdicts
from streams.app import assemble
from streams.durable.cut_log import Adoption, Generation, encode
from streams.engine import run
from streams.records import DECODERS
from streams.relay.quiet import Suppression, Suppressions, prolonged
from streams.schemas import all_schemas, written
from streams.simulators.cards import simulate_cards
from streams.simulators.postings import simulate_postings
from streams.simulators.sensors import simulate_sensors
from streams.topic_settings import create_topics
from streams.transport.broker import Broker
from streams.transport.log import Record
from streams.transport.tail import MemoryLogs
from tests.streams.chunks import chunk_of
from tests.streams.live import at_rest

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "schemas"
SCHEMAS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
JUDGES = {name: Draft202012Validator(schema) for name, schema in SCHEMAS.items()}
KEYS = {"sensors": "sensor_id", "cards": "card_id", "employees": "employee_id", "errors": "source_id"}
DEFAULTS = load(environment={"NILOMETER_RECORDS__FUTURE_SECONDS": "1e10"})

# Values of every sort; of numbers those that JSON Schema and we agree on what they are (it takes 1.0 for a whole number).
TEXTS = st.sampled_from(["", "a", "pump 7", "é", "a\x1fb", "x" * 256, "x" * 257, "online", "EUR"])
NUMBERS = st.sampled_from(
    [0, 1, -1, 2, 1.5, -0.25, 12.34, 10**15, 11 * 10**14, -(10**16), 86_400, 86_400.5, 1_700_000_000, 253_402_300_800, 1e300]
)
MOMENTS = st.sampled_from([
    1_700_000_000, 1_700_000_000.25, 0, "2024-01-31T12:00:00Z", "2024-01-31 12:00:00.123+01:00", "2024-01-31t12:00:00z",
    "2024-01-31T12:00:00+0100", "2024-01-31", "2024-01-31T12:00:00", "2024-13-01T00:00:00Z", "2024-01-31T24:00:00Z",
    "2024-01-31T12:00Z", "2024-01-31T12:00:60Z", "2024-01-31T12:00:00+24:00", "yesterday", -1, 10**12,
])  # fmt: skip
AMOUNTS = st.sampled_from([
    "12.30", "0", "-5", "0.00", "1e2", "1E+2", "12.", ".5", "+3", "1,000", " 7", "", "NaN", "0.01", "9e13", 12, 12.3, 0, -7.25, 0.01,
])  # fmt: skip
ODD = st.sampled_from([None, True, False, [], {}, [1, 2], [1.5, "a"], [1, None], [1e16], {"a": 1}])
ANYTHING = st.one_of(TEXTS, NUMBERS, MOMENTS, AMOUNTS, ODD)
LIKELY = {
    "at": MOMENTS, "amount": AMOUNTS, "credit_limit": AMOUNTS, "limit": AMOUNTS, "approval_limit": AMOUNTS,
    "amount_minor": st.sampled_from([1, 1230, 0, -5, 1 << 53, (1 << 53) + 1]), "value": NUMBERS, "error": NUMBERS, "hardness": NUMBERS,
    "step": st.sampled_from([1, 0.5, 0, -1, 86_400, 86_401]), "values": st.lists(st.sampled_from([1, 2.5, -1e15, 1e16]), max_size=4),
    "address_match": st.sampled_from([True, False, 0, 1, 2]), "v": st.sampled_from([1, 1, 1, 2, "1"]),
}  # fmt: skip
SOUND = {
    "sensors": {"sensor_id": "p", "at": 1_700_000_000, "value": 1.5},
    "cards": {"card_id": "c", "transaction_id": "t", "at": 1_700_000_000, "amount": "12.30"},
    "employees": {"employee_id": "e", "at": 1_700_000_000, "amount": "12.30"},
    "errors": {"source_id": "m", "at": 1_700_000_000, "error": 0.5, "hardness": 0.25},
}  # fmt: skip


@st.composite
def records(draw, stream):
    """A sound record, of which some fields are something else, more or less."""
    record = dict(SOUND[stream])
    names = sorted(SCHEMAS[topics.source(stream)]["properties"])
    for name in draw(st.lists(st.sampled_from([*names, "unknown"]), max_size=4, unique=True)):
        value = draw(st.one_of(LIKELY.get(name, TEXTS), LIKELY.get(name, TEXTS), st.none(), ANYTHING))
        record[name] = value
    for name in draw(st.lists(st.sampled_from(names), max_size=2)):
        record.pop(name, None)
    return record


def refused(stream, record):
    """Why the decoder refuses it, None where it does not."""
    key = record.get(KEYS[stream])
    chunk = chunk_of([(key.encode() if isinstance(key, str) else b"?", json.dumps(record).encode())])
    decoded = DECODERS[stream](chunk, DEFAULTS)
    assert bool(decoded.dead) or len(decoded) >= 1
    return decoded.dead[0].reason if decoded.dead else None


def beyond_schemas(stream, record):
    """What no schema can say, and its `$comment` does: bytes of ids, and what the currency makes of an amount."""
    money = [record.get(name) for name in ("amount", "credit_limit", "limit", "approval_limit")]
    if any(isinstance(number, int | float) and abs(number) > 9e13 for number in money):
        return True
    ids = [record.get(name) for name in (KEYS[stream], "transaction_id")]
    return any(isinstance(text, str) and len(text.encode()) > 256 >= len(text) for text in ids)


def agree(stream, record):
    why = refused(stream, record)
    wrong = [error.message for error in JUDGES[topics.source(stream)].iter_errors(record)]
    assert (why is None) == (not wrong) or beyond_schemas(stream, record), f"{record}: the decoder {why!r}, the schema {wrong}"


@settings(max_examples=100, deadline=None)
@given(record=records("sensors"))
@example(record={"sensor_id": "p", "at": 0, "value": None, "step": 1, "values": [1.0, 2.0]})
@example(record={"sensor_id": "p", "at": 0, "value": 1, "step": 1, "values": [1.0]})
def test_a_reading_is_refused_by_both_or_by_none(record):
    agree("sensors", record)


@settings(max_examples=100, deadline=None)
@given(record=records("cards"))
@example(record={**SOUND["cards"], "amount": None, "amount_minor": 1230})
@example(record={**SOUND["cards"], "amount_minor": 1230})
def test_a_transaction_is_refused_by_both_or_by_none(record):
    agree("cards", record)


@settings(max_examples=100, deadline=None)
@given(record=records("employees"))
@example(record={**SOUND["employees"], "amount": "0.00"})
def test_a_posting_is_refused_by_both_or_by_none(record):
    agree("employees", record)


@settings(max_examples=100, deadline=None)
@given(record=records("errors"))
def test_an_error_is_refused_by_both_or_by_none(record):
    agree("errors", record)


@settings(max_examples=50, deadline=None)
@given(label=st.sampled_from([0, 1, True, False, 2, "1", None]), at=MOMENTS, card=st.sampled_from(["c", "", 7, None]))
def test_a_label_is_refused_by_both_or_by_none(label, at, card):
    record = {"card_id": card, "transaction_id": "t", "label": label, "at": at}
    try:
        labels.read(json.dumps(record).encode())
    except labels.Unreadable:
        taken = False
    else:
        taken = not (isinstance(at, int) and at < 0)  # before 1970 there is nothing to label
    assert taken == JUDGES[topics.CARD_LABELS].is_valid(record)


@settings(max_examples=50, deadline=None)
@given(verdict=st.sampled_from(["confirmed", "cleared", "no", None]), alert=st.sampled_from(["ab" * 16, "ab.3", "xyz", 7]), key=TEXTS)
def test_a_verdict_is_refused_by_both_or_by_none(verdict, alert, key):
    record = {"stream": "cards", "key": key, "alert_id": alert, "verdict": verdict, "at": 1_700_000_000}
    try:
        verdicts.read(Record("alert.labels", 0, 0, -1, None, json.dumps(record).encode(), ()), "cards", 1e10)
    except ValueError:
        taken = False
    else:
        taken = True
    assert taken == JUDGES[topics.ALERT_LABELS].is_valid(record)


@settings(max_examples=100, deadline=None)
@given(
    stream=st.sampled_from(["cards", "sensors", "pumps", "sensors\n", None, 7]), key=st.sampled_from(["c", "", 7, None]), at=MOMENTS,
    until=st.sampled_from([0, 1.5, 4e9, 4e9 + 1, -1, "1", None, True]), reason=st.sampled_from(["", "being moved", None, 1]),
    earlier=st.sampled_from([[], [[1, 2]], [[1, 2.5], [3, 4]], [[1]], [[1, 2, 3]], [[1, -1]], [1], None, [[1, 2]] * 100, [[1, 2]] * 101]),
    v=st.sampled_from([1, 2, "1", None]), left_out=st.sampled_from(["", "stream", "key", "since", "until", "reason", "earlier", "v"]),
)  # fmt: skip
def test_a_suppression_is_refused_by_both_or_by_none(stream, key, at, until, reason, earlier, v, left_out):
    record = {"stream": stream, "key": key, "since": at, "until": until, "reason": reason, "earlier": earlier, "v": v}
    record.pop(left_out, None)
    assert Suppressions().hear(b"[]", json.dumps(record).encode()) == JUDGES[topics.ALERT_SUPPRESSIONS].is_valid(record)


def test_what_nilometer_suppress_writes_is_as_published():
    first = Suppression("cards", "c-1", 1_700_000_000.25, 1_700_003_600.25, "a test")
    second = prolonged(first, Suppression("cards", "c-1", 1_700_010_000.5, 1_700_013_600.5))
    said = [json.loads(msgspec.json.encode(each)) for each in (first, second)]
    assert faults(topics.ALERT_SUPPRESSIONS, said) == []
    assert said[1]["earlier"] == [[1_700_000_000.25, 1_700_003_600.25]]


def test_the_files_are_what_the_code_says():
    made = all_schemas()
    assert {path.stem for path in FOLDER.glob("*.json")} == set(made)
    for name, schema in made.items():
        Draft202012Validator.check_schema(schema)
        assert (FOLDER / f"{name}.json").read_text() == written(schema), "python -m streams.schemas deploy/schemas"


@pytest.fixture(scope="module")
def said():
    """All that four streams of simulated records, with a bad one each, leave in the topics: topic → records."""
    chosen = load(
        environment={"NILOMETER_RECORDS__FUTURE_SECONDS": "1e10", "NILOMETER_STREAMS__PARTITIONS": "1"},
        overrides={
            **{f"{section}.scores": True for section in ("sensors", "benford", "calibration")},
            "benford.mu": 2.5,
            "benford.sigma": 0.6,
            "benford.alpha": 0.2,
        },
    )
    broker = Broker.named("schemas")
    create_topics(broker.create_topic, chosen, chosen.streams.enabled)
    pipeline = assemble(chosen, broker_url="memory://schemas", logs=MemoryLogs(broker))
    random = np.random.Generator(np.random.PCG64(5))
    readings = simulate_sensors(sensors=1, points=9_000, anomalies=4, noise=5.0, length=200, period=100, seed=1)
    transactions = simulate_cards(
        cards=60, days=120, rate=1.0, active_rate=3.0, passive_rate=1.5, active_days=4.0, passive_days=10.0, episode_probability=0.3,
        fraud_free=0.3, seed=2,
    )  # fmt: skip
    postings = simulate_postings(employees=40, postings=9_000, fraudsters=2, fraud_share=0.9, seed=3)
    given = {
        "sensors": [
            {"sensor_id": i, "at": at / 1e6, "value": value}
            for i, at, value in zip(*(readings[name].tolist() for name in ("sensor_id", "at", "value")), strict=True)
        ],
        "cards": [
            {"card_id": c, "transaction_id": str(n), "at": at / 1e6, "amount_minor": amount}
            for n, (c, at, amount) in enumerate(zip(*(transactions[name].tolist() for name in ("card_id", "at", "amount")), strict=True))
        ],
        "employees": [
            {"employee_id": e, "at": at / 1e6, "amount_minor": amount, "approval_limit": "1000"}
            for e, at, amount in zip(*(postings[name].tolist() for name in ("employee_id", "at", "amount")), strict=True)
        ],
        "errors": [
            {"source_id": "m", "at": 1_700_000_000 + i, "error": float(error), "hardness": 1.0, "class": "day"}
            for i, error in enumerate(np.where(np.arange(3_000) % 500 == 499, 50.0, np.abs(random.normal(size=3_000))))
        ],
    }

    async def feed():
        for stream, records in given.items():
            for record in [*records, {KEYS[stream]: "x", "at": "yesterday"}]:
                broker.produce(topics.source(stream), str(record[KEYS[stream]]).encode(), json.dumps(record).encode())
        broker.produce(topics.source("sensors"), b"x", b'{"sensor_id": "x", "at": 1700000000, "step": 1, "values": [1, NaN, 2]}')
        watchers = pipeline.watchers
        while not all(
            watchers[name].position(0) == broker.end_offset(topics.source(name), 0) and at_rest(watchers[name]) for name in given
        ):
            await asyncio.sleep(0.02)

    try:
        asyncio.run(run(pipeline.app, feed()))
        names = [*topics.SOURCES.values(), topics.DEAD_LETTERS]
        for stream in given:
            names += [topics.alerts(stream), topics.scores(stream), topics.cuts(stream)]
        return {name: broker.read(name, 0) for name in names}
    finally:
        pipeline.executor.shutdown()
        Broker.forget("schemas")


def faults(schema, values):
    return [f"{error.json_path}: {error.message}"[:300] for value in values for error in JUDGES[schema].iter_errors(value)]


@pytest.mark.parametrize("stream", KEYS)
def test_alerts_and_scores_are_as_published(said, stream):
    alerts = [json.loads(record.value) for record in said[topics.alerts(stream)]]
    scores = [json.loads(record.value) for record in said[topics.scores(stream)]]
    assert alerts
    assert scores
    assert faults("alerts", alerts) == []
    assert faults("scores", scores) == []


def test_cuts_and_dead_letters_are_as_published(said):
    adopted = encode(Adoption(Generation(1, 7), 3, 48_213, {"population": {"n": 9, "mean": 2.5, "m2": 3.1}}))
    cuts = [json.loads(value) for value in [adopted, *(record.value for stream in KEYS for record in said[topics.cuts(stream)])]]
    letters = [{name: value.decode() for name, value in record.headers} for record in said[topics.DEAD_LETTERS]]
    assert {cut["kind"] for cut in cuts} == {"begin", "cut"}
    assert len(letters) == 5
    assert any("nilometer-indices" in letter for letter in letters)
    assert faults("nilometer.cuts", cuts) == []
    assert faults("nilometer.cuts", [{**cuts[0], "kind": "another"}, {**cuts[0], "generation": [1]}])
    assert faults(topics.DEAD_LETTERS, letters) == []
