"""What a register of limits says of employees: the accounting limit and the approval limit of postings that name none.

A posting's own limits go before these, these before the settings. They are kept by name, for employees who have not posted yet as for
those who have, and put into an employee's row when he is first met; so it does not matter which of the two came first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.benford.rows import NO_LIMIT, OWN_APPROVAL, OWN_LIMIT, Rows
from detectors.protocol import Ints
from state.keys import KeyIndex


class Limits:
    """Limits by employee, minor units: (accounting limit, approval limit), −1 for none."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[int, int]] = {}
        self._met = np.zeros(0, np.bool_)  # of each slot, whether its row has been given what is known of its employee

    def __len__(self) -> int:
        return len(self._known)

    def adopt(self, items: Iterable[Mapping[str, Any]], keys: KeyIndex, rows: Rows) -> None:
        """Take ``{"key", "limit", "approval_limit"}`` each; one with neither limit is forgotten.

        Raises
        ------
        ValueError
            If a limit is no amount of minor units.
        """
        for item in items:
            key = str(item["key"]).encode()
            limit, approval = (_amount(item, name) for name in ("limit", "approval_limit"))
            if limit == NO_LIMIT and approval == NO_LIMIT:
                self._known.pop(key, None)
            else:
                self._known[key] = limit, approval
            slot = keys.find(key)
            if slot >= 0:
                rows.whole[slot, [OWN_LIMIT, OWN_APPROVAL]] = limit, approval

    def meet(self, slots: Ints, keys: KeyIndex, rows: Rows) -> None:
        """Give their limits to the rows of these slots that have not been met."""
        if not self._known:
            return
        if len(self._met) < rows.capacity:
            self._met = np.concatenate([self._met, np.zeros(rows.capacity - len(self._met), np.bool_)])
        for slot in np.unique(slots[~self._met[slots]]).tolist():
            rows.whole[slot, [OWN_LIMIT, OWN_APPROVAL]] = self._known.get(keys.key(slot), (NO_LIMIT, NO_LIMIT))
            self._met[slot] = True

    def forget(self, slots: Ints) -> None:
        """Note that these slots have another employee, or none."""
        self._met[slots[slots < len(self._met)]] = False

    def erase(self, meant: Callable[[bytes], bool]) -> None:
        """Forget what the register says of the employees who are meant."""
        for key in [key for key in self._known if meant(key)]:
            del self._known[key]

    def freeze(self) -> dict[str, NDArray[Any]]:
        """The employees in byte order, and their limits."""
        names = sorted(self._known)
        keys = np.frombuffer(b"".join(names), np.uint8).copy()
        limits = np.array([self._known[name] for name in names], np.int64).reshape(-1, 2)
        return {"keys": keys, "lengths": np.array([len(name) for name in names], np.int64), "limits": limits}

    @classmethod
    def thaw(cls, frozen: Mapping[str, NDArray[Any]]) -> Limits:
        """The limits of a frozen state."""
        limits, names = cls(), frozen["keys"].tobytes()
        stops = np.cumsum(frozen["lengths"]).tolist()
        starts = [0, *stops][: len(stops)]
        for start, stop, both in zip(starts, stops, frozen["limits"].tolist(), strict=True):
            limits._known[names[start:stop]] = both[0], both[1]
        return limits


def _amount(item: Mapping[str, Any], name: str) -> int:
    value = item.get(name)
    if value is None:
        return NO_LIMIT
    if not isinstance(value, int) or not 0 < value < 2**62:
        raise ValueError(f"limits: {name} = {value!r} of {item['key']!r}: wanted an amount of minor units above 0, or null")
    return value
