"""The population: what all partitions of a stream know together, merged by one worker and adopted by every partition at a cut.

Partitions tell their contribution once an hour of event time, in `nilometer.shared.<stream>`. The worker that owns the stream's
partition 0 merges the latest of each, in order of the partitions, and tells the result in the same topic. Since every partition
writes down before which event it adopted what, the merging itself need not be deterministic.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from state.moments import merge_moments


def merged(contributions: Sequence[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """The inputs that a stream's partitions make together, None while none has anything to give.

    >>> merged([{"n": 2, "mean": 2.0, "m2": 2.0}, None, {"n": 1, "mean": 5.0, "m2": 0.0}])
    {'population': {'n': 3, 'mean': 3.0, 'm2': 8.0}}
    """
    given = [contribution for contribution in contributions if contribution is not None]
    return {"population": merge_moments(given)} if given else None


async def keep_population(
    told: AsyncIterator[bytes],
    tell: Callable[[bytes], Awaitable[Any]],
    adopt: Callable[[dict[str, Any]], None],
    owns_first: Callable[[], bool],
) -> None:
    """Read the shared topic for ever: merge where we own partition 0, hand what has been merged to `adopt`."""
    latest: dict[int, Mapping[str, Any]] = {}
    last: dict[str, Any] | None = None
    async for value in told:
        record = msgspec.json.decode(value)
        if "inputs" in record:
            adopt(record["inputs"])
            continue
        latest[record["partition"]] = record["contribution"]
        inputs = merged([latest[number] for number in sorted(latest)])
        if owns_first() and inputs is not None and inputs != last:
            last = inputs
            await tell(msgspec.json.encode({"inputs": inputs}))
