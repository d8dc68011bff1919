"""JSON Schemas (2020-12) of every record that goes in and out, for those who write and read our topics.

Names, types and what is required come from the structs that the decoders use; what is checked after decoding is added here, as far as
JSON Schema can say it. What it cannot say stands in ``$comment``. ``python -m streams.schemas deploy/schemas`` writes the files.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from config.load import defaults
from detectors.protocol import REASONS
from streams import topics
from streams.agents.labels import CardLabel
from streams.agents.limits import EmployeeLimits
from streams.agents.verdicts import AlertLabel
from streams.decoding.fields import LARGEST_VALUE, LONGEST_ID, PART_NAMES, SEPARATOR
from streams.decoding.record_types import CardRecord, ErrorRecord, PostingRecord, SensorRecord
from streams.decoding.times import END_OF_TIME
from streams.durable.cut_log import Adoption, Begin
from streams.records import LONGEST_STEP
from streams.relay.quiet import LATEST, MOST_EARLIER, Suppression

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
STREAMS = list(topics.SOURCES)
TIME = (
    r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?"
    r"([Zz]|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])$"
)
AT: Schema = {
    "description": "Event time: RFC 3339 with an offset, or seconds since 1970.",
    "$comment": "A day that its month has; not before records.earliest_at, nor further ahead of the record's timestamp than "
    "records.future_seconds.",
    "anyOf": [
        {"type": "number", "minimum": 0, "exclusiveMaximum": int(END_OF_TIME)},
        {"type": "string", "format": "date-time", "pattern": TIME},
    ],
}
ID: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": LONGEST_ID,
    "$comment": f"At most {LONGEST_ID} bytes of UTF-8. The Kafka key must be the very same, for it chooses the partition.",
}
TEXT: Schema = {"type": ["string", "null"]}
PART: Schema = {"type": ["string", "null"], "pattern": f"^[^{SEPARATOR}]*$"}
VERSION: Schema = {"description": "Of the record's format; 1 where it is missing.", "enum": [1, None]}
MOMENT: Schema = {"description": "Seconds since 1970.", "type": "number", "minimum": 0, "maximum": LATEST}
NUMBER: Schema = {"type": "number", "minimum": -LARGEST_VALUE, "maximum": LARGEST_VALUE}
AT_LEAST_0: Schema = {"type": "number", "minimum": 0, "maximum": LARGEST_VALUE}
LARGEST_MINOR = 1 << 53
DECIMALS = "No more decimals than the currency has, and within ±2^53 of its minor units."


def _amount(what: str, sign: str = "-?", **bounds: float) -> Schema:
    digits = r"[0-9]+(\.[0-9]+)?" if sign != "+" else r"(?=[0-9.]*[1-9])[0-9]+(\.[0-9]+)?"
    return {
        "description": f"{what}, in major units: a decimal number, or the same as text, which keeps its digits.",
        "$comment": DECIMALS,
        "anyOf": [
            {"type": "number", **bounds},
            {"type": "string", "maxLength": 400, "pattern": f"^{'-?' if sign == '-?' else ''}{digits}([eE][+-]?[0-9]+)?$"},
            {"type": "null"},
        ],
    }


def _either_amount(**bounds: int) -> list[Schema]:
    """The amount, given exactly once."""
    given, not_given = {"not": {"type": "null"}}, {"type": "null"}
    return [
        {"required": ["amount"], "properties": {"amount": given, "amount_minor": not_given}},
        {"required": ["amount_minor"], "properties": {"amount_minor": {"type": "integer", **bounds}, "amount": not_given}},
    ]


def _record(kind: type[Any], title: str, beyond: dict[str, Schema], **more: Any) -> Schema:
    """A struct's fields, each with what is checked of it; unknown ones are passed over."""
    fields, beyond = msgspec.structs.fields(kind), {"v": VERSION, **beyond}
    assert {field.encode_name for field in fields} == set(beyond), f"{kind.__name__} has other fields than its schema"
    return {
        "title": title,
        "type": "object",
        "properties": {field.encode_name: beyond[field.encode_name] for field in fields},
        "required": [field.encode_name for field in fields if field.required],
        **more,
    }


