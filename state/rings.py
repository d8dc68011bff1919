"""What each key of `state.window` and of `state.tiles` has: a row, and a block of the arena where its entries stand in order of time.

A row is a few whole lines of the cache: where the block is, which of its entries are held, and counts. Entries come in behind and leave
in front; where the block's end is reached they move to its beginning, or, where there are too many, to a block twice as large.

Kernels take a key's row and the arena by their addresses (`state.words`), and what is the same for all keys as a `plan`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from state.arena import NO_ROOM, SMALLEST, Arena, allocate, release
from state.prefetch import FAR, NEAR, ask_for_words
from state.slab import Slab
from state.snapshot import Later
from state.words import WORD, address_of, peek, poke

Ints = NDArray[np.int64]

# Words of a key's row: its block (start · 2⁶ + size class; −1: none), the place of its oldest entry and the one behind its newest, its
# newest second, and that of the last that left early. From PAST on, how many of each group have left the longest window.
BLOCK, FIRST, END, NEWEST, LEFT_EARLY, PAST = range(6)
LINE = 8  # words
CLASS = (1 << 6) - 1

# Words of a plan: how many groups and windows there are; how many words stand before a busy key's entries, above which size class a key
# is busy, and the smallest of busy ones (`state.window`); the most entries and absolute amounts; the windows in seconds, the last again.
GROUPS, WINDOWS, AHEAD, QUIET_CLASS, BUSY_CLASS, LIMIT, MASS_LIMIT, LONGEST, SPANS = range(9)
NEVER_BUSY = CLASS
SMALLEST_CLASS = 2  # 32 words
LARGEST_FULL = 5  # blocks up to this class may fill up to the last word, larger ones are kept a quarter free
MOST_ASKED = 256  # words that are asked for ahead of their event: of a longer ring few are read
NEVER = np.iinfo(np.int64).min
# Columns of a frozen key's `rings`.
HELD, FROZEN_NEWEST, FROZEN_LEFT_EARLY = range(3)


def plan_of(spans: Sequence[int], groups: int, limit: int, mass_limit: int = 0) -> Ints:
    """A plan by which no key is busy.

    Raises
    ------
    ValueError
        If there is no window, if they are not whole seconds in ascending order, or if the limit is below 1.
    """
    windows: Ints = np.array(spans, np.int64)
    if len(windows) == 0 or windows[0] < 1 or np.any(np.diff(windows) <= 0):
        raise ValueError(f"windows of {list(spans)} seconds: wanted at least one, ascending, each of a second or more")
    if limit < 1:
        raise ValueError(f"limit = {limit}: a ring must be able to hold at least one entry")
    return np.array([groups, len(windows), 0, NEVER_BUSY, NEVER_BUSY, limit, mass_limit, windows[-1], *windows], np.int64)


def rows_of(words: int) -> Slab:
    """Rows of so many words behind the first five, in whole lines."""
    row = np.zeros(-(-(PAST + words) // LINE) * LINE, np.int64)
    row[BLOCK], row[NEWEST], row[LEFT_EARLY] = -1, NEVER, NEVER
    return Slab(rings=row)


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def card_of(rows, slot):  # type: ignore[no-untyped-def]
    """The address of a key's row."""
    return address_of(rows) + WORD * rows.shape[1] * slot


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def is_busy(card, plan):  # type: ignore[no-untyped-def]
    """Whether words stand before the key's entries."""
    block = peek(card, BLOCK)
    return block >= 0 and block & CLASS > peek(plan, QUIET_CLASS)


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def block_of(card, arena):  # type: ignore[no-untyped-def]
    """The address of the key's block."""
    return arena + WORD * (peek(card, BLOCK) >> 6)


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def entries_of(card, arena, plan):  # type: ignore[no-untyped-def]
    """The address of the key's entry 0."""
    return block_of(card, arena) + (WORD * peek(plan, AHEAD) if is_busy(card, plan) else 0)


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def look_ahead(rows, arena, slots, row, words):  # type: ignore[no-untyped-def]
    """Ask memory for what the next events of a batch will need; `words` are an entry's."""
    width = rows.shape[1]
    if row + FAR < len(slots):
        ask_for_words(address_of(rows), width * slots[row + FAR], width)
    if row + NEAR < len(slots):
        card = card_of(rows, slots[row + NEAR])
        if peek(card, BLOCK) >= 0:
            first = peek(card, FIRST)
            ask_for_words(block_of(card, arena), words * first, min(words * (peek(card, END) - first + 1), MOST_ASKED))


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def count_past(card, plan, groups, many):  # type: ignore[no-untyped-def]
    """So many more of these groups have left."""
    for group in range(peek(plan, GROUPS)):
        poke(card, PAST + group, peek(card, PAST + group) + (groups >> group & 1) * many)


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def has_room(card, plan, words):  # type: ignore[no-untyped-def]
    """Whether there is room for one entry more."""
    used = words * (peek(card, END) + 1) + (peek(plan, AHEAD) if is_busy(card, plan) else 0)
    return peek(card, BLOCK) >= 0 and used <= SMALLEST << (peek(card, BLOCK) & CLASS)


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def copy_words(source, target, many):  # type: ignore[no-untyped-def]
    """Copy words, the first first."""
    for word in range(many):
        poke(target, word, peek(source, word))


