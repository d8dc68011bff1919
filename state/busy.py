"""The sums of a busy key: they stand in front of its transactions and are kept up, so that a turn costs O(1) amortised.

For every window and group n = Σ 1, T = Σ (t − r), S0 = Σ a, S1 = Σ a·(t − r) and Q = Σ a·(q − b) over the transactions with time
t > now − d: a the amount, q the transaction's place in order of time, r and b origins. All is int64 and never drifts; the origins follow
the newest transaction, so that everything fits. Which keys are busy, and what a transaction is, says `state.window`.
"""

from __future__ import annotations

from numba import njit

from state.rings import AHEAD, END, FIRST, GROUPS, LONGEST, NEWEST, SPANS, WINDOWS, block_of
from state.words import WORD, peek, poke

# Words of a block: the origins r and b (places of entries, plus PLACES, count from b), Σ|a|, a head a window; then sums[group, window].
ORIGIN, PLACES, MASS, HEADS = range(4)
COUNT, TIMES, AMOUNTS, AMOUNT_TIMES, AMOUNT_PLACES = range(5)
SUMS = 5
# A transaction, behind them: [its second modulo 2²⁷ · 2³⁶ + its groups], amount, number.
WHEN, AMOUNT, NUMBER = range(3)
ENTRY = 3
MOST_GROUPS = 36
IN_GROUPS = (1 << MOST_GROUPS) - 1
WITHIN = (1 << 27) - 1


def words_ahead(groups: int, windows: int) -> int:
    """How many words a busy key's block begins with."""
    return HEADS + windows + SUMS * groups * windows


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def age_of(when, now):  # type: ignore[no-untyped-def]
    """Seconds since a transaction, of which this is the first word, at a second less than 2²⁷ later."""
    return (now - (when >> MOST_GROUPS)) & WITHIN


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def sums_of(block, plan, group, window):  # type: ignore[no-untyped-def]
    """The address of the five sums of a group and window."""
    return block + WORD * (HEADS + peek(plan, WINDOWS) + SUMS * (group * peek(plan, WINDOWS) + window))


@njit(cache=True)  # type: ignore[untyped-decorator]
def _add(block, plan, window, place, newest, sign):  # type: ignore[no-untyped-def]
    """Add the transaction at a place to one window's sums, or take it out (sign −1)."""
    entry = block + WORD * (peek(plan, AHEAD) + ENTRY * place)
    when, amount = peek(entry, WHEN), sign * peek(entry, AMOUNT)
    since = newest - age_of(when, newest) - peek(block, ORIGIN)
    for group in range(peek(plan, GROUPS)):
        if when >> group & 1:
            s = sums_of(block, plan, group, window)
            poke(s, COUNT, peek(s, COUNT) + sign)
            poke(s, TIMES, peek(s, TIMES) + sign * since)
            poke(s, AMOUNTS, peek(s, AMOUNTS) + amount)
            poke(s, AMOUNT_TIMES, peek(s, AMOUNT_TIMES) + amount * since)
            poke(s, AMOUNT_PLACES, peek(s, AMOUNT_PLACES) + amount * (place + peek(block, PLACES)))


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def _weigh(block, plan, place, sign):  # type: ignore[no-untyped-def]
    amount = peek(block, peek(plan, AHEAD) + ENTRY * place + AMOUNT)
    poke(block, MASS, peek(block, MASS) + sign * abs(amount))


@njit(cache=True)  # type: ignore[untyped-decorator]
def sum_up(card, arena, plan):  # type: ignore[no-untyped-def]
    """Make the sums and heads of a key that has become busy."""
    block, newest = block_of(card, arena), peek(card, NEWEST)
    for word in range(peek(plan, AHEAD)):
        poke(block, word, 0)
    poke(block, ORIGIN, newest)
    for place in range(peek(card, FIRST), peek(card, END)):
        _weigh(block, plan, place, 1)
        age = age_of(peek(block, peek(plan, AHEAD) + ENTRY * place + WHEN), newest)
        for window in range(peek(plan, WINDOWS)):
            if age < peek(plan, SPANS + window):
                _add(block, plan, window, place, newest, 1)
            else:
                poke(block, HEADS + window, place + 1)


