"""Merchants' shares of known frauds, linear-time-weighted over several windows that end a label delay ago.

The time gap of Eq. (4) on another key: of a merchant's transactions that have matured by hour H, each of hour h weighs what is left
of its window, D − (H − h) hours, and the share is Σ weight·fraud / Σ weight. As in Eq. (4) both sums are (D − H)·S0 + S1 with
S1 = Σ h: whole numbers, to which an hour is added when it matures and from which it is taken when it leaves. A merchant without
known frauds has the share 0 and is not in the record.

A merchant's transactions are spread over all partitions, and over many cards: no partition could say this alone. The trainer can,
and its record is adopted by every partition at a cut.
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from detectors.aggregation.features import MERCHANT_DAYS
from detectors.protocol import Floats, Ints

FORMAT = 1
HOURS_A_DAY = 24
MOST = 30_000  # merchants in a record, which must stay below a message's 900 kB: those with the largest shares
LEAST_NAMES = 4_096  # merchants that may be remembered in any case
_SEEN, _SEEN_HOURS, _FRAUDS, _FRAUD_HOURS = range(4)


class SharesRefused(ValueError):
    """A record of shares that this build cannot read, or of other windows."""


@njit(cache=True)  # type: ignore[untyped-decorator]
def find(merchants, merchant):  # type: ignore[no-untyped-def]
    """The row of a merchant among those of a record, which are sorted; −1 if it has no known frauds."""
    low, high = 0, len(merchants)
    while low < high:
        middle = (low + high) >> 1
        if merchants[middle] < merchant:
            low = middle + 1
        else:
            high = middle
    return low if low < len(merchants) and merchants[low] == merchant else -1


@dataclass(frozen=True)
class KnownShares:
    """A record as the hot path applies it.

    Attributes
    ----------
    hour
        It is of what had matured by this hour (hours since 1970): its version.
    merchants, shares
        Sorted hashes, shape (m,), and their shares by window, shape (m, windows).
    """

    hour: int
    merchants: Ints
    shares: Floats

    @classmethod
    def none(cls, windows: int = len(MERCHANT_DAYS)) -> KnownShares:
        """No frauds are known."""
        return cls(-1, np.empty(0, np.int64), np.empty((0, windows)))

    @classmethod
    def of_record(cls, record: Mapping[str, Any], days: Sequence[int] = MERCHANT_DAYS) -> KnownShares:
        """The shares of a record.

        Raises
        ------
        SharesRefused
            It is of another format or of other windows.
        """
        if record.get("format") != FORMAT or list(record["days"]) != list(days):
            raise SharesRefused(
                f"shares of format {record.get('format')!r} over {record.get('days')} days: wanted {FORMAT} over {list(days)}"
            )
        merchants = np.frombuffer(base64.b64decode(record["merchants"]), "<i8").astype(np.int64)
        shares = np.frombuffer(base64.b64decode(record["shares"]), "<f4").astype(np.float64)
        return cls(record["hour"], merchants, shares.reshape(len(merchants), len(days)))


class MerchantShares:
    """The sums over a stream's matured transactions.

    Parameters
    ----------
    days
        D of each window, in whole days, ascending.

    Examples
    --------
    Shop 7 has a genuine payment in hour 10 and a fraud in hour 22. At hour 24 the first weighs 10 and the second 22 of 24 hours:

    >>> shares = MerchantShares((1,))
    >>> shares.add(10, np.array([7]), np.array([0]))
    >>> shares.add(22, np.array([7]), np.array([1]))
    >>> float(shares.at(24)[1][0, 0]) == 22 / (22 + 10)
    True
    """

    def __init__(self, days: Sequence[int] = MERCHANT_DAYS) -> None:
        self.days = tuple(days)
        self.spans = np.array([HOURS_A_DAY * d for d in days], np.int64)
        self._names = np.empty(0, np.int64)  # of merchants, in order of their places
        self._order = np.empty(0, np.int64)  # which sorts them
        self._sums = np.zeros((0, len(self.days), 4), np.int64)
        self._tiles: deque[tuple[int, Ints, Ints, Ints]] = deque()  # hour, merchants' places, transactions, frauds; in order of hours
        self._hour = -1  # all sums are of this hour
        self._compact_at = HOURS_A_DAY  # steps until merchants are looked through
        self._begin = [0] * len(self.days)  # how many of the oldest tiles have left each window

    def add(self, hour: int, merchants: Ints, fraud: Ints, sign: int = 1) -> None:
        """Take in matured transactions of an hour: their merchants (−1: not given, passed over) and outcomes.

        `sign` −1 takes some out again that had been added, as for an outcome that has changed.
        """
        given = merchants >= 0
        if not given.any():
            return
        merchants, fraud = merchants[given], np.asarray(fraud, np.int64)[given]
        names, inverse = np.unique(merchants, return_inverse=True)
        seen = sign * np.bincount(inverse, minlength=len(names)).astype(np.int64)
        frauds = sign * np.bincount(inverse, weights=fraud, minlength=len(names)).astype(np.int64)
        self._insert(hour, self._places_of(names), seen, frauds)

    def at(self, hour: int) -> tuple[Ints, Floats]:
        """Merchants with known frauds, sorted, and their shares at an hour not before those asked for: shapes (m,), (m, windows)."""
        self._advance(hour)
        # the longest window holds what the others hold, and only what weighs something
        known = np.flatnonzero(self._sums[: len(self._names), -1, _FRAUDS] > 0)
        sums, weight = self._sums[known], self.spans - self._hour
        seen = weight * sums[:, :, _SEEN] + sums[:, :, _SEEN_HOURS]
        shares = (weight * sums[:, :, _FRAUDS] + sums[:, :, _FRAUD_HOURS]) / np.maximum(seen, 1)
        order = np.argsort(self._names[known], kind="stable")
        return self._names[known][order], shares[order]

    def record(self, hour: int) -> dict[str, Any]:
        """The shares at an hour as JSON; float32, rounded here and so the same for everybody."""
        merchants, shares = self.at(hour)
        if len(merchants) > MOST:
            largest = np.sort(np.argsort(-shares.max(axis=1), kind="stable")[:MOST])
            merchants, shares = merchants[largest], shares[largest]
        return {
            "format": FORMAT,
            "hour": hour,
            "days": list(self.days),
            "merchants": base64.b64encode(merchants.astype("<i8").tobytes()).decode(),
            "shares": base64.b64encode(shares.astype("<f4").tobytes()).decode(),
        }

    def _places_of(self, names: Ints) -> Ints:
        """Where merchants' sums stand; new ones get places."""
        place, held = self._find(names), len(self._names)
        new = names[place < 0]
        if not len(new):
            return place
        self._names = np.concatenate([self._names, new])
        self._order = np.argsort(self._names, kind="stable")
        if len(self._names) > len(self._sums):
            more = np.zeros((max(1_024, len(self._names)), *self._sums.shape[1:]), np.int64)
            self._sums = np.concatenate([self._sums[:held], more])
        return self._find(names)

    def _find(self, names: Ints) -> Ints:
        """Merchants' places, −1 where one has none."""
        if not len(self._names):
            return np.full(len(names), -1, np.int64)
        at = np.minimum(np.searchsorted(self._names, names, sorter=self._order), len(self._names) - 1)
        place = self._order[at]
        return np.where(self._names[place] == names, place, -1)

    def _insert(self, hour: int, places: Ints, seen: Ints, frauds: Ints) -> None:
        if hour <= self._hour - int(self.spans[-1]):
            return  # it would weigh nothing
        at = len(self._tiles)
        while at and self._tiles[at - 1][0] > hour:
            at -= 1
        self._tiles.insert(at, (hour, places, seen, frauds))
        for window, span in enumerate(self.spans.tolist()):
            if hour <= self._hour - span:
                self._begin[window] += 1
            else:
                self._sum(window, hour, places, seen, frauds)

    def _advance(self, hour: int) -> None:
        """Take out of each window what weighs nothing any more, and forget what has left them all."""
        if hour <= self._hour:
            return
        self._hour = hour
        for window, span in enumerate(self.spans.tolist()):
            while self._begin[window] < len(self._tiles) and self._tiles[self._begin[window]][0] <= self._hour - span:
                old, places, seen, frauds = self._tiles[self._begin[window]]
                self._sum(window, old, places, -seen, -frauds)
                self._begin[window] += 1
        for _ in range(min(self._begin)):
            self._tiles.popleft()
        self._begin = [begin - min(self._begin) for begin in self._begin]
        self._compact_at -= 1
        if self._compact_at <= 0:
            self._compact_at = HOURS_A_DAY
            self._compact()

    def _compact(self) -> None:
        """Forget the names of merchants that no window holds, once they are the most."""
        if len(self._names) < LEAST_NAMES:
            return
        held = np.zeros(len(self._names), np.bool_)
        for _, places, _, _ in self._tiles:
            held[places] = True
        if 2 * held.sum() >= len(self._names):
            return
        to = np.cumsum(held) - 1
        self._names, self._sums = self._names[held], self._sums[: len(held)][held]
        self._order = np.argsort(self._names, kind="stable")
        self._tiles = deque((hour, to[places], seen, frauds) for hour, places, seen, frauds in self._tiles)

    def _sum(self, window: int, hour: int, places: Ints, seen: Ints, frauds: Ints) -> None:
        """Places of one tile differ, so that plain indexing adds each once."""
        sums = self._sums[:, window]
        sums[places, _SEEN] += seen
        sums[places, _SEEN_HOURS] += hour * seen
        sums[places, _FRAUDS] += frauds
        sums[places, _FRAUD_HOURS] += hour * frauds
