"""A record read field by field: what the quick decoder refuses comes here, to be found sound after all or refused in a sentence.

Python's own JSON reader is used, since it knows NaN and Infinity, which many gateways write though JSON has none: one such reading
then costs its frame one reading, and the reason can say so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from streams.decoding.refusals import Refused, shown
from streams.decoding.times import WANTED_TIME, Moment

_LONGEST_NUMBER = 400  # characters


class Number(str):
    """The text of a JSON number, NaN and the infinities among them."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def read(value: bytes, kind: type[Any]) -> Any:
    """Return the record as the quick decoder would have, had it been able to; bad readings of a frame are NaN.

    Raises
    ------
    Refused
        With the first thing that is wrong.
    """
    if not value:
        raise Refused("the value is empty")
    try:
        record = _DECODER.decode(value.decode())
    except UnicodeDecodeError as error:
        raise Refused(f"the value is not UTF-8 (byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise Refused(f"the value is not JSON: {error.msg} (character {error.pos})") from None
    except RecursionError:
        raise Refused("the value is nested too deeply") from None
    if not isinstance(record, dict):
        raise Refused(f"the value is {_kind(record)}: wanted a JSON object")
    version = record.get("v")
    if version is not None and not (type(version) is Number and version == "1"):
        raise Refused(f"v = {shown(version)}: this build reads version 1")
    filled = {
        field.name: _READERS[field.encode_name](record.get(field.encode_name), field.encode_name)
        for field in msgspec.structs.fields(kind)
        if field.encode_name != "v"
    }
    for field in msgspec.structs.fields(kind):
        if field.required and filled[field.name] is None:
            given = "null" if field.encode_name in record else "missing"
            raise Refused(f"{field.encode_name} is {given}")
    if "value" in filled and filled["value"] is UNSET and filled["values"] is UNSET and "value" in record:
        raise Refused("value is null: wanted a finite number")
    return kind(**filled)


_DECODER = json.JSONDecoder(parse_float=Number, parse_int=Number, parse_constant=Number)


def _kind(value: Any) -> str:
    names = {bool: "true or false", Number: "a number", str: "text", list: "a list", dict: "an object", type(None): "null"}
    return names[type(value)]


def _text(value: Any, name: str) -> str | None:
    if value is None:
        return None
    if type(value) is not str:
        raise Refused(f"{name} is {_kind(value)}: wanted text")
    if not value.isprintable() and any("\ud800" <= c <= "\udfff" for c in value):
        raise Refused(f"{name} = {shown(value)}: wanted valid Unicode (this holds half a surrogate pair)")
    return value


def _double(value: Any) -> float:
    """The double of a number, NaN of anything else."""
    if type(value) is not Number or len(value) > _LONGEST_NUMBER:
        return math.nan
    return float(value)


def _number(value: Any, name: str) -> float | None:
    if value is None:
        return None
    if type(value) is not Number:
        raise Refused(f"{name} is {_kind(value)}: wanted a finite number")
    number = _double(value)
    if not math.isfinite(number):
        raise Refused(f"{name} = {shown(value)}: wanted a finite number")
    return number


def _optional_number(value: Any, name: str) -> Any:
    number = _number(value, name)
    return UNSET if number is None else number


def _numbers(value: Any, name: str) -> Any:
    if value is None:
        return UNSET
    if not isinstance(value, list):
        raise Refused(f"{name} is {_kind(value)}: wanted a list of numbers")
    return [_double(reading) for reading in value]


def _time(value: Any, name: str) -> float | datetime | None:
    if type(value) is str:
        try:
            return msgspec.convert(value, Moment)
        except (msgspec.ValidationError, UnicodeEncodeError):  # the latter of half a surrogate pair
            raise Refused(f"{name} = {shown(value)}: {WANTED_TIME}") from None
    if value is None:
        return None
    if type(value) is not Number or not math.isfinite(_double(value)):
        raise Refused(f"{name} = {shown(value)}: {WANTED_TIME}")
    return _double(value)


def _amount(value: Any, name: str) -> Raw:
    if value is None:
        return Raw(b"")
    if type(value) not in (Number, str):
        raise Refused(f"{name} is {_kind(value)}: wanted a decimal number in major units, as text or as a number")
    return Raw(value.encode() if type(value) is Number else json.dumps(value).encode())


def _whole(value: Any, name: str) -> int | None:
    if value is None:
        return None
    if type(value) is not Number or len(value) > _LONGEST_NUMBER or not value.removeprefix("-").isdecimal():
        raise Refused(f"{name} = {shown(value)}: wanted a whole number of minor units")
    return int(value)


def _switch(value: Any, name: str) -> bool | None:
    if value is None or type(value) is bool:
        return value
    if type(value) is Number and value in ("0", "1"):
        return value == "1"
    raise Refused(f"{name} = {shown(value)}: wanted true, false, 1 or 0")


_READERS: dict[str, Callable[[Any, str], Any]] = {
    "at": _time,
    "value": _optional_number,
    "step": _optional_number,
    "values": _numbers,
    "error": _number,
    "hardness": _number,
    "amount": _amount,
    "credit_limit": _amount,
    "limit": _amount,
    "approval_limit": _amount,
    "amount_minor": _whole,
    "address_match": _switch,
} | dict.fromkeys(
    (
        "sensor_id", "card_id", "transaction_id", "employee_id", "merchant_id", "source_id",
        "mode", "currency", "class", "segment", "model", "model_version",
    ),
    _text,
)  # fmt: skip
