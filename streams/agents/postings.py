"""Cards feed employees: a transaction that names an employee goes on to `employee.postings`, with its origin."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from detectors.protocol import MICROSECONDS
from streams import origins, topics
from streams.definitions import Forwarded
from streams.partition import Outcome
from streams.records import Decoded


def postings_of(decoded: Decoded, outcome: Outcome, exponent: int) -> Iterator[Forwarded]:
    """The postings among a batch's transactions: those that were folded, name an employee and are no refund (no law holds for these)."""
    employees, amounts = decoded.texts["employee_id"], decoded.columns.fields["amount"]
    topic = topics.source("employees")
    for row in outcome.rows.tolist():
        employee, amount = employees[row], int(amounts[row])
        if not employee or amount <= 0:
            continue
        record = {"employee_id": employee, "at": int(decoded.columns.at[row]) / MICROSECONDS, "amount": decimal(amount, exponent)}
        yield Forwarded(topic, employee.encode(), msgspec.json.encode(record), [origins.header(decoded.origins[row])])


def decimal(amount: int, exponent: int) -> str:
    """Minor units as a decimal number.

    >>> decimal(1205, 2), decimal(7, 2), decimal(980, 0)
    ('12.05', '0.07', '980')
    """
    digits = str(amount).rjust(exponent + 1, "0")
    return f"{digits[:-exponent]}.{digits[-exponent:]}" if exponent else digits
