"""Numbers as people read them in the reasons of an alert."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=8192)  # an alert names few times, and each of them often
def instant(microseconds: int) -> str:
    """RFC 3339 in UTC; microseconds where there are any, the bare number where the calendar has no such day.

    >>> instant(1_000_000), instant(1_500_000)
    ('1970-01-01T00:00:01Z', '1970-01-01T00:00:01.500000Z')
    """
    try:
        return (_EPOCH + timedelta(microseconds=microseconds)).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return str(microseconds)


def plain(x: float, digits: int = 4) -> str:
    """A number with so many significant digits, thousands apart; an exponent only where it is very small or very large.

    >>> plain(3762.4), plain(0.98765), plain(16610.2), plain(1.0), plain(2.5e-7)
    ('3,762', '0.9877', '16,610', '1', '2.5e-07')
    """
    if x == 0 or not 1e-4 <= abs(x) < 1e9:
        return f"{x:.{digits - 1}g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(x))))
    text = f"{x:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
