"""Cards feed employees: a transaction that names an employee goes on to `employee.postings`, with its origin."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from detectors.protocol import MICROSECONDS, REPEATED
from streams import origins, topics
from streams.definitions import Forwarded
from streams.partition import Outcome
from streams.records import Decoded

_encode = msgspec.json.Encoder().encode


def postings_of(decoded: Decoded, outcome: Outcome, exponent: int) -> Iterator[Forwarded]:
    """The postings among a batch's transactions: those that name an employee and are no refund (no law holds for these).

    A transaction that its card has had before is no second posting, whoever sent it twice.
    """
    employees, columns, topic = decoded.texts["employee_id"], decoded.columns, topics.source("employees")
    kept = (columns.fields["amount"][outcome.rows] > 0) & (outcome.verdicts.reason != REPEATED)
    rows = outcome.rows[kept]
    times, amounts = (columns.at[rows] / MICROSECONDS).tolist(), columns.fields["amount"][rows].tolist()
    for row, at, amount, origin in zip(rows.tolist(), times, amounts, origins.headers(decoded.origins.take(rows)), strict=True):
        employee = employees[row]
        if employee:
            record = {"employee_id": employee, "at": at, "amount": decimal(amount, exponent)}
            yield Forwarded(topic, employee.encode(), _encode(record), [origin])


def decimal(amount: int, exponent: int) -> str:
    """Minor units as a decimal number.

    >>> decimal(1205, 2), decimal(7, 2), decimal(980, 0)
    ('12.05', '0.07', '980')
    """
    digits = str(amount).rjust(exponent + 1, "0")
    return f"{digits[:-exponent]}.{digits[-exponent:]}" if exponent else digits
