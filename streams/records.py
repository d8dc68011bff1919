"""JSON records to columns: a chunk in, a detector's columns, where each event came from, and dead letters out. Pure functions.

All values of a chunk are decoded by one typed decoder and checked in columns. A record that the decoder refuses is read again,
slowly and field by field (`streams.decoding.careful`), which either finds it sound after all (a frame with some bad readings) or says in
a sentence what is wrong. Unknown fields are passed over; of a field that stands twice the last counts; null is "not given".

============  =====================================================================================================
stream        fields (optional ones in brackets)
============  =====================================================================================================
sensors       sensor_id, at, value [class]; or a frame: sensor_id, at (of the first reading), step (seconds), values [class]
cards         card_id, transaction_id, at, amount or amount_minor [mode, address_match, credit_limit, merchant_id,
              employee_id, currency]
employees     employee_id, at, amount or amount_minor [limit, approval_limit, currency]
errors        source_id, at, error, hardness [class, segment, model, model_version]
============  =====================================================================================================

Every record may carry ``v``, its version; 1 where it is missing, and 1 is the only one there is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET

from config.settings import Settings
from detectors.protocol import Columns, Ints
from state.keys import PackedKeys
from streams import origins
from streams.dead_letters import DeadLetter
from streams.decoding import amounts, fields, joined, times
from streams.decoding.record_types import CardRecord, ErrorRecord, PostingRecord, SensorRecord
from streams.decoding.refusals import Refusals, Refused, shown
from streams.partition import Origins
from streams.transport.chunk import NULL, Chunk

LONGEST_STEP = 86_400.0  # seconds between two readings of a frame


@dataclass(slots=True)
class Decoded:
    """What a chunk's records say.

    Attributes
    ----------
    columns
        The events, in order.
    origins
        Where each was born: topic, partition, offset, index in its frame.
    record
        The row in the chunk that each event came in: its timestamp and headers are there.
    dead
        What cannot be folded, in order of offset; a frame's other readings are in the columns.
    texts
        Columns that no detector reads: cards have "transaction_id" and "employee_id".
    """

    columns: Columns
    origins: Origins
    record: Ints
    dead: list[DeadLetter]
    texts: dict[str, list[str | None]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.columns)


Decode = Callable[[Chunk, Settings], Decoded]


def decode_sensors(chunk: Chunk, settings: Settings) -> Decoded:
    """Readings and frames of readings."""
    found, rows, dead = _parse(chunk, SensorRecord, settings)
    refusals = Refusals(len(found))
    ids, at = _envelope(chunk, rows, "sensor_id", [r.sensor_id for r in found], [r.at for r in found], settings, refusals)
    classes = fields.class_codes([r.class_ for r in found], settings)
    frames = any(r.values is not UNSET or r.step is not UNSET for r in found)
    if not frames and not any(r.value is UNSET for r in found):
        given = [r.value for r in found]
        value = np.array(given, np.float64)
        fields.check_values(value, given, "value", refusals)
        return _finish(chunk, rows, fields.sensors(ids, at, value, classes), refusals, dead)
    return _expand(chunk, rows, found, ids, at, classes, settings, refusals, dead)


def decode_cards(chunk: Chunk, settings: Settings) -> Decoded:
    """Card transactions."""
    found, rows, dead = _parse(chunk, CardRecord, settings)
    refusals, exponent = Refusals(len(found)), settings.cards.exponent
    ids, at = _envelope(chunk, rows, "card_id", [r.card_id for r in found], [r.at for r in found], settings, refusals)
    transactions = [r.transaction_id for r in found]
    columns = fields.cards(
        ids,
        at,
        _amount(found, exponent, refusals),
        [r.mode for r in found],
        [r.address_match for r in found],
        amounts.of_texts([bytes(r.credit_limit) for r in found], exponent, "credit_limit", refusals),
        [r.merchant_id for r in found],
        transactions,
        settings,
        refusals,
    )
    amounts.check_currency([r.currency for r in found], settings.cards.currency, "cards", refusals)
    texts: dict[str, list[str | None]] = {"transaction_id": [*transactions], "employee_id": [r.employee_id for r in found]}
    return _finish(chunk, rows, columns, refusals, dead, texts)


def decode_employees(chunk: Chunk, settings: Settings) -> Decoded:
    """Accounting postings."""
    found, rows, dead = _parse(chunk, PostingRecord, settings)
    refusals, exponent = Refusals(len(found)), settings.benford.exponent
    ids, at = _envelope(chunk, rows, "employee_id", [r.employee_id for r in found], [r.at for r in found], settings, refusals)
    columns = fields.employees(
        ids,
        at,
        _amount(found, exponent, refusals),
        amounts.of_texts([bytes(r.limit) for r in found], exponent, "limit", refusals),
        amounts.of_texts([bytes(r.approval_limit) for r in found], exponent, "approval_limit", refusals),
        refusals,
    )
    amounts.check_currency([r.currency for r in found], settings.benford.currency, "benford", refusals)
    return _finish(chunk, rows, columns, refusals, dead, born=origins.of_chunk(chunk, rows, refusals))


def decode_errors(chunk: Chunk, settings: Settings) -> Decoded:
    """Errors of models."""
    found, rows, dead = _parse(chunk, ErrorRecord, settings)
    refusals = Refusals(len(found))
    sources = [r.source_id for r in found]
    ids, at = _envelope(chunk, rows, "source_id", sources, [r.at for r in found], settings, refusals)
    measured = {"error": [r.error for r in found], "hardness": [r.hardness for r in found]}
    error, hardness = (np.array(column, np.float64) for column in measured.values())
    fields.check_values(error, measured["error"], "error", refusals)
    fields.check_values(hardness, measured["hardness"], "hardness", refusals)
    parts = ([r.class_ for r in found], [r.segment for r in found], [r.model for r in found], [r.model_version for r in found])
    return _finish(chunk, rows, fields.errors(ids, sources, parts, at, error, hardness, refusals), refusals, dead)


DECODERS: dict[str, Decode] = {
    "sensors": decode_sensors,
    "cards": decode_cards,
    "employees": decode_employees,
    "errors": decode_errors,
}

_KINDS = (SensorRecord, CardRecord, PostingRecord, ErrorRecord)
_DECODERS = {kind: msgspec.json.Decoder(kind).decode for kind in _KINDS}
_LIST_DECODERS: dict[type[Any], Callable[[bytes], list[Any]]] = {kind: msgspec.json.Decoder(list[kind]).decode for kind in _KINDS}  # type: ignore[valid-type]


def _parse(chunk: Chunk, kind: type[Any], settings: Settings) -> tuple[list[Any], Ints, list[DeadLetter]]:
    """The records that can be read, their rows in the chunk, and letters for the others."""
    decode, limit = _DECODERS[kind], settings.records.max_bytes
    oversized = bool(len(chunk)) and int((chunk.value_to - chunk.value_from).max()) > limit
    if not oversized:
        together = joined.as_list(chunk)
        try:
            whole = [decode(value) for value in chunk.values()] if together is None else _LIST_DECODERS[kind](together)  # type: ignore[arg-type]
            return whole, np.arange(len(whole)), []
        except (msgspec.MsgspecError, TypeError, RecursionError, UnicodeDecodeError):
            pass  # one of them at least is bad: which, is found below
    from streams.decoding import careful

    found: list[Any] = []
    rows: list[int] = []
    dead: list[DeadLetter] = []
    for row, value in enumerate(chunk.values()):
        try:
            if value is None:
                raise Refused("the value is null: a tombstone means nothing in this topic")
            if len(value) > limit:
                raise Refused(f"the value has {len(value):,} bytes: at most {limit:,} are read (records.max_bytes)")
            try:
                found.append(decode(value))
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                found.append(careful.read(value, kind))
            rows.append(row)
        except Refused as refused:
            dead.append(_letter(chunk, row, str(refused)))
    return found, np.array(rows, np.int64), dead


def _envelope(
    chunk: Chunk, rows: Ints, name: str, ids: list[str], at: Sequence[float | datetime], settings: Settings, refusals: Refusals
) -> tuple[PackedKeys, Ints]:
    """Keys and event times, checked against the Kafka record's key and timestamp."""
    packed = fields.pack_ids(ids, name, refusals)
    _check_keys(chunk, rows, name, ids, packed, refusals)
    micros = times.of_mixed(at)
    records = settings.records
    times.check(refusals, micros, at, records.earliest, chunk.timestamps[rows] * 1000, records.future)
    return packed, micros


