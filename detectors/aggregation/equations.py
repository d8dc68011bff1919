"""The aggregates of conditional weighted transaction aggregation, read from exact sliding sums.

W.-Y. Lim, A. Sachan, V. Thing, *Conditional weighted transaction aggregation for credit card fraud detection*, 2014. An aggregate
is Σ w·a over a card's transactions of the last d days; only the weights differ. With the sums of `state.window` (n, T, S0, S1, Q),
kept of a busy card and made of a quiet one's transactions when they are read, each is a line of integers, equal to a re-scan of
the window to the last bit:

=======================  ===============================  ==============================================
simple, Eq. (1)          w = 1                            S0
transaction gap, Eq. (3) w = N − i, as printed            (q_newest − b)·S0 − Q
                         w = i, as the text describes     Q − (q_oldest − 1 − b)·S0
time gap, Eq. (4)        w = d − (now − t)                (d − u)·S0 + S1, u = now − r
=======================  ===============================  ==============================================

i numbers the N transactions in the window from the oldest (1) to the newest (N), whatever their attribute value. The gate C_j is a
group of `state.window`: the sums of those with the attribute value of the current transaction. `detectors.aggregation.groups` says
which groups there are; p_c(A_j), how often the card's transactions have the value, is made from what has left the windows.

Two things the paper leaves open or gets wrong. Eq. (3) as printed gives the newest transaction the weight 0 and the oldest the
largest, while its text wants weights that increase with i: both forms are here, by name. And it does not say whether the current
transaction is in the sum: here it is not. Aggregates are read before it is added, so that they describe what it is compared with.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from state import busy
from state.busy import AMOUNT, ENTRY, WHEN, age_of, sums_of
from state.rings import END, FIRST, SPANS, WINDOWS, block_of, is_busy
from state.words import WORD, peek

AGGREGATES = ("n", "weight", "sa", "txgap", "tg")
COUNT, WEIGHT, SIMPLE, PLACED, TIMED = range(5)
NOT_GIVEN = -1
ENDLESS = 1 << 62  # seconds
AGES = 44  # bits of a sum of ages of a quiet key
ALL_AGES = (1 << AGES) - 1
PAPER, RECENCY = 0, 1  # the two forms of the transaction gap, as `transaction_gap` is asked for them


@njit(cache=True)  # type: ignore[untyped-decorator]
def attribute_slot(code, named, slots):  # type: ignore[no-untyped-def]
    """Where a code of the conditioning attribute (payment mode) is kept apart.

    Codes 0 … named − 1 have a slot each; all others share what is left of `slots` (code modulo the rest), or the named ones where
    nothing is left. "Not given" (any negative code) has none, NOT_GIVEN: it is part of the totals and opens no gate.
    """
    if code < 0:
        return NOT_GIVEN
    if code < named:
        return code
    return named + (code - named) % (slots - named) if slots > named else code % slots


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def transaction_gap(form, held, amounts, amounts_newer):  # type: ignore[no-untyped-def]
    """Eq. (3): the amounts weighted by N − i (PAPER) or by i (RECENCY), from Σ a, Σ a·(N − i) and the window's N; minor units."""
    return amounts_newer if form == PAPER else held * amounts - amounts_newer


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def time_gap(span, amounts, amount_ages):  # type: ignore[no-untyped-def]
    """Eq. (4): the amounts weighted by what is left of the window, d − age, from Σ a and Σ a·age; minor units × seconds.

    It is the integral of the simple aggregate over all shorter windows: no jump when a transaction leaves. With every amount 1 it is the
    sum of weights; the one over the other is the weighted mean amount.
    """
    return span * amounts - amount_ages


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def _write(out, gate, window, span, form, held, n, ages, amounts, amount_ages, amounts_newer):  # type: ignore[no-untyped-def]
    """All of a window and gate, of sums with r = now and b = N: Σ 1, Σ age, Σ a, Σ a·age, Σ a·(how many are newer)."""
    out[gate, window, COUNT] = n
    out[gate, window, WEIGHT] = time_gap(span, n, ages)
    out[gate, window, SIMPLE] = amounts
    out[gate, window, PLACED] = transaction_gap(form, held, amounts, amounts_newer)
    out[gate, window, TIMED] = time_gap(span, amounts, amount_ages)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _read_sums(card, arena, plan, now, form, gates, out):  # type: ignore[no-untyped-def]
    """Of a busy key's sums."""
    block, end = block_of(card, arena), peek(card, END)
    since, newest = now - peek(block, busy.ORIGIN), end - 1 + peek(block, busy.PLACES)
    for gate in range(len(gates)):
        for window in range(peek(plan, WINDOWS)):
            if gates[gate] < 0:
                out[gate, window] = 0
                continue
            s = sums_of(block, plan, gates[gate], window)
            n, amounts = peek(s, busy.COUNT), peek(s, busy.AMOUNTS)
            _write(
                out, gate, window, peek(plan, SPANS + window), form, end - peek(block, busy.HEADS + window), n,
                since * n - peek(s, busy.TIMES), amounts, since * amounts - peek(s, busy.AMOUNT_TIMES),
                newest * amounts - peek(s, busy.AMOUNT_PLACES),
            )  # fmt: skip


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def _scan(card, arena, plan, now, form, gates, one, other, out):  # type: ignore[no-untyped-def]
    """Of a quiet key's transactions, from the newest back: at a window's edge its sums are there, and go on to the next window's.

    Of two gates (or twice of one): what is the same for both costs as much as what is not. A number and a sum of ages share a word.
    """
    longest, window = peek(plan, WINDOWS) - 1, 0
    a_open, b_open = -np.int64(gates[one] >= 0), -np.int64(gates[other] >= 0)  # all bits, or none
    a_group, b_group = max(gates[one], 0), max(gates[other], 0)
    a_ages, a_amounts, a_amount_ages, a_amounts_newer, newer = 0, 0, 0, 0, 0
    b_ages, b_amounts, b_amount_ages, b_amounts_newer = 0, 0, 0, 0
    edge = peek(plan, SPANS) if longest > 0 else ENDLESS
    entry = block_of(card, arena) + WORD * ENTRY * (peek(card, END) - 1)
    for _ in range(peek(card, END) - peek(card, FIRST)):
        when = peek(entry, WHEN)
        age = age_of(when, now)
        while age >= edge:
            span = peek(plan, SPANS + window)
            _write(out, one, window, span, form, newer, a_ages >> AGES, a_ages & ALL_AGES, a_amounts, a_amount_ages, a_amounts_newer)
            _write(out, other, window, span, form, newer, b_ages >> AGES, b_ages & ALL_AGES, b_amounts, b_amount_ages, b_amounts_newer)
            window += 1
            edge = peek(plan, SPANS + window) if window < longest else ENDLESS  # in the longest window is all that is held
        a, b = -(when >> a_group & 1) & a_open, -(when >> b_group & 1) & b_open
        amount, counted = peek(entry, AMOUNT), (1 << AGES) + age
        amount_age, amount_newer = amount * age, amount * newer
        a_ages += counted & a
        a_amounts += amount & a
        a_amount_ages += amount_age & a
        a_amounts_newer += amount_newer & a
        b_ages += counted & b
        b_amounts += amount & b
        b_amount_ages += amount_age & b
        b_amounts_newer += amount_newer & b
        newer += 1
        entry -= WORD * ENTRY
    while window <= longest:
        span = peek(plan, SPANS + window)
        _write(out, one, window, span, form, newer, a_ages >> AGES, a_ages & ALL_AGES, a_amounts, a_amount_ages, a_amounts_newer)
        _write(out, other, window, span, form, newer, b_ages >> AGES, b_ages & ALL_AGES, b_amounts, b_amount_ages, b_amounts_newer)
        window += 1


@njit(cache=True, forceinline=True)  # type: ignore[untyped-decorator]
def read(card, arena, plan, now, form, gates, out):  # type: ignore[no-untyped-def]
    """Fill out[gate, window] with n, Σ w, SA, TxG, TG (AGGREGATES) of the groups that `gates` names; zeros where one is negative.

    `state.window.advance` comes before. Σ w is kept to make means of.
    """
    if is_busy(card, plan):
        _read_sums(card, arena, plan, now, form, gates, out)
    else:
        for gate in range(0, len(gates), 2):
            _scan(card, arena, plan, now, form, gates, gate, min(gate + 1, len(gates) - 1), out)
