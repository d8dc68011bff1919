"""The lease: outputs leave only while the group cannot have given the partition to another.

A member that the coordinator has not heard for a whole session is put out, and another owner begins; it writes cuts only behind
what the source held at that moment. So whatever we fold while our last answered heartbeat is younger than the session lies before
those cuts. We stop at 0.7 of it: the answer took its time to reach us, and clocks drift.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

SHARE = 0.7  # of the session


@dataclass(frozen=True, slots=True)
class Lease:
    """Asked between folding and sending: what was folded before a valid answer may leave whenever it likes.

    Attributes
    ----------
    session
        Seconds after which the coordinator gives up a silent member.
    last_heartbeat
        When the last heartbeat that was answered well had been sent, by `clock`; None before the first.
    """

    session: float
    last_heartbeat: Callable[[], float | None]
    clock: Callable[[], float] = time.monotonic

    def __call__(self) -> bool:
        """Whether outputs may leave now."""
        last = self.last_heartbeat()
        return last is not None and self.clock() - last < SHARE * self.session


def always() -> bool:
    """The lease of what has no rival: a backtest, a demo alone on its broker."""
    return True
