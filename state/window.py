"""Exact sliding sums over several windows at once: a key's transactions in a row, integers throughout.

A transaction belongs to any of a few groups (all, those of one attribute value, …), said by the bits of its `groups`: bit g, group g.
What is read of every window d (whole seconds) and group g, over the key's transactions with time t > now − d, is made of

    n = Σ 1,  T = Σ (t − r),  S0 = Σ a,  S1 = Σ a·(t − r),  Q = Σ a·(q − b),

with a the amount (integer minor units), q the transaction's place in order of time, and r and b origins of time and of places.

A key that has few transactions keeps these alone, three words each, side by side: to go through them once costs less than to fetch its
sums from memory, let alone to keep them up (`detectors.aggregation.equations`). A *busy* key, which has had more than 42 at once, keeps
the sums as well, in front of its transactions, and a head for each window (`state.busy`); a transaction then enters and leaves each sum
once, so that a turn costs O(1) amortised however long the windows are. Since all is int64, nothing ever drifts: both ways give what a
re-scan gives, to the last bit. Which way a key goes is not frozen; its transactions are.

Everything fits int64: the origins of a busy key follow its newest transaction, and a key holds at most `limit` transactions and at most
2⁶² / (longest window) minor units in absolute amounts (7.6·10¹² for a week). Where either is exceeded the oldest leave early, and
the key remembers the time of the last that did (`LEFT_EARLY`): sums that reach back to it are too small.

What has left the longest window is not forgotten altogether: it is counted, group by group. Shares of groups made from it alone
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

from state.arena import NO_ROOM, SMALLEST, Arena
from state.busy import (
    AMOUNT,
    ENTRY,
    IN_GROUPS,
    MASS,
    MOST_GROUPS,
    NUMBER,
    WHEN,
    WITHIN,
    advance_sums,
    age_of,
    enters,
    moved,
    oldest_leaves,
    sum_up,
    words_ahead,
)
from state.rings import (
    AHEAD,
    BUSY_CLASS,
    END,
    FIRST,
    LEFT_EARLY,
    LIMIT,
    LONGEST,
    MASS_LIMIT,
    NEWEST,
    PAST,
    QUIET_CLASS,
    Ints,
    block_of,
    card_of,
    clear_rows,
    count_past,
    entries_of,
    grow_for,
    is_busy,
    later_rows,
    plan_of,
    rows_of,
    slide_or_grow,
    thaw_rows,
)
from state.snapshot import Later
from state.words import address_of, peek, poke

QUIET = 4  # the largest size class of a block whose key is not busy: 42 transactions
_SAFE = 1 << 62


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def advance(card, arena, plan, now):  # type: ignore[no-untyped-def]
    """Let every transaction with time ≤ now − d leave window d. `now` is not before the key's newest."""
    first, end, newest = peek(card, FIRST), peek(card, END), peek(card, NEWEST)
    if first < end:
        if is_busy(card, plan):
            advance_sums(card, arena, plan, now)
        entries, left = entries_of(card, arena, plan), peek(plan, LONGEST) - (now - newest)
        while first < end and age_of(peek(entries, ENTRY * first + WHEN), newest) >= left:
            count_past(card, plan, peek(entries, ENTRY * first + WHEN), 1)
            first += 1
        poke(card, FIRST, first)
    poke(card, NEWEST, now)


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def holds(card, arena, plan, transaction):  # type: ignore[no-untyped-def]
    """Whether the key holds a transaction of this number. No early exit: so the processor goes straight on."""
    entries, found = entries_of(card, arena, plan), 0
    for place in range(ENTRY * peek(card, FIRST), ENTRY * peek(card, END), ENTRY):
        found += peek(entries, place + NUMBER) == transaction
    return found > 0


