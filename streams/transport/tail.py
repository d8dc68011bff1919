"""Reading a topic from its beginning and then for ever, outside every consumer group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from streams.transport.broker import Broker


async def memory_tail(broker: Broker, topic: str) -> AsyncIterator[bytes]:
    """The values of the only partition of a topic of the embedded broker."""
    loop, offset = asyncio.get_running_loop(), 0
    news = asyncio.Event()
    while True:
        news.clear()
        broker.wake_once([(topic, 0)], lambda: loop.call_soon_threadsafe(news.set))
        for record in broker.read(topic, 0, offset):
            offset = record.offset + 1
            if record.value is not None:
                yield record.value
        await news.wait()
