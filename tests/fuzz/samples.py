"""Sound inputs to begin with."""

from __future__ import annotations

import json
from typing import Any


def _all(*records: dict[str, Any]) -> list[bytes]:
    return [json.dumps(record).encode() for record in records]


EVENTS = {
    "sensors": _all(
        {"sensor_id": "k", "at": 1000.5, "value": 1.25},
        {"sensor_id": "s", "at": "2023-11-14T22:13:20Z", "step": 0.5, "values": [1.0, 2.5, -3e4] * 20, "class": "pump", "v": 1},
    ),
    "cards": _all(
        {"card_id": "k", "transaction_id": "t", "at": 1000, "amount": 12.5},
        {
            "card_id": "c", "transaction_id": "t 2", "at": "2023-11-14T22:13:20.5Z", "amount": "-0.01", "mode": "online",
            "address_match": True,             "credit_limit": 5000, "merchant_id": "m", "employee_id": "e", "currency": "EUR", "v": 1,
        },
        {"card_id": "k", "transaction_id": "t3", "at": 2000, "amount_minor": 77},
    ),
    "employees": _all(
        {"employee_id": "k", "at": 1000, "amount": 12.5},
        {
            "employee_id": "e", "at": "2023-11-14T22:13:20Z", "amount": "199.99", "limit": 500, "approval_limit": "200", "currency": "EUR",
            "v": 1,
        },
    ),
    "errors": _all(
        {"source_id": "k", "at": 1000, "error": 0.25, "hardness": 2.0},
        {
            "source_id": "s", "at": 2000, "error": 0, "hardness": 1e-9, "class": "a", "segment": "b", "model": "m", "model_version": "3",
            "v": 1,
        },
    ),
}  # fmt: skip
OUTCOMES = {
    "card.labels": _all(
        {"card_id": "c", "transaction_id": "t", "label": 1, "at": 1000.5, "v": 1},
        {"card_id": "c", "transaction_id": "t", "label": False, "at": "2023-11-14T22:13:20Z"},
    ),
    "alert.labels": _all({"stream": "cards", "key": "c", "alert_id": "ab" * 16 + ".2", "verdict": "cleared", "at": 1000, "v": 1}),
    "employee.limits": _all({"limit": 500.25, "approval_limit": "200", "at": "2023-11-14T22:13:20Z", "v": 1}),
}  # fmt: skip
READING = {
    "type": "record", "name": "Reading",
    "fields": [
        {"name": "sensor_id", "type": "string"}, {"name": "at", "type": "double"}, {"name": "value", "type": ["null", "double"]},
        {"name": "values", "type": ["null", {"type": "array", "items": "double"}]},
    ],
}  # fmt: skip
LETTER = b"card.transactions\n3\n4711\nthe value is empty\nwebhook"
ALERT = json.dumps(
    {
        "specversion": "1.0", "id": "ab" * 16, "type": "nilometer.alert.opened", "source": "nilometer", "time": "2023-11-14T22:13:20Z",
        "data": {
            "stream": "cards", "key": "c", "test": "unusual", "phase": "opened", "severity": "warning", "reasons": ["why"], "score": 3.5,
            "episode": {"id": "ab" * 16, "report": 0, "from": "2023-11-14T22:13:20Z", "to": "2023-11-14T22:13:20Z", "max_score": 3.5},
            "evidence": {"a": 1}, "compared_with": "others", "origin": {"topic": "t"}, "audit": {"partition": 3},
        },
    }
).encode()  # fmt: skip
TOML = b"""[kafka]
bootstrap_servers = "a:9092,b:9092"
prefix = "x."
sasl_password = "secret"
[sensors]
length = "auto"
rebuilds = [5_000, 10_000]
epsilon = 0.02
[sensors.class.pump]
length = 50
[benford]
year_start = "07-01"
mu = 3.0
sigma = 0.7
approval_limits = [100_000, 500_000]
[relay]
maintenance = ["Sun 02:00-04:00", "sensors daily 22:00-06:00", "2026-12-24T18:00/2026-12-27T06:00"]
timezone = "Europe/Berlin"
[cards]
modes = ["online", "offline"]
windows = [1, 3, 7]
"""
PHRASES = [
    b'[records]\nearliest_at = 1970-01-01T00:00:00Z\nmax_frame = 10\n[sensors]\nlength = 1e3\n',
    b'[streams]\nenabled = ["cards"]\npartitions = 1\n[metrics]\nwatch = ["k"]\nport = 0\n[log]\nhash_keys = []\n',
]  # fmt: skip