def sources() -> dict[str, Schema]:
    """What goes in."""
    cards = _record(
        CardRecord,
        "A card transaction",
        {
            "card_id": ID, "transaction_id": ID, "at": AT, "amount": _amount("Amount; below zero for a refund"),
            "amount_minor": {"description": "The same in minor units: instead of `amount`.", "type": ["integer", "null"]},
            "mode": {**TEXT, "description": "Payment mode: of cards.modes, or any other."},
            "address_match": {"enum": [True, False, 0, 1, None]},
            "credit_limit": _amount("The card's limit", sign="", minimum=0), "merchant_id": TEXT,
            "employee_id": {**TEXT, "description": "Whose card it is: the transaction goes on to employee.postings, too."},
            "currency": {**TEXT, "description": "Of the amounts; others than cards.currency, where that is set, are refused."},
        },
        oneOf=_either_amount(minimum=-LARGEST_MINOR, maximum=LARGEST_MINOR),
    )  # fmt: skip
    postings = _record(
        PostingRecord,
        "An accounting posting",
        {
            "employee_id": ID, "at": AT, "amount": _amount("Amount, above zero", sign="+", exclusiveMinimum=0),
            "amount_minor": {"description": "The same in minor units: instead of `amount`.", "type": ["integer", "null"]},
            "limit": _amount("Accounting limit: no amount lies above it", sign="+", exclusiveMinimum=0),
            "approval_limit": _amount("Amounts from here on want an approval", sign="+", exclusiveMinimum=0),
            "currency": {**TEXT, "description": "As for cards, by benford.currency."},
        },
        oneOf=_either_amount(minimum=1, maximum=LARGEST_MINOR),
    )  # fmt: skip
    errors = _record(
        ErrorRecord,
        "A model's error at one event, and how hard that event was",
        {
            "source_id": {**ID, "pattern": PART["pattern"]}, "at": AT, "error": AT_LEAST_0, "hardness": AT_LEAST_0,
            "class": PART, "segment": PART, "model": PART, "model_version": PART,
        },
        **{"$comment": f"class, segment, model and model_version with the source: at most {4 * LONGEST_ID} bytes."},
    )  # fmt: skip
    return {topics.source("sensors"): _sensors(), topics.source("cards"): cards, topics.source("employees"): postings,
            topics.source("errors"): errors}  # fmt: skip


def _sensors() -> Schema:
    most = defaults().records.max_frame
    nothing, no_frame = {"type": "null"}, {"step": {"type": "null"}, "values": {"type": "null"}}
    frame = {"step": {"not": {"type": "null"}}, "values": {"not": {"type": "null"}}, "value": nothing}
    return _record(
        SensorRecord,
        "A sensor's reading, or a frame of readings at equal distances",
        {
            "sensor_id": ID,
            "at": {**AT, "description": "Event time, of a frame's first reading: RFC 3339 with an offset, or seconds since 1970."},
            "value": {**NUMBER, "type": ["number", "null"]},
            "step": {"description": "Seconds between the readings of a frame.", "type": ["number", "null"], "exclusiveMinimum": 0,
                     "maximum": LONGEST_STEP},
            "values": {"description": "Readings of a frame; bad ones are left out, the others are folded.", "type": ["array", "null"],
                       "minItems": 1, "maxItems": most, "items": NUMBER,
                       "$comment": f"records.max_frame = {most}"},
            "class": {**TEXT, "description": "Of [sensors.class.NAME], or any other."},
        },
        oneOf=[
            {"title": "reading", "required": ["value"], "properties": {"value": {"type": "number"}, **no_frame}},
            {"title": "frame", "required": ["step", "values"], "properties": frame},
        ],
    )  # fmt: skip


