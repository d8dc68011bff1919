"""Exact sliding sums over several windows at once: one ring of transactions per key, a head per window, integers throughout.

A transaction belongs to any of a few groups (all, those of one attribute value, …), said by the bits of its `groups`: bit g, group g.
For every window d (whole seconds) and group g a key holds, over its transactions with time t > now − d,

    n = Σ 1,  T = Σ (t − r),  S0 = Σ a,  S1 = Σ a·(t − r),  Q = Σ a·(q − b),

with a the amount (integer minor units), r the key's origin in time, q the transaction's place in order of time and b the origin of
places. A transaction enters and leaves each sum once, so a turn costs O(1) amortised however long the windows are, and since all
is int64, nothing ever drifts: the sums equal those of a re-scan to the last bit.

Everything fits int64: origins follow the newest transaction, and a ring holds at most `limit` transactions and at most
2⁶² / (longest window) minor units in absolute amounts (7.6·10¹² for a week). Where either is exceeded the oldest leave early, and
the key remembers the time of the last that did (`LEFT_EARLY`): sums that reach back to it are too small.

What has left the longest window is not forgotten altogether: `past` counts it, group by group. Shares of groups made from it alone
are a longest window old, so that a burst of frauds cannot teach them before its labels are there.

A transaction older than the newest may still come in while it is inside the longest window: it is put in its place. The sums do not
depend on the order of arrival, except that among equal times the places q follow it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from state.arena import NO_ROOM, Arena, allocate, release
from state.prefetch import FAR, NEAR, ask_for, ask_for_row
from state.slab import Slab
from state.snapshot import Later

Ints = NDArray[np.int64]

# Columns of a key's row in `rings`; after them one head per window. Places count on for ever, the ring's index is place & (room − 1).
START, ROOM, NEXT, NEWEST, LEFT_EARLY, ORIGIN, PLACE_ORIGIN, MASS, HEADS = range(9)
# Columns of `sums[slot, group, window]`: what one transaction touches lies together.
COUNT, TIMES, AMOUNTS, AMOUNT_TIMES, AMOUNT_PLACES = range(5)
SUMS = 5

# A ring's block: `room` records of TIME, AMOUNT and GROUPS, behind them as many numbers of transactions, which are searched together.
TIME, AMOUNT, IN_GROUPS = range(3)
RECORD = 3
WORDS = RECORD + 1  # of a transaction
MOST_GROUPS = 62  # bits of a whole number
SMALLEST_ROOM = 8
ROWS = 65_536  # keys whose rings are thawed at once
MOST_ASKED = 64  # transactions that are asked for ahead of their event: a long ring is read at a few places only
NEVER = np.iinfo(np.int64).min
_SAFE = 1 << 62


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def look_ahead(rings, sums, past, data, slots, row, words):  # type: ignore[no-untyped-def]
    """Ask memory for what the next events of a batch will need; `words` is what a transaction takes in a ring."""
    if row + FAR < len(slots):
        ask_for_row(rings, slots[row + FAR])
        ask_for_row(sums, slots[row + FAR])
        ask_for_row(past, slots[row + FAR])
    if row + NEAR < len(slots) and rings[slots[row + NEAR], START] >= 0:
        ask_for(data, rings[slots[row + NEAR], START], words * min(rings[slots[row + NEAR], ROOM], MOST_ASKED))


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def _leave(rings, sums, data, slot, window, place):  # type: ignore[no-untyped-def]
    """Take the transaction at `place` out of one window's sums."""
    room = rings[slot, ROOM]
    at = rings[slot, START] + RECORD * (place & (room - 1))
    since = data[at + TIME] - rings[slot, ORIGIN]
    amount = data[at + AMOUNT]
    groups = data[at + IN_GROUPS]
    placed = amount * (place - rings[slot, PLACE_ORIGIN])
    for group in range(sums.shape[1]):
        if groups >> group & 1:
            s = sums[slot, group, window]
            s[COUNT] -= 1
            s[TIMES] -= since
            s[AMOUNTS] -= amount
            s[AMOUNT_TIMES] -= amount * since
            s[AMOUNT_PLACES] -= placed


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def count_groups(counts, groups):  # type: ignore[no-untyped-def]
    """One more in each of its groups."""
    for group in range(len(counts)):
        counts[group] += groups >> group & 1


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def advance(rings, sums, past, data, spans, slot, now):  # type: ignore[no-untyped-def]
    """Let every transaction with time ≤ now − d leave window d, and bring the origins up. `now` is not before the key's newest."""
    start, room, end = rings[slot, START], rings[slot, ROOM], rings[slot, NEXT]
    longest = len(spans) - 1
    for window in range(longest + 1):
        edge = now - spans[window]
        head = rings[slot, HEADS + window]
        while head < end and data[start + RECORD * (head & (room - 1)) + TIME] <= edge:
            _leave(rings, sums, data, slot, window, head)
            if window == longest:
                here = start + RECORD * (head & (room - 1))
                rings[slot, MASS] -= abs(data[here + AMOUNT])
                count_groups(past[slot], data[here + IN_GROUPS])
            head += 1
        rings[slot, HEADS + window] = head
    rings[slot, NEWEST] = now
    moved = now - rings[slot, ORIGIN]
    if moved >= spans[longest]:
        climbed = rings[slot, HEADS + longest] - rings[slot, PLACE_ORIGIN]
        for group in range(sums.shape[1]):
            for window in range(longest + 1):
                s = sums[slot, group, window]
                s[TIMES] -= moved * s[COUNT]
                s[AMOUNT_TIMES] -= moved * s[AMOUNTS]
                s[AMOUNT_PLACES] -= climbed * s[AMOUNTS]
        rings[slot, ORIGIN] = now
        rings[slot, PLACE_ORIGIN] += climbed


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def holds(rings, data, spans, slot, transaction):  # type: ignore[no-untyped-def]
    """Whether a transaction of this number is in the key's ring. No early exit: so the compiler can compare several at a time."""
    room = rings[slot, ROOM]
    first, end = rings[slot, HEADS + len(spans) - 1], rings[slot, NEXT]
    if first == end:
        return False
    numbers = rings[slot, START] + RECORD * room
    a = first & (room - 1)
    upper = min(a + end - first, room)
    found = 0
    for i in range(numbers + a, numbers + upper):
        found += data[i] == transaction
    for i in range(numbers, numbers + end - first - (upper - a)):
        found += data[i] == transaction
    return found > 0


