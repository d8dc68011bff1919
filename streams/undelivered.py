"""What a broker did not take: which topic, why, and what a person can do about it.

Nothing is lost by it: the partition's fold is brought back from its last checkpoint and says it again, until the broker takes it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from streams.telemetry.metrics import Metrics

logger = logging.getLogger("streams.undelivered")
PAUSE = 10.0  # seconds between two lines about one topic
CURES = {
    "MessageSizeTooLargeError": "raise its max.message.bytes (`nilometer topics check` says how far)",
    "RecordListTooLargeError": "raise its segment.bytes",
    "TopicAuthorizationFailedError": "grant us to write it (`nilometer topics check` says how)",
    "UnknownTopicOrPartitionError": "make it anew (`nilometer topics create`)",
    "NotEnoughReplicasError": "bring back brokers, or lower its min.insync.replicas",
}


@dataclass
class Undelivered:
    """Counts what was not taken, and tells of each topic once in a while."""

    metrics: Metrics
    clock: Callable[[], float] = time.monotonic
    _told: dict[str, float] = field(default_factory=dict)

    def watch(self, topic: str, delivery: Awaitable[Any]) -> Awaitable[Any]:
        """The same delivery; whoever sends goes on with it."""
        if isinstance(delivery, asyncio.Future):
            delivery.add_done_callback(partial(self._look, topic))
        return delivery

    def _look(self, topic: str, delivery: asyncio.Future[Any]) -> None:
        problem = None if delivery.cancelled() else delivery.exception()
        if problem is None:
            return
        self.metrics.undelivered.labels(topic).inc()
        now = self.clock()
        if now - self._told.get(topic, -PAUSE) >= PAUSE:
            self._told[topic] = now
            cure = CURES.get(type(problem).__name__, "look at the broker")
            logger.error("topic %s: the broker did not take what we wrote, and we try on: %r; %s", topic, problem, cure)
