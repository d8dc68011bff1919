"""Once a second: what the metrics say of the states that this worker holds."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from detectors.aggregation.policy import COST, rule_in_force
from streams.agents.population import HOUR
from streams.agents.watch import Watcher
from streams.partition import Partition

logger = logging.getLogger("streams.telemetry.measuring")

EVERY = 1.0  # s
SHARE = 50  # and less often where that takes more than a fiftieth of the event loop's time
_OURS = ("state", "detectors")  # packages whose classes are looked into for arrays


async def keep_measuring(watchers: Mapping[str, Watcher]) -> None:
    """Look at all partitions, for ever."""
    while True:
        started = time.perf_counter()
        for watcher in watchers.values():
            watcher.metrics.tasks.set(len(asyncio.all_tasks()))
            for number, part in watcher.partitions.items():
                try:
                    measure(watcher, number, part)
                except Exception:  # what cannot be shown must not end what is done
                    where = {"stream": watcher.definition.name, "partition": number}
                    logger.exception("%s/%d: cannot be measured", watcher.definition.name, number, extra=where)
        await asyncio.sleep(max(EVERY, SHARE * (time.perf_counter() - started)))


def measure(watcher: Watcher, number: int, part: Partition) -> None:
    """Set what follows from the state of one partition, and from where it stands in its log."""
    metrics, where = watcher.metrics, (part.stream, str(number))
    metrics.seen(part.stream, number, part.counts, len(part.state.keys), part.episodes.open)
    end, folded_at = watcher.end(number), watcher.folded_at.get(number)
    if end is not None:
        behind = max(0, end - part.next)
        metrics.fold_lag.labels(*where).set(behind)
        if folded_at is not None:
            metrics.lag_seconds.labels(*where).set(max(0.0, watcher.clock() - folded_at) if behind else 0.0)
    if part.counts.events:
        metrics.event_time.labels(*where).set(part.episodes.event_time / 1e6)
    metrics.state_bytes.labels(*where).set(bytes_of(part.state))
    if part.stream == "cards":
        model = part.state.model
        metrics.model_through.labels(*where).set(max(0, model.version) * HOUR / 1e6)
        metrics.model_decides.labels(*where).set(rule_in_force(model.version > 0, model.frauds) == COST)
    elif part.stream == "errors":
        metrics.binned(part.stream, number, *part.state.counted.tolist())
    if watcher.watch_list is not None:
        watcher.watch_list.look(part)


def bytes_of(state: Any) -> int:
    """Bytes of the arrays that a state holds, whatever it is made of; memory that several share counts once."""
    found: dict[int, int] = {}
    _look_for_arrays(state, found, depth=4)
    return sum(found.values())


def _look_for_arrays(state: Any, found: dict[int, int], depth: int) -> None:
    if isinstance(state, np.ndarray):
        while isinstance(state.base, np.ndarray):
            state = state.base
        found[id(state)] = state.nbytes
    elif depth and isinstance(state, Mapping):
        for each in state.values():
            _look_for_arrays(each, found, depth - 1)
    elif depth and type(state).__module__.split(".")[0] in _OURS:
        for name in (*getattr(type(state), "__slots__", ()), *getattr(state, "__dict__", ())):
            _look_for_arrays(getattr(state, name, None), found, depth - 1)


__all__ = ["EVERY", "bytes_of", "keep_measuring", "measure"]