def _check_keys(chunk: Chunk, rows: Ints, name: str, ids: list[str], packed: PackedKeys, refusals: Refusals) -> None:
    """The partition was chosen by the Kafka key, so it must be the record's own id."""
    begin, end = chunk.key_from[rows], chunk.key_to[rows]
    whole = chunk.buffer.tobytes()
    keys = [whole[a:b] for a, b in zip(begin.tolist(), end.tolist(), strict=True)]
    same_lengths = np.array_equal(end - begin, packed.stop - packed.start) and not (begin == NULL).any()
    if same_lengths and b"".join(keys) == packed.buffer[: int(packed.stop[-1]) if len(packed) else 0].tobytes():
        return
    for row, (key, wanted) in enumerate(zip(keys, packed.tolist(), strict=True)):
        if begin[row] == NULL:
            refusals.add(row, f"the Kafka key is null: it must be the {name}, by which the partition is chosen")
        elif key != wanted:
            refusals.add(row, f"the Kafka key {shown(key)} is not the {name} {shown(ids[row])}, by which the partition must be chosen")


def _amount(found: Sequence[Any], exponent: int, refusals: Refusals) -> Ints:
    major = amounts.of_texts([bytes(r.amount) for r in found], exponent, "amount", refusals)
    minor = [r.amount_minor for r in found]
    if minor.count(None) == len(minor) and not (major == amounts.MISSING).any():
        return major
    return amounts.either(major, amounts.of_minor(minor, "amount_minor", refusals), refusals)