def labels() -> dict[str, Schema]:
    """What people and time find out, and what people do not want to hear."""
    stream: Schema = {"enum": STREAMS}
    return {
        topics.CARD_LABELS: _record(
            CardLabel, "What became of a transaction",
            {"card_id": {"type": "string"}, "transaction_id": {"type": "string"}, "at": AT, "v": {"const": 1},
             "label": {"description": "1 or true: a fraud.", "enum": [True, False, 0, 1]}},
        ),
        topics.EMPLOYEE_LIMITS: _record(
            EmployeeLimits, "An employee's limits; the Kafka key is the employee_id, and no value takes them away",
            {"limit": _amount("The accounting limit", "+", exclusiveMinimum=0), "at": {"anyOf": [AT, {"type": "null"}]}, "v": {"const": 1},
             "approval_limit": _amount("The limit above which somebody must approve", "+", exclusiveMinimum=0)},
        ),
        topics.ALERT_LABELS: _record(
            AlertLabel, "A person's verdict on an alert",
            {"stream": stream, "key": {"type": "string"}, "at": AT, "v": {"const": 1}, "verdict": {"enum": ["confirmed", "cleared"]},
             "alert_id": {"type": "string", "pattern": r"^([0-9a-fA-F]{2})+(\.[0-9]+)?$",
                          "description": "The `id` of the alert, or of its episode."}},
        ),
        topics.ALERT_SUPPRESSIONS: _record(
            Suppression, "When nothing is to be heard of a key; the Kafka key is [stream, key] in JSON, and no value forgets it",
            {"stream": stream, "key": {"type": "string"}, "since": MOMENT, "until": MOMENT, "reason": {"type": "string"}, "v": {"const": 1},
             "earlier": {"description": "From when until when it was so before: a relay that starts again asks.", "type": "array",
                         "maxItems": MOST_EARLIER, "items": {"type": "array", "minItems": 2, "maxItems": 2, "items": MOMENT}}},
        ),
    }  # fmt: skip


def alert() -> Schema:
    """What comes out: a CloudEvent 1.0, in `alerts.<stream>` and as the body of a webhook's request."""
    from streams.configured import definition

    moment = {"type": "string", "format": "date-time"}
    number, count = {"type": ["number", "null"]}, {"type": "integer", "minimum": 0}
    text, texts = {"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}
    detectors = [definition(stream, defaults()).detector for stream in STREAMS]
    tests = sorted({test for detector in detectors for test in detector.tests})
    episode = {"id": {"type": "string", "pattern": "^[0-9a-f]+$"}, "report": count, "from": moment, "to": moment, "units": count,
               "unit": text, "first_unit": {"type": "integer"}, "last_unit": {"type": "integer"}, "max_score": number}  # fmt: skip
    audit = {"build": text, "configuration": text, "signature": text, "partition": count, "last_cut": {"type": ["integer", "null"]}}
    origin = {"topic": text, "partition": count, "offset": count, "index": count}
    always: Schema = {
        "stream": {"enum": STREAMS},
        "key": {**text, "description": "The sensor, card, employee or source."},
        "at": {**moment, "description": "Event time of what is told."},
        "detector": {"enum": sorted(detector.name for detector in detectors)},
        "test": {"enum": tests},
        "role": {"const": "acting"},
        "phase": {"enum": ["opened", "updated", "closed"]},
        "severity": {"enum": ["warning", "critical"]},
        "episode": _exactly(episode),
        "score": number,
        "threshold": number,
        "p_value": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        "e_value": {"type": ["number", "null"], "minimum": 0},
        "budget": {"type": "object", "description": "What was budgeted, by the names of the settings."},
        "unit": text,
        "guarantee": text,
        "basis": text,
        "audit": _exactly(audit),
        "reasons": {**texts, "description": "Why, in sentences with numbers."},
    }
    sometimes: Schema = {
        "compared_with": text,
        "evidence": {"type": "object", "description": "What the reasons can be checked by; at most 8 kB."},
        "verdict": {"enum": ["confirmed", "cleared"], "description": "What a person has said, where that closed the episode."},
        "origin": _exactly(origin),
        **{name: text for name in PART_NAMES[1:]},
    }
    return {
        "title": "An alert: a CloudEvent 1.0",
        "type": "object",
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {**text, "description": "Of the episode, and behind a point the number of the report: said twice, it is the same."},
            "source": {"enum": [f"/nilometer/{stream}" for stream in STREAMS]},
            "type": {"enum": [f"nilometer.alert.{phase}" for phase in ("opened", "updated", "closed")]},
            "subject": {**text, "description": "The key."},
            "time": moment,
            "datacontenttype": {"const": "application/json"},
            "data": {"type": "object", "properties": {**always, **sometimes}, "required": list(always), "additionalProperties": False},
        },
        "required": ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data"],
        "additionalProperties": False,
    }


