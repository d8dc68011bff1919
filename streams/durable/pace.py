"""The pace at which a worker's checkpoints leave: so many bytes a second, over all its partitions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

LOOK = 0.05  # seconds after which somebody who waits looks whether there is a hurry


@dataclass
class Pace:
    """Awaited before so many bytes are sent: ``await pace(900_000)``.

    Parameters
    ----------
    rate
        Bytes a second.
    """

    rate: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    _free: float = 0.0  # when all that was let through so far is through, at this rate
    _hurried: int = 0

    async def __call__(self, size: int) -> None:
        """Return when everything before has had its time; in a hurry at once."""
        if self._hurried:
            return
        begin = max(self.clock(), self._free)
        self._free = begin + size / self.rate
        while not self._hurried and (ahead := begin - self.clock()) > 0.0:
            await self.sleep(min(ahead, LOOK))

    @contextmanager
    def hurry(self) -> Iterator[None]:
        """Let everything through within: where partitions are given back, nothing is folded that could be held up."""
        self._hurried += 1
        try:
            yield
        finally:
            self._hurried -= 1
            self._free = 0.0
