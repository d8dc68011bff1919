"""Why a partition is not folded: it waits for a person (parked), or another worker has it (dead)."""

from __future__ import annotations

from enum import StrEnum


class Cause(StrEnum):
    """Why a partition is parked; a label of the metric."""

    MOVED = "moved"  # the group has an offset that names no checkpoint
    GROUP_LOST = "group_lost"  # the group knows nothing, though checkpoints or cuts exist
    PARTITIONS = "partitions"  # the source had another number of partitions
    FORMAT = "format"  # written by a newer build
    SIGNATURE = "signature"  # settings that shape the state have changed
    SOURCE = "source"  # the source does not hold the offset
    UNREADABLE = "unreadable"  # neither this checkpoint nor the one before it can be read
    CUTS = "cuts"  # the cut log cannot be followed


class Parked(Exception):
    """A partition cannot be restored and must not start from nothing; the message says what a person can do."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class Dead(Exception):
    """A fold that no longer owns its partition, or has lost what it said: drop it, and let nothing more of it out."""