def scores() -> Schema:
    """The score log: columns, a row an event."""
    numbers = {"type": "array", "items": {"anyOf": [{"type": ["number", "null"]}, {"enum": ["inf", "-inf"]}]}}
    whole, switches = {"type": "array", "items": {"type": "integer"}}, {"type": "array", "items": {"type": "boolean"}}
    reasons = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": len(REASONS) - 1},
               "description": "0: nothing to say; " + "; ".join(f"{i}: {name}" for i, name in enumerate(REASONS) if name)}  # fmt: skip
    always = {
        "stream": {"enum": STREAMS}, "partition": {"type": "integer", "minimum": 0},
        "through": {"type": "integer", "description": "Every event up to this offset is decided."},
        "offset": {**whole, "description": "With `index` and `source`, what a row is de-duplicated by."}, "index": whole,
        "key": {"type": "array", "items": {"type": "string"}}, "at": {**whole, "description": "Microseconds since 1970."},
        "score": numbers, "threshold": numbers, "p_value": numbers, "is_alert": switches, "not_ready": switches,
        "seen": whole, "needed": whole, "reason": reasons,
    }  # fmt: skip
    vectors = {
        "type": "object", "required": ["names", "f64"], "additionalProperties": False,
        "description": "Cards: features of the model, a column for each name: float64, little-endian, one column after another, zstd, "
        "base64.",
        "properties": {"names": {"type": "array", "items": {"type": "string"}}, "f64": {"type": "string", "contentEncoding": "base64"}},
    }  # fmt: skip
    source = {
        "type": "array", "items": {"type": "string", "pattern": "^(.+/[0-9]+)?$"},
        "description": "Employees: where a posting was forwarded from, `card.transactions/3`; empty, or no such column: `partition`.",
    }  # fmt: skip
    return {
        "title": "Scores of a batch, in columns of equal length; further columns are the detector's evidence",
        "type": "object",
        "properties": always | {"source": source, "vectors": vectors},
        "required": list(always),
        "additionalProperties": {"type": "array"},
    }


def letter() -> Schema:
    """The headers of a dead letter, as text; its value and key are the original bytes."""
    number = {"type": "string", "pattern": "^[0-9]+$"}
    headers = {
        "nilometer-topic": {"type": "string", "minLength": 1},
        "nilometer-partition": number,
        "nilometer-offset": number,
        "nilometer-reason": {"type": "string", "minLength": 1, "maxLength": 1_000},
        "nilometer-indices": {"type": "string", "pattern": "^[0-9]+(,[0-9]+)*$", "description": "The bad readings of a frame."},
        "nilometer-cut-from": {**number, "description": "Bytes of the original value, where only its beginning is here."},
        "nilometer-destination": {"type": "string", "description": "Which of the relay's destinations did not take an alert."},
    }
    required = ["nilometer-topic", "nilometer-partition", "nilometer-offset", "nilometer-reason"]
    return {"title": "Headers of a dead letter", "type": "object", "properties": headers, "required": required}


def cut() -> Schema:
    """What partitions have adopted, and before which event."""
    kinds, components = msgspec.json.schema_components([Begin, Adoption])
    return {"title": "A record of the cut log", "anyOf": list(kinds), "$defs": components}


def _exactly(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def all_schemas() -> dict[str, Schema]:
    """Every schema, by the name of its file."""
    found = {**sources(), **labels(), "alerts": alert(), "scores": scores(), topics.DEAD_LETTERS: letter(), "nilometer.cuts": cut()}
    return {name: {"$schema": DIALECT, "$id": f"urn:nilometer:{name}:1", **schema} for name, schema in found.items()}


def written(schema: Schema) -> str:
    """The text of a schema's file."""
    return json.dumps(schema, indent=2, ensure_ascii=True) + "\n"


def main(folder: Path) -> None:
    """Write every schema to a folder."""
    for name, schema in all_schemas().items():
        (folder / f"{name}.json").write_text(written(schema), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
