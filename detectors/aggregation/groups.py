"""The groups whose sums are kept: the gates C_j that a transaction may be asked to pass.

All transactions; those of each payment mode; those whose address matches and those whose address does not (`NA` and the address itself
are not aggregated, as in the paper); and those of an amount unusual for the card. The last is the paper's condition on something that
it does not have: an amount above `unusual_ratio` times the card's own mean when it came.
"""

from __future__ import annotations

from numba import njit

ALL = 0
MODES = 1  # the first mode's group; the others follow, then:
MISMATCH, MATCH, UNUSUAL = 0, 1, 2  # counted from the last mode's
MOST_MODES = 32


def number_of_groups(modes: int) -> int:
    """How many groups there are with so many modes kept apart."""
    return MODES + modes + 3


@njit(cache=True)  # type: ignore[untyped-decorator]
def groups_of(mode, modes, address_match, unusual):  # type: ignore[no-untyped-def]
    """Bit g is set where a transaction belongs to group g; `mode` is a slot or negative, `address_match` 0, 1 or negative."""
    groups = 1
    if mode >= 0:
        groups |= 1 << (MODES + mode)
    if address_match >= 0:
        groups |= 1 << (MODES + modes + (MATCH if address_match > 0 else MISMATCH))
    if unusual:
        groups |= 1 << (MODES + modes + UNUSUAL)
    return groups
