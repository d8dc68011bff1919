"""Transactions that name an employee go on to `employee.postings` on Apache Kafka: each once, in the order of their origins."""

from __future__ import annotations

import time

from streams import topics
from streams.origins import HEADER
from tests.kafka.commands import PARTITIONS, here, installation, working
from tests.kafka.test_looking import lying, send

MANY = 600  # a partition; more than a batch of a producer holds


def test_postings_lie_there_in_the_order_of_their_origins(kafka):
    more = {"NILOMETER_STREAMS__ENABLED": '["cards", "employees"]', "NILOMETER_CARDS__POSTINGS": "true"}
    with installation(kafka, "cards", **more) as environment:
        here("topics", "create", **environment)
        value = '{"card_id": "c%d", "transaction_id": "%d", "at": %d, "amount": "%d.10", "employee_id": "e%d"}'
        given = [
            (number, b"c%d" % number, (value % (number, i, 1_700_000_000 + i, i + 1, i % 7)).encode(), [])
            for number in range(PARTITIONS)
            for i in range(MANY)
        ]
        send(environment, topics.source("cards"), *given)
        with working(environment):
            found, end = [], time.monotonic() + 60
            while sum(map(len, found)) < len(given):
                assert time.monotonic() < end, f"{sum(map(len, found))} postings of {len(given)}"
                found = [lying(environment, topics.source("employees"), number) for number in range(PARTITIONS)]
        every = []
        for part in found:
            origins = [tuple(map(int, dict(record.headers)[HEADER].decode().split("/")[1:3])) for record in part]
            for upstream in range(PARTITIONS):
                offsets = [offset for number, offset in origins if number == upstream]
                assert offsets == sorted(offsets)
            every += origins
        assert sorted(every) == [(number, i) for number in range(PARTITIONS) for i in range(MANY)]
