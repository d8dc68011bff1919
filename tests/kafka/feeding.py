"""A feed for all four streams that never ends: readings in frames, transactions with late labels, postings, errors, and rubbish among them.

It knows how many readings it has sent to which stream: what `nilometer reconcile` must find again.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from typing import Any

import msgspec
import numpy as np
from aiokafka import AIOKafkaProducer

from streams import topics
from streams.transport.broker import partition_of_key

SENSORS, CARDS, EMPLOYEES, MODELS = 200, 50_000, 500, 50
FRAME = 60  # readings in a frame, one period of a sensor
# Of 100 readings: frames of sensors are cheap to carry, transactions dear to judge.
MIX = {"sensors": 60, "errors": 20, "employees": 10, "cards": 10}
SPOILT = 0.001  # of all records
LATE, TWICE, LABELLED, FRAUD = 0.001, 0.001, 0.02, 0.2  # of transactions; of labels
LABEL_DELAY = 86_400.0  # seconds of event time
TICK = 0.05  # seconds between two sends
DAYS_AGO = 600.0  # event time begins there
STEP = 60  # seconds of event time from a sensor's reading to its next, unless told otherwise: what says how fast event time passes
UNIT = 10 * sum(MIX.values())  # readings that are made at once

Sent = Counter[str]


@dataclass
class Feed:
    """Records of a seed, in event time."""

    seed: int
    at: float  # event time
    step: int = STEP
    sent: Sent = field(default_factory=Counter)  # readings, by stream

    def __post_init__(self) -> None:
        self._draws = random.Random(self.seed)
        noise = np.random.default_rng(self.seed)
        period = np.sin(2 * np.pi * np.arange(FRAME) / FRAME)
        self._frames = [msgspec.json.encode(np.round(period + 0.1 * noise.normal(size=FRAME), 4).tolist()) for _ in range(300)]
        self._frames.append(msgspec.json.encode(np.round(0.2 * noise.normal(size=FRAME), 4).tolist()))
        self._amounts = [b"%.2f" % amount for amount in np.exp(noise.normal(3.5, 0.8, 5_000))]
        self._errors = [b"%.5f" % abs(error) for error in noise.normal(0.5, 0.2, 5_000)]
        self._labels: deque[tuple[float, bytes, bytes]] = deque()
        self._units = 0
        self._next = [int(self.at)] * SENSORS  # when each sensor's next frame begins

    def unit(self) -> Iterator[tuple[str, bytes, bytes]]:
        """Records (topic, key, value) of 600 readings of sensors and what belongs to them, a step of event time."""
        draws = self._draws
        self._units += 1
        self.at = at = self.at + 10 * MIX["sensors"] / SENSORS * self.step
        for place in range(10 * MIX["sensors"] // FRAME):
            number = (self._units * (10 * MIX["sensors"] // FRAME) + place) % SENSORS
            frame = self._frames[-1 if draws.random() < 0.002 else draws.randrange(300)]
            value = b'{"sensor_id":"s%d","at":%d,"step":%d,"values":%s}' % (number, self._next[number], self.step, frame)
            self._next[number] += FRAME * self.step
            yield self._maybe_spoilt("sensors", b"s%d" % number, value, FRAME)
        for _ in range(MIX["errors"] * 10):
            key, n = b"m%d" % draws.randrange(MODELS), draws.randrange(5_000)
            value = b'{"source_id":"%s","at":%.2f,"error":%s,"hardness":%s}' % (key, at, self._errors[n], self._errors[n - 1])
            yield self._maybe_spoilt("errors", key, value)
        for _ in range(MIX["employees"] * 10):
            key = b"e%d" % draws.randrange(EMPLOYEES)
            value = b'{"employee_id":"%s","at":%.2f,"amount":%s}' % (key, at, self._amounts[draws.randrange(5_000)])
            yield self._maybe_spoilt("employees", key, value)
        for place in range(MIX["cards"] * 10):
            yield from self._transaction(at, place)
        while self._labels and self._labels[0][0] <= at:
            _, key, value = self._labels.popleft()
            yield topics.CARD_LABELS, key, value

    def _transaction(self, at: float, place: int) -> Iterator[tuple[str, bytes, bytes]]:
        draws = self._draws
        key, name = b"c%d" % draws.randrange(CARDS), b"%d-%d" % (self._units, place)
        when, luck = at - (7_200.0 if draws.random() < LATE else 0.0), draws.random()
        amount, mode = self._amounts[draws.randrange(5_000)], (b"online", b"offline")[draws.randrange(2)]
        value = b'{"card_id":"%s","transaction_id":"%s","at":%.2f,"amount":%s,"mode":"%s","merchant_id":"m%d"}' % (
            key, name, when, amount, mode, draws.randrange(2_000),
        )  # fmt: skip
        yield self._maybe_spoilt("cards", key, value)
        if luck < TWICE:
            yield self._maybe_spoilt("cards", key, value)
        if luck < LABELLED:
            told = b"true" if luck < LABELLED * FRAUD else b"false"
            label = b'{"card_id":"%s","transaction_id":"%s","label":%s,"at":%.2f}' % (key, name, told, at + LABEL_DELAY)
            self._labels.append((at + LABEL_DELAY, key, label))

    def _maybe_spoilt(self, stream: str, key: bytes, value: bytes, readings: int = 1) -> tuple[str, bytes, bytes]:
        """The record, or one of which nothing can be read, which counts as one."""
        if self._draws.random() < SPOILT:
            value, readings = value[: len(value) // 2], 1
        self.sent[stream] += readings
        return topics.source(stream), key, value


async def send(address: str, prefix: str, partitions: int, rate: Any, step: Any, stop: Event, feed: Feed) -> None:
    """Send units of the feed at `rate.value` readings a second, `step.value` apart, however these change, until told to stop."""
    producer = AIOKafkaProducer(bootstrap_servers=address, acks="all", max_batch_size=1 << 17)
    await producer.start()
    due, last = 0.0, time.monotonic()
    try:
        while not stop.is_set():
            now = time.monotonic()
            due, last = min(due + rate.value * (now - last), rate.value), now  # what was missed for longer than a second is let go
            batches: dict[tuple[str, int], Any] = {}
            deliveries = []
            feed.step = step.value
            while due >= UNIT:
                due -= UNIT
                for topic, key, value in feed.unit():
                    place = prefix + topic, partition_of_key(key, partitions)
                    batch = batches.get(place)
                    if batch is None or batch.append(key=key, value=value, timestamp=None) is None:
                        if batch is not None:
                            deliveries.append(await producer.send_batch(batch, place[0], partition=place[1]))
                        batch = batches[place] = producer.create_batch()
                        batch.append(key=key, value=value, timestamp=None)
                await asyncio.sleep(0)
            deliveries += [await producer.send_batch(batch, *place[:1], partition=place[1]) for place, batch in batches.items()]
            await asyncio.gather(*deliveries)
            await asyncio.sleep(max(0.0, TICK - (time.monotonic() - now)))
    finally:
        await producer.stop()


def run(address: str, prefix: str, partitions: int, rate: Any, step: Any, stop: Event, result: Any) -> None:
    """A process of its own; puts into `result` what was sent."""
    feed = Feed(0, time.time() - DAYS_AGO * 86_400)
    asyncio.run(send(address, prefix, partitions, rate, step, stop, feed))
    result.put(dict(feed.sent))
