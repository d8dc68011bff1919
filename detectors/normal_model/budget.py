"""What a budget of false alarms asks of a sensor, and what is promised once it has it, in words and numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from detectors.normal_model.blocks import MOST_BLOCKS, OWN, PAPER, POOLED, TAIL, TAIL_BLOCKS, TAIL_REACH, block_level, wanted_of
from detectors.normal_model.pool import LEAST_OWN, MOST_POOLED
from detectors.wording import plain

BASES = {PAPER: "paper", OWN: "own", TAIL: "tail", POOLED: "pooled"}
FLEET = 100  # sensors, of which it is said how long a pool takes
DAY = 86_400.0  # s
PAPERS_RULE = "at most epsilon of normal readings, if they are exchangeable with the readings that the threshold was drawn from"


@dataclass(frozen=True, slots=True)
class History:
    """How many blocks a budget needs before it decides.

    Attributes
    ----------
    level
        ε_b, the chance that a block may have of an alarm.
    own, tail
        Blocks until ranks serve it, and until a fitted tail does; None where a full ring never will.
    pooled
        Blocks of all sensors of a class in a partition together until ranks among these do, beside 32 of the sensor's own that it is
        measured by; None where a full pool never will.
    block_seconds
        b·Δ, how long a block lasts.
    """

    level: float
    own: int | None
    tail: int | None
    pooled: int | None
    block_seconds: float

    @property
    def first(self) -> int | None:
        """Blocks of its own until either does."""
        return min((blocks for blocks in (self.own, self.tail) if blocks is not None), default=None)

    @property
    def words(self) -> str:
        """The same for a person.

        >>> history_needed(1 / 7, readings=225, interval=60.0).words
        '90 blocks of 3.75 h (14.06 days) without an interruption, or 90 of its whole class (5.156 days with 100 such sensors)'
        """
        ways = []
        block = span(self.block_seconds)
        if self.first is not None:
            ways.append(f"{self.first:,} blocks of {block} ({span(self.first * self.block_seconds)}) without an interruption")
        if self.pooled is not None:
            together = span((LEAST_OWN + -(-self.pooled // FLEET)) * self.block_seconds)
            blocks = "" if ways else f" blocks of {block}"
            ways.append(f"{self.pooled:,}{blocks} of its whole class ({together} with {FLEET} such sensors)")
        return ", or ".join(ways) or f"more blocks of {block} than any ring holds"


def history_needed(false_alarms: float, *, readings: int, interval: float) -> History:
    """Return what `false_alarms` a sensor-day need of blocks of so many readings, `interval` seconds apart.

    Own ranks serve from (n + 1)·ε_b/2 ≥ 1 on, n at most 1,024; those of a class alike, n at most 32,768; a tail from 500 blocks and
    10·n·ε_b/2 ≥ 1 on.

    >>> history_needed(0.1, readings=225, interval=1.0)
    History(level=0.0002603827611897754, own=None, tail=769, pooled=7681, block_seconds=225.0)
    """
    level = float(block_level(false_alarms, readings, interval * 1e6))
    own = tail = pooled = None
    if (MOST_POOLED + 1) * level / 2.0 >= 1.0:
        ranks = int(wanted_of(level / 2.0, 0.0))
        own, pooled = ranks if ranks <= MOST_BLOCKS else None, ranks
    if TAIL_REACH * MOST_BLOCKS * level / 2.0 >= 1.0:
        tail = max(math.ceil(2.0 / (TAIL_REACH * level)), TAIL_BLOCKS)
    return History(level, own, tail, pooled, readings * interval)


def promise(basis: int, *, level: float, false_alarms: float, blocks: int, confirmed_left_out: bool) -> str:
    """What holds of an alarm with this basis."""
    if basis == PAPER:
        return PAPERS_RULE
    what = "of the blocks that are no anomalies" if confirmed_left_out else "of all blocks, those with true anomalies among them,"
    chance = f"{plain(100 * level)} % {what} alert, {plain(false_alarms)} a sensor-day"
    if basis == POOLED:
        return (
            f"{chance}, in the mean over the sensors of its class in this partition, if their blocks, each in units of its own sensor, are "
            f"exchangeable with the latest {blocks:,}"
        )
    if basis == TAIL:
        return f"approximately {chance}, by a tail fitted to the sensor's last {blocks:,} blocks"
    return f"at most {chance}, if they are exchangeable with the latest {blocks:,} of the sensor"


def span(seconds: float) -> str:
    """A time in the unit that suits it: 3.75 h."""
    for unit, size in (("days", DAY), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{plain(seconds / size)} {unit}"
    return f"{plain(seconds)} s"
