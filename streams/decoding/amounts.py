"""Amounts of money: decimal text in major units to exact integers of minor units.

A double of a cent amount is close enough to read it back exactly: for at most 15 significant digits a decimal number and the double
nearest to it stand for one another. So short texts are read many at once through doubles, and each result is checked by dividing
back; whatever fails that, and every longer text, is read by its digits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

import numpy as np
from numpy.typing import NDArray

from streams.decoding.refusals import Refusals, Refused, shown

LARGEST = 1 << 53  # minor units, either sign: beyond, doubles no longer hold every integer
NOT_GIVEN = -1  # of an optional limit, in a detector's columns
MISSING = int(np.iinfo(np.int64).min)  # while records are read: −1 minor unit is an amount
_FIFTEEN_DIGITS = 1e15  # below it a decimal and its double stand for one another
_SHORT = 16  # characters: at most 15 digits with a point or a sign, or a whole number
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_NUMBERS = re.compile(rb"(?:-?[0-9]+(?:\.[0-9]+)?\n)*")


def exact(text: str, exponent: int, name: str) -> int:
    """Minor units of a decimal text in major units.

    Raises
    ------
    Refused
        If it is no decimal number, has a non-zero digit beyond the currency's exponent, or is beyond ±2^53 minor units.

    Examples
    --------
    >>> exact("12.30", 2, "amount")
    1230
    """
    if len(text) > 400 or not _NUMBER.fullmatch(text):
        raise Refused(f"{name} = {shown(text)}: wanted a decimal number in major units, such as 12.30")
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent of some twenty digits
        raise Refused(f"{name} = {shown(text)}: beyond what a decimal number can hold") from None
    if number == 0:
        return 0
    if number.adjusted() + exponent > 16:
        raise Refused(f"{name} = {shown(text)}: beyond ±2^53 minor units")
    if number.adjusted() + exponent < 0:
        raise Refused(f"{name} = {shown(text)}: more decimals than the currency's {exponent} (exponent)")
    sign, digits, power = number.as_tuple()
    assert isinstance(power, int)
    shift = power + exponent
    whole = int("".join(map(str, digits)))
    unit: int = 10 ** abs(shift)
    if shift < 0 and whole % unit:
        raise Refused(f"{name} = {shown(text)}: more decimals than the currency's {exponent} (exponent)")
    whole = whole // unit if shift < 0 else whole * unit
    if whole > LARGEST:
        raise Refused(f"{name} = {shown(text)}: beyond ±2^53 minor units")
    return -whole if sign else whole


def of_texts(texts: Sequence[bytes], exponent: int, name: str, refusals: Refusals) -> NDArray[np.int64]:
    """Minor units of JSON texts: numbers, or strings in their quotes; MISSING where a text is empty or null."""
    if not any(texts):
        return np.full(len(texts), MISSING)
    numbers = [text[1:-1] if text[:1] == b'"' else text for text in texts]
    out = np.zeros(len(texts), np.int64)
    doubtful = np.ones(len(texts), np.bool_)
    # float() also reads "1_0", " 1" and "nan": only what looks like a plain number, a line each, may go this way
    lines = b"\n".join([*numbers, b""])
    plain = lines.count(b"\n") == len(numbers) and _NUMBERS.fullmatch(lines)
    if plain and max(map(len, numbers), default=0) <= _SHORT:
        out, doubtful = of_doubles(np.array(list(map(float, numbers)), np.float64), exponent)
        if not doubtful.any():
            return out
    for row in np.flatnonzero(doubtful).tolist():
        text = texts[row]
        if text in (b"", b"null"):
            out[row] = MISSING
            continue
        try:
            out[row] = exact(numbers[row].decode(errors="replace"), exponent, name)
        except Refused as refused:
            refusals.add(row, str(refused))
    return out


def of_doubles(amounts: NDArray[np.float64], exponent: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Minor units of doubles, and where a double must be read by its digits: too large, or not the nearest to so few decimals.

    >>> of_doubles(np.array([12.3, 12.345]), 2)[1].tolist()
    [False, True]
    """
    scale = 10.0**exponent
    with np.errstate(over="ignore", invalid="ignore"):
        minor = np.rint(amounts * scale)
        bad = ~((minor / scale == amounts) & (np.abs(minor) < _FIFTEEN_DIGITS))
    return np.where(bad, 0.0, minor).astype(np.int64), bad


def of_minor(given: Sequence[object], name: str, refusals: Refusals) -> NDArray[np.int64]:
    """Minor units given as whole numbers; MISSING where there is None."""
    out = np.full(len(given), MISSING)
    for row, amount in enumerate(given):
        if amount is None:
            continue
        if type(amount) is not int:
            refusals.add(row, f"{name} = {shown(amount)}: wanted a whole number of minor units")
        elif abs(amount) > LARGEST:
            refusals.add(row, f"{name} = {shown(amount)}: beyond ±2^53 minor units")
        else:
            out[row] = amount
    return out


def either(major: NDArray[np.int64], minor: NDArray[np.int64], refusals: Refusals) -> NDArray[np.int64]:
    """The amount of every row, given exactly once: as `amount` or as `amount_minor`."""
    no_major, no_minor = major == MISSING, minor == MISSING
    refusals.where(no_major & no_minor, lambda row: "amount is missing (or amount_minor)")
    refusals.where(~no_major & ~no_minor, lambda row: "amount and amount_minor are both given: wanted one of them")
    return np.where(no_major, minor, major)


def check_currency(given: Sequence[str | None], wanted: str, key: str, refusals: Refusals) -> None:
    """Refuse amounts of another currency than the stream's; a record that names none is of it, a stream that names none takes any."""
    if not wanted or given.count(None) == len(given):
        return
    for row, currency in enumerate(given):
        if currency is not None and currency != wanted:
            refusals.add(row, f"currency = {shown(currency)}: the stream's is {wanted} ({key}.currency)")
