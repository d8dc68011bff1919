"""The population: what all partitions of a stream know together, merged by one worker and adopted by every partition at a cut.

Partitions tell their contribution once an hour of event time, in `nilometer.shared.<stream>`. The worker that owns the stream's
partition 0 merges the latest of each, in order of the partitions, and tells the result in the same topic. Since every partition
writes down before which event it adopted what, the merging itself need not be deterministic.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from detectors.protocol import Detector

QUIET = 0.01  # seconds without news after which what has come is merged,
PATIENCE = 0.2  # and how long news may keep it waiting
HOUR = 3_600_000_000  # microseconds: inputs from outside are told and adopted once an hour of event time


def merged(detector: Detector, contributions: Sequence[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """The inputs that a stream's partitions make together, None while none has anything to give."""
    given = [contribution for contribution in contributions if contribution is not None]
    return detector.merged(given) if given else None


async def keep_population(
    detector: Detector,
    told: AsyncIterator[bytes],
    tell: Callable[[bytes], Awaitable[Any]],
    adopt: Callable[[dict[str, Any]], None],
    owns_first: Callable[[], bool],
) -> None:
    """Read the shared topic for ever: merge where we own partition 0, hand what has been merged to `adopt`.

    Merging waits for a quiet moment: after a restart the topic is read from its beginning, and what was merged long ago is not
    merged again.
    """
    news: asyncio.Queue[bytes | None] = asyncio.Queue()
    reader = asyncio.ensure_future(_read(told, news))
    latest: dict[int, Mapping[str, Any]] = {}
    last: dict[str, Any] | None = None
    loop = asyncio.get_running_loop()
    merged_at = loop.time()
    try:
        while True:
            if news.empty():
                await asyncio.sleep(QUIET)
            patient = news.qsize() > 0 and loop.time() - merged_at < PATIENCE
            if not patient and owns_first():
                merged_at = loop.time()
                inputs = merged(detector, [latest[number] for number in sorted(latest)])
                if inputs is not None and inputs != last:
                    last = inputs
                    await tell(msgspec.json.encode({"inputs": inputs}))
            value = await news.get()
            if value is None:
                return await reader  # raises what ended it
            record = msgspec.json.decode(value)
            if "inputs" in record:
                last = record["inputs"]
                adopt(record["inputs"])
            else:
                latest[record["partition"]] = record["contribution"]
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)


async def _read(told: AsyncIterator[bytes], news: asyncio.Queue[bytes | None]) -> None:
    try:
        async for value in told:
            news.put_nowait(value)
    finally:
        news.put_nowait(None)
