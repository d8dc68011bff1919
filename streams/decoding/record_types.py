"""The shapes of the four streams' JSON records, as the quick decoder takes them; what else is legal `streams.decoding.careful` finds out.

Amounts stay as they stand in the text, since their digits count. None of these can be part of a cycle, so none is tracked by the
garbage collector.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from streams.decoding.times import Moment

NOTHING = Raw(b"")


class SensorRecord(msgspec.Struct, gc=False):
    """A reading, or a frame of them."""

    sensor_id: str
    at: float | Moment
    value: float | UnsetType = UNSET
    step: float | UnsetType = UNSET
    values: list[float] | UnsetType = UNSET
    class_: str | None = msgspec.field(default=None, name="class")
    v: Literal[1] = 1


class CardRecord(msgspec.Struct, gc=False):
    """A card transaction."""

    card_id: str
    transaction_id: str
    at: float | Moment
    amount: Raw = NOTHING
    amount_minor: int | None = None
    mode: str | None = None
    address_match: bool | int | None = None
    credit_limit: Raw = NOTHING
    merchant_id: str | None = None
    employee_id: str | None = None
    currency: str | None = None
    v: Literal[1] = 1


class PostingRecord(msgspec.Struct, gc=False):
    """An accounting posting."""

    employee_id: str
    at: float | Moment
    amount: Raw = NOTHING
    amount_minor: int | None = None
    limit: Raw = NOTHING
    approval_limit: Raw = NOTHING
    currency: str | None = None
    v: Literal[1] = 1


class ErrorRecord(msgspec.Struct, gc=False):
    """A model's error at one event, and how hard the event was."""

    source_id: str
    at: float | Moment
    error: float
    hardness: float
    class_: str | None = msgspec.field(default=None, name="class")
    segment: str | None = None
    model: str | None = None
    model_version: str | None = None
    v: Literal[1] = 1