@njit(cache=True)  # type: ignore[untyped-decorator]
def moved(card, arena, plan, places):  # type: ignore[no-untyped-def]
    """The key's transactions have come forward by so many places."""
    block = block_of(card, arena)
    poke(block, PLACES, peek(block, PLACES) + places)
    for window in range(peek(plan, WINDOWS)):
        poke(block, HEADS + window, peek(block, HEADS + window) - places)


@njit(cache=True)  # type: ignore[untyped-decorator]
def advance_sums(card, arena, plan, now):  # type: ignore[no-untyped-def]
    """Let what is no longer in a window leave its sums, and bring the origins up. The row is still as it was."""
    block, newest, windows = block_of(card, arena), peek(card, NEWEST), peek(plan, WINDOWS)
    for window in range(windows):
        head, left = peek(block, HEADS + window), peek(plan, SPANS + window) - (now - newest)
        while head < peek(card, END) and age_of(peek(block, peek(plan, AHEAD) + ENTRY * head + WHEN), newest) >= left:
            _add(block, plan, window, head, newest, -1)
            if window == windows - 1:
                _weigh(block, plan, head, -1)
            head += 1
        poke(block, HEADS + window, head)
    since = now - peek(block, ORIGIN)
    if since < peek(plan, LONGEST):
        return
    climbed = peek(block, HEADS + windows - 1) + peek(block, PLACES)
    for i in range(peek(plan, GROUPS) * windows):
        s = sums_of(block, plan, 0, i)
        poke(s, TIMES, peek(s, TIMES) - since * peek(s, COUNT))
        poke(s, AMOUNT_TIMES, peek(s, AMOUNT_TIMES) - since * peek(s, AMOUNTS))
        poke(s, AMOUNT_PLACES, peek(s, AMOUNT_PLACES) - climbed * peek(s, AMOUNTS))
    poke(block, ORIGIN, now)
    poke(block, PLACES, peek(block, PLACES) - climbed)


@njit(cache=True)  # type: ignore[untyped-decorator]
def oldest_leaves(card, arena, plan):  # type: ignore[no-untyped-def]
    """Take the oldest out of all sums that it is in. The row is still as it was."""
    block, first = block_of(card, arena), peek(card, FIRST)
    _weigh(block, plan, first, -1)
    for window in range(peek(plan, WINDOWS)):
        if peek(block, HEADS + window) == first:
            _add(block, plan, window, first, peek(card, NEWEST), -1)
            poke(block, HEADS + window, first + 1)


@njit(cache=True)  # type: ignore[untyped-decorator]
def enters(card, arena, plan, place):  # type: ignore[no-untyped-def]
    """Take in the transaction that has been put at a place; those behind it have climbed by one."""
    block, newest, windows = block_of(card, arena), peek(card, NEWEST), peek(plan, WINDOWS)
    for later in range(place + 1, peek(card, END)):
        entry = block + WORD * (peek(plan, AHEAD) + ENTRY * later)
        for group in range(peek(plan, GROUPS)):
            if peek(entry, WHEN) >> group & 1:
                for window in range(windows):
                    if later - 1 >= peek(block, HEADS + window):
                        s = sums_of(block, plan, group, window)
                        poke(s, AMOUNT_PLACES, peek(s, AMOUNT_PLACES) + peek(entry, AMOUNT))
    _weigh(block, plan, place, 1)
    age = age_of(peek(block, peek(plan, AHEAD) + ENTRY * place + WHEN), newest)
    for window in range(windows):
        if age < peek(plan, SPANS + window):
            _add(block, plan, window, place, newest, 1)
        else:
            poke(block, HEADS + window, peek(block, HEADS + window) + 1)