def _expand(
    chunk: Chunk, rows: Ints, found: list[SensorRecord], ids: PackedKeys, at: Ints, classes: Ints, settings: Settings,
    refusals: Refusals, dead: list[DeadLetter],
) -> Decoded:  # fmt: skip
    """Frames among the records: one event a reading, and letters for single bad readings."""
    records = settings.records
    readings: list[list[float]] = [[]] * len(found)
    step = np.zeros(len(found))
    for row, r in enumerate(found):
        if r.values is UNSET:
            if r.step is not UNSET:
                refusals.add(row, "values is missing: a record with step is a frame")
            elif r.value is UNSET:
                refusals.add(row, "value is missing (or step and values of a frame)")
            else:
                readings[row] = [r.value]  # type: ignore[list-item]
            continue
        if r.value is not UNSET:
            refusals.add(row, "value and values are both given: wanted a reading or a frame")
        elif not 1 <= len(r.values) <= records.max_frame:  # type: ignore[arg-type]
            refusals.add(row, f"values has {len(r.values):,} readings: wanted 1 to {records.max_frame:,} (records.max_frame)")  # type: ignore[arg-type]
        elif r.step is UNSET:
            refusals.add(row, "step is missing: a frame says how many seconds lie between its readings")
        elif not 0.0 < r.step <= LONGEST_STEP:  # type: ignore[operator]
            refusals.add(row, f"step = {r.step:g}: wanted seconds above 0, at most {LONGEST_STEP:,.0f}")
        else:
            readings[row], step[row] = r.values, r.step  # type: ignore[assignment, call-overload]
    lengths = np.fromiter(map(len, readings), np.int64, len(readings))
    last = at + np.rint((lengths - 1).clip(0) * (step * 1e6)).astype(np.int64)
    last[at == times.NO_TIME] = times.NO_TIME
    times.check(refusals, last, last.tolist(), records.earliest, chunk.timestamps[rows] * 1000, records.future, "at of the last reading")
    keep = refusals.kept()
    owner = np.repeat(keep, lengths[keep])
    stop = np.cumsum(lengths[keep])
    index = np.arange(len(owner)) - np.repeat(stop - lengths[keep], lengths[keep])
    value = np.array([value for row in keep.tolist() for value in readings[row]], np.float64)
    bad = fields.out_of_range(value)
    letters = [_letter(chunk, int(rows[row]), reason) for row, reason in refusals.reasons.items()]
    for row in np.unique(owner[bad]).tolist():
        which = index[bad & (owner == row)].tolist()
        if found[row].values is UNSET:
            letters.append(_letter(chunk, int(rows[row]), f"value = {shown(found[row].value)}: wanted a {fields.FINITE}"))
        else:
            size, rest = lengths[row], "the others are folded" if len(which) < lengths[row] else "nothing is left to fold"
            reason = f"values: {len(which):,} of {size:,} readings are no {fields.FINITE}; {rest}"
            letters.append(_letter(chunk, int(rows[row]), reason, tuple(which)))
    owner, index, value = owner[~bad], index[~bad], value[~bad]
    when = at[owner] + np.rint(index * (step[owner] * 1e6)).astype(np.int64)
    record = rows[owner]
    born = Origins.of_record(chunk.topic, chunk.partition, chunk.offsets[record], index)
    return Decoded(fields.sensors(ids.take(owner), when, value, classes[owner]), born, record, _in_order(dead + letters))


def _finish(
    chunk: Chunk,
    rows: Ints,
    columns: Columns,
    refusals: Refusals,
    dead: list[DeadLetter],
    texts: dict[str, list[str | None]] | None = None,
    born: Origins | None = None,
) -> Decoded:
    """Drop what was refused; a record is one event here, born where it stands unless `born` says where."""
    texts = texts or {}
    if born is None:
        born = Origins.of_record(chunk.topic, chunk.partition, chunk.offsets[rows], np.zeros(len(rows), np.int64))
    if refusals.reasons:
        keep = refusals.kept()
        dead = _in_order(dead + [_letter(chunk, int(rows[row]), reason) for row, reason in refusals.reasons.items()])
        columns = Columns(columns.keys.take(keep), columns.at[keep], {name: column[keep] for name, column in columns.fields.items()})
        texts = {name: [column[row] for row in keep.tolist()] for name, column in texts.items()}
        rows, born = rows[keep], born.take(keep)
    return Decoded(columns, born, rows, dead, texts)


def _letter(chunk: Chunk, row: int, reason: str, indices: tuple[int, ...] = ()) -> DeadLetter:
    return DeadLetter(chunk.topic, chunk.partition, int(chunk.offsets[row]), reason, indices, chunk.key(row), chunk.value(row))


def _in_order(letters: list[DeadLetter]) -> list[DeadLetter]:
    return sorted(letters, key=lambda letter: letter.offset)