@njit(cache=True)  # type: ignore[untyped-decorator]
def make_room(rings, data, header, spans, slot, limit):  # type: ignore[no-untyped-def]
    """Have room for one transaction more, doubling the ring if need be; False if the arena must grow first (nothing is changed)."""
    start, room, end = rings[slot, START], rings[slot, ROOM], rings[slot, NEXT]
    first = rings[slot, HEADS + len(spans) - 1]
    if end - first < room or end - first >= limit:
        return True
    wider = max(2 * room, SMALLEST_ROOM)
    fresh = allocate(data, header, WORDS * wider)
    if fresh == NO_ROOM:
        return False
    for place in range(first, end):
        old, new = place & (room - 1), place & (wider - 1)
        for word in range(RECORD):
            data[fresh + RECORD * new + word] = data[start + RECORD * old + word]
        data[fresh + RECORD * wider + new] = data[start + RECORD * room + old]
    if room > 0:
        release(data, header, start, WORDS * room)
    rings[slot, START] = fresh
    rings[slot, ROOM] = wider
    return True


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def insert(rings, sums, past, data, spans, slot, time, amount, groups, transaction, limit, mass_limit):  # type: ignore[no-untyped-def]
    """Add a transaction that is inside the longest window; `advance` (unless it is late) and `make_room` come before.

    Returns False where the ring is full of newer ones, so that it was itself the one to leave early.
    """
    longest = len(spans) - 1
    amount = max(-mass_limit, min(mass_limit, amount))
    start, room, end = rings[slot, START], rings[slot, ROOM], rings[slot, NEXT]
    newest = rings[slot, NEWEST]
    while True:
        first = rings[slot, HEADS + longest]
        if first == end or (end - first < limit and rings[slot, MASS] + abs(amount) <= mass_limit):
            break
        oldest = start + RECORD * (first & (room - 1))
        if time < data[oldest + TIME]:
            rings[slot, LEFT_EARLY] = max(rings[slot, LEFT_EARLY], time)
            count_groups(past[slot], groups)
            return False
        rings[slot, LEFT_EARLY] = max(rings[slot, LEFT_EARLY], data[oldest + TIME])
        rings[slot, MASS] -= abs(data[oldest + AMOUNT])
        count_groups(past[slot], data[oldest + IN_GROUPS])
        for window in range(longest + 1):
            if rings[slot, HEADS + window] == first:
                _leave(rings, sums, data, slot, window, first)
                rings[slot, HEADS + window] = first + 1

    place, numbers = end, start + RECORD * room
    while place > first and data[start + RECORD * ((place - 1) & (room - 1)) + TIME] > time:  # a late one: the newer make way
        place -= 1
        old, new = place & (room - 1), (place + 1) & (room - 1)
        here, above = start + RECORD * old, start + RECORD * new
        for word in range(RECORD):
            data[above + word] = data[here + word]
        data[numbers + new] = data[numbers + old]
        for group in range(sums.shape[1]):
            if data[here + IN_GROUPS] >> group & 1:
                for window in range(longest + 1):
                    if place >= rings[slot, HEADS + window]:
                        sums[slot, group, window, AMOUNT_PLACES] += data[here + AMOUNT]
    here = start + RECORD * (place & (room - 1))
    data[here + TIME] = time
    data[here + AMOUNT] = amount
    data[here + IN_GROUPS] = groups
    data[numbers + (place & (room - 1))] = transaction
    rings[slot, NEXT] = end + 1
    rings[slot, MASS] += abs(amount)
    since, placed = time - rings[slot, ORIGIN], amount * (place - rings[slot, PLACE_ORIGIN])
    widest = longest + 1  # the windows from here on hold it
    while widest > 0 and time > newest - spans[widest - 1]:
        widest -= 1
    for window in range(widest):
        rings[slot, HEADS + window] += 1
    for group in range(sums.shape[1]):
        if groups >> group & 1:
            for window in range(widest, longest + 1):
                s = sums[slot, group, window]
                s[COUNT] += 1
                s[TIMES] += since
                s[AMOUNTS] += amount
                s[AMOUNT_TIMES] += amount * since
                s[AMOUNT_PLACES] += placed
    return True


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _unrolled(rings, data, slots, part, out):  # type: ignore[no-untyped-def]
    """One part of the transactions of these keys' rings, oldest to newest, one ring after another."""
    k, oldest = 0, rings.shape[1] - 1
    for slot in slots:
        start, room = rings[slot, START], rings[slot, ROOM]
        for place in range(rings[slot, oldest], rings[slot, NEXT]):
            at = place & (room - 1)
            out[k] = data[start + (RECORD * at + part if part < RECORD else RECORD * room + at)]
            k += 1