@njit(cache=True)  # type: ignore[untyped-decorator]
def make_room(card, data, header, plan):  # type: ignore[no-untyped-def]
    """Where `has_room` says no: have room for one transaction more; False if the arena must grow first (nothing is changed)."""
    was_busy = is_busy(card, plan)
    places = slide_or_grow(card, data, header, plan, ENTRY)
    if places == NO_ROOM:
        return False
    if was_busy:
        moved(card, address_of(data), plan, places)
    elif is_busy(card, plan):
        sum_up(card, address_of(data), plan)
    return True


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def _mass(card, arena, plan):  # type: ignore[no-untyped-def]
    """Σ|a| of what the key holds."""
    if is_busy(card, plan):
        return peek(block_of(card, arena), MASS)
    entries, mass = block_of(card, arena), 0
    for place in range(ENTRY * peek(card, FIRST), ENTRY * peek(card, END), ENTRY):
        mass += abs(peek(entries, place + AMOUNT))
    return mass


@njit(cache=True)  # type: ignore[untyped-decorator]
def _push_out(card, arena, plan, time, amount, groups):  # type: ignore[no-untyped-def]
    """Let the oldest leave until the transaction fits; False where it would have to leave itself."""
    entries, newest = entries_of(card, arena, plan), peek(card, NEWEST)
    while peek(card, FIRST) < peek(card, END) and (
        peek(card, END) - peek(card, FIRST) >= peek(plan, LIMIT) or _mass(card, arena, plan) + abs(amount) > peek(plan, MASS_LIMIT)
    ):
        when = peek(entries, ENTRY * peek(card, FIRST) + WHEN)
        oldest = newest - age_of(when, newest)
        poke(card, LEFT_EARLY, max(peek(card, LEFT_EARLY), min(time, oldest)))
        if time < oldest:
            count_past(card, plan, groups, 1)
            return False
        if is_busy(card, plan):
            oldest_leaves(card, arena, plan)
        count_past(card, plan, when, 1)
        poke(card, FIRST, peek(card, FIRST) + 1)
    return True


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def insert(card, arena, plan, time, amount, groups, transaction):  # type: ignore[no-untyped-def]
    """Add a transaction that is inside the longest window; `advance` (unless it is late) and room for it come before.

    Returns False where the key is full of newer ones, so that it was itself the one to leave early.
    """
    most = peek(plan, MASS_LIMIT)
    amount = max(-most, min(most, amount))
    newest, end = peek(card, NEWEST), peek(card, END)
    if end - peek(card, FIRST) >= peek(plan, LIMIT) or _mass(card, arena, plan) + abs(amount) > most:
        if not _push_out(card, arena, plan, time, amount, groups):
            return False
    entries, place = entries_of(card, arena, plan), end
    if time < newest:  # the newer make way
        while place > peek(card, FIRST) and age_of(peek(entries, ENTRY * (place - 1) + WHEN), newest) < newest - time:
            place -= 1
            for word in range(ENTRY * place + ENTRY - 1, ENTRY * place - 1, -1):
                poke(entries, word + ENTRY, peek(entries, word))
    poke(entries, ENTRY * place + WHEN, (time & WITHIN) << MOST_GROUPS | groups)
    poke(entries, ENTRY * place + AMOUNT, amount)
    poke(entries, ENTRY * place + NUMBER, transaction)
    poke(card, END, end + 1)
    if is_busy(card, plan):
        enters(card, arena, plan, place)
    return True


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _unroll(rows, data, plan_array, slots, part, as_times, out):  # type: ignore[no-untyped-def]
    """One part of the transactions of these keys, one key's after another's; of the first word the times, or the groups."""
    arena, plan, i = address_of(data), address_of(plan_array), 0
    for slot in slots:
        card = card_of(rows, slot)
        newest = peek(card, NEWEST)
        for place in range(peek(card, FIRST), peek(card, END)):
            word = peek(entries_of(card, arena, plan), ENTRY * place + part)
            if part == WHEN:
                word = newest - age_of(word, newest) if as_times else word & IN_GROUPS
            out[i] = word
            i += 1


@njit(cache=True)  # type: ignore[untyped-decorator]
def _fill(rows, data, plan_array, keys, times, amounts, groups, transactions):  # type: ignore[no-untyped-def]
    """Write the first keys' transactions, one key's after another's, into their blocks."""
    arena, plan, i = address_of(data), address_of(plan_array), 0
    for slot in range(keys):
        card = card_of(rows, slot)
        if peek(card, END) > 0:
            entries = entries_of(card, arena, plan)
            for place in range(ENTRY * peek(card, FIRST), ENTRY * peek(card, END), ENTRY):
                poke(entries, place + WHEN, (times[i] & WITHIN) << MOST_GROUPS | groups[i])
                poke(entries, place + AMOUNT, amounts[i])
                poke(entries, place + NUMBER, transactions[i])
                i += 1
            if is_busy(card, plan):
                sum_up(card, arena, plan)


