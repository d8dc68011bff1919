"""What a stream's columns must hold, whether they came in JSON or in a file: one set of checks, one set of columns.

Every function takes parallel lists or arrays with one entry a row, adds to `refusals` what it refuses, and leaves any legal
value at refused rows: the caller drops those.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from config.settings import Settings
from detectors.protocol import Columns, Floats, Ints
from state.keys import PackedKeys, hash_bytes, pack_strings
from streams.decoding import amounts
from streams.decoding.refusals import Refusals, shown

LARGEST_VALUE = 1e15  # of a reading, an error, a hardness: beyond it nothing measures, and its square would drown every other
LONGEST_ID = 256  # bytes of UTF-8: ids are kept in the state
SEPARATOR = "\x1f"  # between the parts of a calibration key
PART_NAMES = ("source_id", "class", "segment", "model", "model_version")
FINITE = f"finite number within ±{LARGEST_VALUE:g}"
_PLACEHOLDER = "-"


def pack_ids(ids: list[str], name: str, refusals: Refusals) -> PackedKeys:
    """Ids as packed UTF-8; empty ones and those over LONGEST_ID bytes are refused."""
    try:
        packed = pack_strings(ids)
    except UnicodeEncodeError:  # half a surrogate pair, which no UTF-8 can hold
        for row, text in enumerate(ids):
            try:
                text.encode()
            except UnicodeEncodeError:
                refusals.add(row, f"{name} = {shown(text)}: wanted valid Unicode")
                ids[row] = _PLACEHOLDER
        packed = pack_strings(ids)
    lengths = packed.stop - packed.start
    refusals.where(lengths == 0, lambda row: f"{name} is empty")
    refusals.where(lengths > LONGEST_ID, lambda row: f"{name} has {lengths[row]:,} bytes: wanted at most {LONGEST_ID}")
    return packed


def sensors(ids: PackedKeys, at: Ints, value: Floats, classes: Ints) -> Columns:
    """Columns of readings that have been checked."""
    return Columns(ids, at, {"value": value, "class": classes})


def class_codes(classes: Sequence[str | None], settings: Settings) -> Ints:
    """The place of each class among those that have settings of their own, in order of their names; −1 for any other."""
    if not settings.sensors.classes or all(name is None for name in classes):
        return np.full(len(classes), -1, np.int64)
    codes = {name: code for code, (name, _) in enumerate(settings.sensors.classes)}
    return np.array([-1 if name is None else codes.get(name, -1) for name in classes], np.int64)


def out_of_range(values: Floats) -> NDArray[np.bool_]:
    """Where a measurement is not finite or beyond ±LARGEST_VALUE."""
    return ~(np.abs(values) <= LARGEST_VALUE)


def check_values(values: Floats, given: Sequence[object], name: str, refusals: Refusals) -> None:
    """Refuse measurements that are not finite or beyond ±LARGEST_VALUE."""
    refusals.where(out_of_range(values), lambda row: f"{name} = {shown(given[row])}: wanted a {FINITE}")


def cards(
    ids: PackedKeys,
    at: Ints,
    amount: Ints,
    mode: Sequence[str | None],
    address_match: Sequence[object],
    credit_limit: Ints,
    merchant: Sequence[str | None],
    transaction: list[str],
    settings: Settings,
    refusals: Refusals,
) -> Columns:
    """Columns of card transactions.

    A negative amount is a refund, and zero is legal: shops check a card with it, and so do thieves. Modes of the table
    `cards.modes` have the codes 0 …, others the CRC-32 of their name.
    """
    refusals.where((credit_limit < 0) & (credit_limit != amounts.MISSING), lambda row: "credit_limit is below zero")
    packed = pack_ids(transaction, "transaction_id", refusals)
    table = {name: code for code, name in enumerate(settings.cards.modes)} | {None: -1, "": -1}
    try:
        modes = [table[name] for name in mode]
    except KeyError:
        modes = [table[name] if name in table else zlib.crc32(str(name).encode(errors="replace")) & 0x7FFFFFFF for name in mode]
    fields = {
        "amount": amount,
        "mode": np.array(modes, np.int64),
        "address_match": _matches(address_match, refusals),
        "credit_limit": _given(credit_limit),
        "merchant": _optional_hashes(merchant),
        "transaction": hashes(packed),
    }
    return Columns(ids, at, fields)


def employees(ids: PackedKeys, at: Ints, amount: Ints, limit: Ints, approval_limit: Ints, refusals: Refusals) -> Columns:
    """Columns of accounting postings: zero and negative amounts have no leading digit to judge and are refused."""
    refusals.where(amount <= 0, lambda row: "amount is zero or below: the law of leading digits needs an amount above zero")
    for name, limits in (("limit", limit), ("approval_limit", approval_limit)):
        refusals.where((limits <= 0) & (limits != amounts.MISSING), _limit_reason(name))
    return Columns(ids, at, {"amount": amount, "limit": _given(limit), "approval_limit": _given(approval_limit)})


def errors(
    ids: PackedKeys,
    source: list[str],
    parts: Sequence[Sequence[str | None]],
    at: Ints,
    error: Floats,
    hardness: Floats,
    refusals: Refusals,
) -> Columns:
    """Columns of a model's errors, keyed by source and, where given, class, segment, model and model version.

    `parts` are the lists of these four. Errors and hardness are at least 0.
    """
    refusals.where(error < 0.0, lambda row: f"error = {error[row]:g}: wanted 0 or more")
    refusals.where(hardness < 0.0, lambda row: f"hardness = {hardness[row]:g}: wanted 0 or more")
    for name, column in zip(PART_NAMES, (source, *parts), strict=True):
        if column.count(None) < len(column) and SEPARATOR in "".join([text or "" for text in column]):
            for row, text in enumerate(column):
                if text is not None and SEPARATOR in text:
                    refusals.add(row, f"{name} = {shown(text)}: must not hold the unit separator (U+001F)")
    if all(column.count(None) == len(column) for column in parts):
        return Columns(ids, at, {"error": error, "hardness": hardness})
    keys = [calibration_key(*row) for row in zip(source, *parts, strict=True)]
    packed = PackedKeys.pack(key.encode(errors="replace") for key in keys)
    lengths = packed.stop - packed.start
    refusals.where(lengths > 4 * LONGEST_ID, lambda row: f"class, segment, model and model_version have more than {4 * LONGEST_ID:,} bytes")
    return Columns(packed, at, {"error": error, "hardness": hardness})


def calibration_key(source: str, *parts: str | None) -> str:
    r"""The key that events are calibrated under: what is not given at the end is left out, in between it is empty.

    >>> calibration_key("pump-7", None, "night", None, None)
    'pump-7\x1f\x1fnight'
    """
    return SEPARATOR.join([source, *(part or "" for part in parts)]).rstrip(SEPARATOR)


def parts_of_key(key: bytes) -> dict[str, str]:
    r"""What a calibration key consists of.

    >>> parts_of_key(b"pump-7\x1f\x1fnight")
    {'source_id': 'pump-7', 'segment': 'night'}
    """
    parts = key.decode(errors="replace").split(SEPARATOR)
    return {name: part for name, part in zip(PART_NAMES, parts, strict=False) if part}


@njit(cache=True)  # type: ignore[untyped-decorator]
def _hashes(buffer, start, stop, out):  # type: ignore[no-untyped-def]
    """FNV-1a over each string, finished as splitmix64 does; the upper 63 bits."""
    for row in range(len(start)):
        out[row] = np.int64(hash_bytes(buffer, start[row], stop[row]) >> np.uint64(1))


def hashes(packed: PackedKeys) -> Ints:
    """63-bit hashes of strings, the same on every machine; never negative."""
    out = np.empty(len(packed), np.int64)
    _hashes(packed.buffer, packed.start, packed.stop, out)
    return out


def _optional_hashes(texts: Sequence[str | None]) -> Ints:
    """Hashes, −1 where there is no text."""
    n = len(texts)
    if texts.count(None) == n:
        return np.full(n, -1, np.int64)
    try:
        packed = pack_strings([text or "" for text in texts])
    except UnicodeEncodeError:
        packed = PackedKeys.pack((text or "").encode(errors="replace") for text in texts)
    out = hashes(packed)
    out[packed.stop == packed.start] = -1
    return out


def _matches(given: Sequence[object], refusals: Refusals) -> Ints:
    """address_match as −1 (not given), 0 or 1."""
    table: dict[object, int] = {None: -1, False: 0, True: 1}  # False == 0 and True == 1, and so are their hashes
    try:
        return np.array([table[match] for match in given], np.int64)
    except (KeyError, TypeError):
        out = np.full(len(given), -1, np.int64)
        for row, match in enumerate(given):
            if isinstance(match, bool | int | float) or match is None:
                if match in table:
                    out[row] = table[match]
                    continue
            refusals.add(row, f"address_match = {shown(match)}: wanted true, false, 1 or 0")
        return out


def _limit_reason(name: str) -> Callable[[int], str]:
    return lambda row: f"{name} is zero or below: wanted an amount above zero"


def _given(limits: Ints) -> Ints:
    """Optional limits as the detectors want them: −1 where there is none."""
    return np.where(limits == amounts.MISSING, amounts.NOT_GIVEN, limits)