@njit(cache=True)  # type: ignore[untyped-decorator]
def slide_or_grow(card, data, header, plan, words):  # type: ignore[no-untyped-def]
    """Bring the key's entries to the front, or to a larger block, with the words before them.

    Returns how many places they came forward, NO_ROOM if the arena must grow first (nothing is changed).
    """
    arena, old, first, end = address_of(data), peek(card, BLOCK), peek(card, FIRST), peek(card, END)
    size, busy, entries = old & CLASS, is_busy(card, plan), entries_of(card, arena, plan)
    room = (SMALLEST << size) - (peek(plan, AHEAD) if busy else 0)
    many = words * (end - first)
    if old >= 0 and first > 0 and (size <= LARGEST_FULL or 4 * many <= 3 * room):
        copy_words(entries + WORD * words * first, entries, many)
    else:
        wider = size + 1 if old >= 0 else SMALLEST_CLASS
        if wider > peek(plan, QUIET_CLASS):
            wider = max(wider, peek(plan, BUSY_CLASS))
        fresh = allocate(data, header, SMALLEST << wider)
        if fresh == NO_ROOM:
            return NO_ROOM
        poke(card, BLOCK, fresh << 6 | wider)
        copy_words(entries + WORD * words * first, entries_of(card, arena, plan), many)
        if busy:
            copy_words(arena + WORD * (old >> 6), block_of(card, arena), peek(plan, AHEAD))
        if old >= 0:
            release(data, header, old >> 6, SMALLEST << size)
    poke(card, FIRST, 0)
    poke(card, END, end - first)
    return first


def clear_rows(rows: Slab, arena: Arena, slots: Ints) -> None:
    """Make these keys' rows fresh and give their blocks back."""
    for block in rows["rings"][slots, BLOCK].tolist():
        if block >= 0:
            arena.release(block >> 6, SMALLEST << (block & CLASS))
    rows.clear(slots)


def grow_for(arena: Arena, rows: Slab, plan: Ints) -> None:
    """Room in the arena for a block larger than any."""
    blocks = rows["rings"][:, BLOCK]
    largest = int((blocks[blocks >= 0] & CLASS).max(initial=SMALLEST_CLASS))
    if plan[BUSY_CLASS] != NEVER_BUSY:
        largest = max(largest, int(plan[BUSY_CLASS]))
    arena.grow(SMALLEST << (largest + 1))


def later_rows(rows: Slab, groups: int, order: Ints) -> dict[str, Later]:
    """What is frozen of rows whatever their entries are: where these lie and what can be made of them is left out."""
    column = rows["rings"]

    def rings(slots: Ints) -> Ints:
        return np.stack([column[slots, END] - column[slots, FIRST], column[slots, NEWEST], column[slots, LEFT_EARLY]], axis=1)

    return {
        "rings": Later.of_rows(np.int64, (len(order), 3), order, rings),
        "past": Later.of_rows(np.int64, (len(order), groups), order, lambda slots: column[slots, PAST : PAST + groups]),
    }


def thaw_rows(rows: Slab, plan: Ints, frozen: Mapping[str, NDArray[Any]], words: int, parts: Iterable[str]) -> Arena:
    """Take frozen rows as the rows 0 … n − 1, with blocks of an arena that is returned; entries are still to be written.

    Raises
    ------
    ValueError
        If there are not as many entries, in each of these parts, as rows say that they hold.
    """
    held = frozen["rings"][:, HELD]
    if held.min(initial=0) < 0 or any(len(frozen[part]) != held.sum() for part in parts):
        raise ValueError(f"the frozen state says that its keys hold {held.sum():,} entries, and has others")
    different, place = np.unique(held, return_inverse=True)
    classes = np.array([_class_of(n, words, plan) for n in different.tolist()], np.int64)[place]
    sizes = np.where(held > 0, SMALLEST << classes, 0)
    rows.fit(len(held))
    rows.clear(np.arange(rows.capacity))
    column = rows["rings"][: len(held)]
    column[:, BLOCK] = np.where(held > 0, (np.cumsum(sizes) - sizes) << 6 | classes, -1)
    column[:, END], column[:, NEWEST], column[:, LEFT_EARLY] = (
        held,
        frozen["rings"][:, FROZEN_NEWEST],
        frozen["rings"][:, FROZEN_LEFT_EARLY],
    )
    column[:, PAST : PAST + int(plan[GROUPS])] = frozen["past"]
    used = int(sizes.sum())
    arena = Arena(np.int64, max(4096, used))
    arena.header[0] = used
    return arena


def _class_of(held: int, words: int, plan: Ints) -> int:
    """The size class of a block for so many entries."""
    size = SMALLEST_CLASS
    while SMALLEST << size < words * held:
        size += 1
    if size > plan[QUIET_CLASS]:
        size = max(size, int(plan[BUSY_CLASS]))
        while SMALLEST << size < words * held + plan[AHEAD]:
            size += 1
    return size


def stretches(begins: Ints, firsts: Ints, held: Ints, words: int) -> Ints:
    """Where the entries of these keys stand in the arena, one key's after another's."""
    within = np.arange(int(held.sum())) - np.repeat(np.cumsum(held) - held, held)
    places: Ints = np.repeat(begins + words * firsts, held) + words * within
    return places