class SlidingWindows:
    """The transactions and sums of all keys of a partition; the kernels above work on its arrays.

    Parameters
    ----------
    spans
        The windows in whole seconds, ascending; the longest less than 2²⁷, four years.
    groups
        How many groups are kept apart, at most 36.
    limit
        The most transactions that a key holds; beyond it the oldest leave early.
    quiet
        The largest size class of a block whose key is not busy: blocks have 8 · 2ᶜ words.

    Attributes
    ----------
    rows
        Slab with `rings` (int64, see `state.rings`).
    plan
        What is the same for all keys.
    mass_limit
        The most that a key's absolute amounts may add up to; a single amount beyond it counts as this much.
    """

    def __init__(self, spans: Sequence[int], groups: int, limit: int = 4096, quiet: int = QUIET) -> None:
        self.plan = plan_of(spans, groups, limit)
        if not 1 <= groups <= MOST_GROUPS:
            raise ValueError(f"groups = {groups}: wanted between 1 and {MOST_GROUPS}")
        if spans[-1] > WITHIN:
            raise ValueError(f"a window of {spans[-1]} seconds: wanted at most {WITHIN}")
        self.spans, self.groups, self.limit = np.array(spans, np.int64), groups, limit
        self.mass_limit = _SAFE // int(self.spans[-1])
        ahead, busy = words_ahead(groups, len(self.spans)), quiet + 1
        while SMALLEST << busy < ahead + ENTRY * (SMALLEST << quiet) // 2:  # half as many again as a quiet one
            busy += 1
        self.plan[[AHEAD, QUIET_CLASS, BUSY_CLASS, MASS_LIMIT]] = ahead, quiet, busy, self.mass_limit
        self.rows = rows_of(groups)
        self.arena = Arena(np.int64, 4096)

    @property
    def past(self) -> Ints:
        """How many of each group have left the longest window, a row a key."""
        past: Ints = self.rows["rings"][:, PAST : PAST + self.groups]
        return past

    def grow_arena(self) -> None:
        """After `make_room` has said False: room for the longest ring there may be."""
        grow_for(self.arena, self.rows, self.plan)

    def clear(self, slots: Ints) -> None:
        """Forget these keys' transactions."""
        clear_rows(self.rows, self.arena, slots)

    def freeze(self, order: Ints) -> dict[str, NDArray[Any]]:
        """Rows in this order, and their transactions oldest to newest, one key's after another's; what can be made of these is left out."""
        return {name: array.whole() for name, array in self.later(order).items()}

    def later(self, order: Ints) -> dict[str, Later]:
        """The same, made when it is written."""
        frozen = later_rows(self.rows, self.groups, order)
        rings = self.rows["rings"]
        held = (int((rings[order, END] - rings[order, FIRST]).sum()),)
        for name in _PART_NAMES:
            frozen[name] = Later.of_rows(np.int64, held, order, partial(self._part, name))
        return frozen

    def _part(self, name: str, slots: Ints) -> Ints:
        rings = self.rows["rings"]
        out = np.empty(int((rings[slots, END] - rings[slots, FIRST]).sum()), np.int64)
        _unroll(rings, self.arena.data, self.plan, slots, _PART_NAMES[name], name == "times", out)
        return out

    def thaw(self, frozen: Mapping[str, NDArray[Any]]) -> None:
        """Take frozen rows as the rows 0 … n − 1, each key's transactions in a block of its own."""
        self.arena = thaw_rows(self.rows, self.plan, frozen, ENTRY, _PART_NAMES)
        _fill(self.rows["rings"], self.arena.data, self.plan, len(frozen["rings"]), *(frozen[name] for name in _PART_NAMES))


_PART_NAMES = {"times": WHEN, "amounts": AMOUNT, "groups": WHEN, "transactions": NUMBER}
