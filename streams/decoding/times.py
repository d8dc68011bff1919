"""Event times: RFC 3339 with an offset, or seconds since 1970, to int64 microseconds UTC.

A number is read as the double nearest to it, in JSON as in a file, and rounded to the nearest microsecond (halves to even).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from streams.decoding.refusals import Refusals, shown

Moment = Annotated[datetime, msgspec.Meta(tz=True)]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
END_OF_TIME = 253_402_300_800.0  # seconds: the year 10000, which RFC 3339 cannot write
_END = 253_402_300_800_000_000
NO_TIME = int(np.iinfo(np.int64).min)  # where a row's time could not be read
WANTED_TIME = "wanted RFC 3339 with an offset (2024-01-31T12:00:00Z) or seconds since 1970"

# Below 2³² seconds a datetime's double of seconds is less than half a microsecond off, so that rounding finds it again.
_ROUNDS_BACK = 4294967296.0


def of_seconds(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Microseconds; NO_TIME where a number is no time before the year 10000.

    >>> of_seconds(np.array([1.5, -0.25, np.nan])).tolist() == [1_500_000, -250_000, NO_TIME]
    True
    """
    good = np.abs(seconds) < END_OF_TIME  # False for NaN
    return np.where(good, np.rint(np.where(good, seconds, 0.0) * 1e6), 0.0).astype(np.int64) + np.where(good, 0, NO_TIME)


def of_datetime(moment: datetime) -> int:
    """Microseconds, exactly.

    >>> of_datetime(datetime(1970, 1, 1, 0, 0, 2, 7, tzinfo=UTC))
    2000007
    """
    gap = moment - EPOCH
    return (gap.days * 86_400 + gap.seconds) * 1_000_000 + gap.microseconds


def of_text(text: str) -> int:
    """Microseconds of RFC 3339 with an offset; NO_TIME where it is anything else. Finer digits are rounded.

    >>> of_text("1970-01-01T01:00:00.5+01:00")
    500000
    """
    try:
        return of_datetime(msgspec.convert(text, Moment))
    except (ValueError, OverflowError):  # msgspec's ValidationError is a ValueError, and so is what lone surrogates raise
        return NO_TIME


def of_mixed(times: Sequence[float | datetime]) -> NDArray[np.int64]:
    """Microseconds of what the JSON decoder gives: doubles of seconds or aware datetimes, in any mixture."""
    try:
        return of_seconds(np.array(times, np.float64))
    except TypeError:
        pass
    try:
        seconds = np.array([time.timestamp() for time in times], np.float64)  # type: ignore[union-attr]
        if (np.abs(seconds) < _ROUNDS_BACK).all():
            return np.rint(seconds * 1e6).astype(np.int64)
    except AttributeError:
        pass
    return np.array(
        [of_datetime(time) if isinstance(time, datetime) else int(of_seconds(np.array([time], np.float64))[0]) for time in times],
        np.int64,
    )


def written(at: int) -> str:
    """RFC 3339 of microseconds.

    >>> written(1_500_000)
    '1970-01-01T00:00:01.500000Z'
    """
    return f"{np.datetime64(at, 'us')}Z"


def check(
    refusals: Refusals,
    at: NDArray[np.int64],
    given: Sequence[object],
    earliest: int,
    stamped: NDArray[np.int64] | None,
    future: int,
    name: str = "at",
) -> None:
    """Refuse absurd times: none at all, before `earliest`, or more than `future` after the record's own timestamp.

    Everything is in microseconds; `stamped` is the record's timestamp (negative: it has none; None: no row has one), `given`
    what stood in the record, for the reason.
    """
    refusals.where(at == NO_TIME, lambda row: f"{name} = {shown(given[row])}: {WANTED_TIME}")
    refusals.where(at >= _END, lambda row: f"{name} = {shown(given[row])}: later than the year 9999")
    refusals.where(at < earliest, lambda row: f"{name} = {written(int(at[row]))}: earlier than {written(earliest)} (records.earliest_at)")
    if stamped is not None:
        ahead = (stamped >= 0) & (at > stamped + future)
        refusals.where(
            ahead,
            lambda row: (
                f"{name} = {written(int(at[row]))}: more than {future / 1e6:g} s after the record's own timestamp "
                f"{written(int(stamped[row]))} (records.future_seconds)"
            ),
        )