class SlidingWindows:
    """The rings and sums of all keys of a partition; the kernels above work on its arrays.

    Parameters
    ----------
    spans
        The windows in whole seconds, ascending.
    groups
        How many groups are kept apart, at most 62.
    limit
        The most transactions that one key's ring holds; beyond it the oldest leave early.

    Attributes
    ----------
    rows
        Slab with `rings` (int64, a row of `HEADS + windows`), `sums` (int64, groups × windows × 5) and `past` (int64, groups).
    mass_limit
        The most that a ring's absolute amounts may add up to; a single amount beyond it counts as this much.
    """

    def __init__(self, spans: Sequence[int], groups: int, limit: int = 4096) -> None:
        self.spans: Ints = np.array(spans, np.int64)
        if len(self.spans) == 0 or self.spans[0] < 1 or np.any(np.diff(self.spans) <= 0):
            raise ValueError(f"windows of {list(spans)} seconds: wanted at least one, ascending, each of a second or more")
        if limit < 1:
            raise ValueError(f"limit = {limit}: a ring must be able to hold at least one transaction")
        if not 1 <= groups <= MOST_GROUPS:
            raise ValueError(f"groups = {groups}: wanted between 1 and {MOST_GROUPS}")
        self.groups, self.limit = groups, limit
        self.mass_limit = _SAFE // int(self.spans[-1])
        ring = np.zeros(HEADS + len(spans), np.int64)
        ring[START], ring[NEWEST], ring[LEFT_EARLY] = -1, NEVER, NEVER
        self.rows = Slab(rings=ring, sums=np.zeros((groups, len(spans), SUMS), np.int64), past=np.zeros(groups, np.int64))
        self.recent: Ints = np.zeros((0, 0), np.int64)  # as in `state.tiles`: here the ring itself holds the numbers
        self.arena = Arena(np.int64, 4096)

    def grow_arena(self) -> None:
        """After `make_room` has said False: room for the longest ring there may be."""
        self.arena.grow(WORDS * max(SMALLEST_ROOM, 2 * int(self.rows["rings"][:, ROOM].max(initial=0))))

    def clear(self, slots: Ints) -> None:
        """Forget these keys' rings."""
        rings = self.rows["rings"]
        for slot in slots.tolist():
            if rings[slot, ROOM] > 0:
                self.arena.release(int(rings[slot, START]), WORDS * int(rings[slot, ROOM]))
        self.rows.clear(slots)

    def freeze(self, order: Ints) -> dict[str, NDArray[Any]]:
        """Rows in this order, and their rings oldest to newest, one after another; where a ring lies and how wide it is, is left out."""
        return {name: array.whole() for name, array in self.later(order).items()}

    def later(self, order: Ints) -> dict[str, Later]:
        """The same, made when it is written."""
        frozen, rings = self.rows.later(order), self.rows["rings"]
        frozen["rings"] = Later.of_rows(np.int64, (len(order), rings.shape[1]), order, self._bare)
        length = (int((rings[order, NEXT] - rings[order, -1]).sum()),)
        for name in _PART_NAMES:
            frozen[name] = Later.of_rows(np.int64, length, order, partial(self._part, name))
        return frozen

    def _bare(self, slots: Ints) -> Ints:
        """These rows without where their rings lie."""
        rings: Ints = self.rows["rings"][slots]
        rings[:, START], rings[:, ROOM] = -1, 0
        return rings

    def _part(self, name: str, slots: Ints) -> NDArray[Any]:
        rings = self.rows["rings"]
        out = np.empty(int((rings[slots, NEXT] - rings[slots, -1]).sum()), np.int64)
        _unrolled(rings, self.arena.data, slots, _PART_NAMES.index(name), out)
        return out

    def thaw(self, frozen: Mapping[str, NDArray[Any]]) -> None:
        """Take frozen rows as the rows 0 … n − 1, each ring in a block of its own."""
        columns = {name: array for name, array in frozen.items() if name not in _PART_NAMES}
        self.rows.thaw({**columns, "rings": frozen["rings"].copy()})  # which say where they lie from here on
        rings = self.rows["rings"][: len(frozen["rings"])]
        lengths = rings[:, NEXT] - rings[:, -1]
        rooms = np.array([max(SMALLEST_ROOM, 1 << max(0, n - 1).bit_length()) if n else 0 for n in lengths.tolist()], np.int64)
        used = int(WORDS * rooms.sum())
        self.arena = Arena(np.int64, max(4096, used))
        self.arena.header[0] = used
        rings[:, ROOM] = rooms
        rings[:, START] = np.where(rooms > 0, WORDS * (np.cumsum(rooms) - rooms), -1)
        end = 0
        for first in range(0, len(rings), ROWS):
            rows = slice(first, first + ROWS)
            begin, end = end, end + int(lengths[rows].sum())
            for name in _PART_NAMES:
                self.arena.data[self._places(rings[rows], name)] = frozen[name][begin:end]

    def _places(self, rings: Ints, name: str) -> Ints:
        """Where in the arena a part of these rings' transactions stands, rings one after another, oldest to newest."""
        first, lengths = rings[:, -1], rings[:, NEXT] - rings[:, -1]
        within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        room, start = np.repeat(rings[:, ROOM], lengths), np.repeat(rings[:, START], lengths)
        place, word = (np.repeat(first, lengths) + within) & (room - 1), _PART_NAMES.index(name)
        places: Ints = start + (RECORD * place + word if word < RECORD else RECORD * room + place)
        return places


_PART_NAMES = ("times", "amounts", "groups", "transactions")
