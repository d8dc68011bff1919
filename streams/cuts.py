"""Cuts: what is not the partition's own log enters between two definite events, and where is written down.

A cut says "before event n, these inputs were adopted". Given the cuts, a replay equals the live run. As JSON lines:
``{"partition": 2, "n": 48213, "inputs": {"population": {"n": 9120, "mean": 2.27, "m2": 3171.4}}}``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec


class Cut(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Inputs adopted by a partition before its event (offset) `n`."""

    partition: int
    n: int
    inputs: dict[str, Any]


class CutError(ValueError):
    """A cut log that cannot be followed; the message names the line."""


_decoder = msgspec.json.Decoder(Cut)


def dump(cut: Cut) -> bytes:
    """One line, without its end."""
    return msgspec.json.encode(cut)


def load(lines: Iterable[bytes]) -> dict[int, list[Cut]]:
    """The cuts of each partition, in their order.

    Raises
    ------
    CutError
        If a line is no cut, or a partition's cuts go backwards.
    """
    cuts: dict[int, list[Cut]] = defaultdict(list)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            cut = _decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise CutError(f'line {number} of the cut log is no cut: {error}; wanted {{"partition": …, "n": …, "inputs": {{…}}}}') from None
        if cuts[cut.partition] and cut.n < cuts[cut.partition][-1].n:
            raise CutError(f"line {number} of the cut log: partition {cut.partition} goes back from {cuts[cut.partition][-1].n} to {cut.n}")
        cuts[cut.partition].append(cut)
    return dict(cuts)


def stretches(first: int, end: int, cuts: Iterable[Cut]) -> Iterator[tuple[int, int, list[Cut]]]:
    """Divide the offsets [first, end) at the cuts: (from, to, the cuts to adopt before `from`), in order.

    Cuts below `first` or at and above `end` do not belong to it and are left out.
    """
    pending: list[Cut] = []
    start = first
    for cut in cuts:
        if cut.n < first or cut.n >= end:
            continue
        if cut.n > start:
            yield start, cut.n, pending
            start, pending = cut.n, []
        pending.append(cut)
    yield start, end, pending
