"""Which rows of a batch are refused, and why: the first reason stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Refused(ValueError):
    """One record cannot be read; the message is the reason that goes to the dead letters."""


@dataclass(slots=True)
class Refusals:
    """Reasons by row for a batch of `n` rows.

    >>> refusals = Refusals(3)
    >>> refusals.add(1, "value is missing")
    >>> refusals.add(1, "at is missing")
    >>> refusals.kept().tolist(), refusals.reasons[1]
    ([0, 2], 'value is missing')
    """

    n: int
    reasons: dict[int, str] = field(default_factory=dict)

    def add(self, row: int, reason: str) -> None:
        self.reasons.setdefault(row, reason)

    def where(self, bad: NDArray[np.bool_], reason: Callable[[int], str]) -> None:
        """Refuse the rows of a mask; `reason` is asked only for these."""
        if bad.any():
            for row in np.flatnonzero(bad).tolist():
                if row not in self.reasons:
                    self.reasons[row] = reason(row)

    def kept(self) -> NDArray[np.int64]:
        """The rows that stay, in order."""
        rows = np.arange(self.n)
        return np.delete(rows, list(self.reasons)) if self.reasons else rows


def shown(value: Any, length: int = 60) -> str:
    """A value as it stands in a reason: quoted, and cut where it is long.

    >>> shown("x" * 100, length=9)
    "'xxxxxxx…"
    """
    text = repr(value)
    return text if len(text) <= length else text[: length - 1] + "…"
