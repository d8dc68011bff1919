"""A connection on which a broker has fallen silent is given up, and another made.

A firewall that has forgotten a connection, a broker that hangs: nothing tells a client of either. aiokafka waits a request's whole time,
half a minute, on each connection; it makes connections one after another, and waits as long for the first answer of each; and asks for
metadata again and again on one that has not answered. So a worker came back a minute after its line had.

A request's time cannot be short, for an answer may take long to pass a narrow line. What counts here is whether anything moves: a
connection is silent when it owes an answer and for so many seconds not a byte has come, and no byte of ours has left.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

logger = logging.getLogger("faust.transport.silence")  # beside Faust's own: quiet and loud together

# Seconds of silence for what a broker answers at once. More than a session: who is silent for so long has been put out of its group.
SILENCE = 12.0
# For records that are appended: a broker answers when its followers have them, or have been given up (after 9 s).
APPENDING = 20.0
# And for each so many bytes of them a second more: they may lie in buffers on the way.
APPENDED_A_SECOND = 200_000
LOOK = 1.0  # seconds between two looks at a connection
PRODUCE = 0  # keys of requests, in Kafka's protocol
JOIN_GROUP, SYNC_GROUP = 11, 14


class ImpatientClient(AIOKafkaClient):  # type: ignore[misc]  # aiokafka ships no types
    """aiokafka's client; `silence` is for what is answered at once.

    To join a group is to wait for its other members, and so is to be told what is one's own: that has a request's whole time.
    """

    silence: float = SILENCE

    async def _get_conn(self, node_id: Any, *, group: Any = ConnectionGroup.DEFAULT, no_hint: bool = False) -> AIOKafkaConnection | None:
        try:
            async with asyncio.timeout(self.silence):  # it is asked for its versions, and perhaps greeted
                connection = await super()._get_conn(node_id, group=group, no_hint=no_hint)
        except TimeoutError:
            logger.warning("Node %s lets nobody in: no connection within %g s", node_id, self.silence)
            self.force_metadata_update()
            return None
        if connection is not None and not hasattr(connection, "watched"):
            connection.watched = Watch(connection, self.silence)
            connection.watched.keep_looking()
        return connection


class Watch:
    """Looks at a connection until it is closed."""

    def __init__(self, connection: AIOKafkaConnection, silence: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection, self._silence, self._clock = connection, silence, clock
        self._pause = min(LOOK, silence / 4)
        self._still, self._last = 0.0, clock()
        self._place: object = None

    def keep_looking(self) -> None:
        """Now and again, until it is closed."""
        if self.look():
            asyncio.get_running_loop().call_later(self._pause, self.keep_looking)

    def look(self) -> bool:
        """Close it if it has been silent for too long; whether it is still open."""
        connection = self._connection
        if not connection.connected():
            return False
        owed = [request for _, request, _ in connection._requests]
        now, place = self._clock(), self._at() if owed else None
        # A process that had no processor has not listened for as long as the clock says.
        passed = min(now - self._last, 2 * self._pause)
        self._still = self._still + passed if place is not None and place == self._place else 0.0
        self._last, self._place = now, place
        if not owed or self._still < max(patience(request, self._silence) for request in owed):
            return True
        logger.warning("%s:%s has been silent for %.0f s: a new one is made", connection.host, connection.port, self._still)
        connection.close(reason=CloseReason.CONNECTION_TIMEOUT, exc=KafkaConnectionError("the broker fell silent"))
        return False

    def _at(self) -> object:
        """Whatever changes when something moves."""
        connection = self._connection
        return connection._last_action, len(connection._reader._buffer), connection._writer.transport.get_write_buffer_size()


def patience(request: Any, silence: float = SILENCE) -> float:
    """Seconds of silence to be borne for the answer to a request."""
    key = getattr(request, "API_KEY", None)
    if key in (JOIN_GROUP, SYNC_GROUP):
        return float("inf")
    if key == PRODUCE:
        size = sum(len(batch) for _, partitions in request.topics for _, batch in partitions)
        return max(silence, APPENDING) + size / APPENDED_A_SECOND
    return silence
