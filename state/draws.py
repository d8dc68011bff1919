"""Random numbers that a replay draws again: a hash of (key, the key's own event number, purpose), and of nothing else."""

from __future__ import annotations

import numpy as np
from numba import njit

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
SAMPLE_CANDIDATES = 1  # purposes: one number each, so that two draws of one event are independent
SPREAD_BUILDS = 2
BREAK_TIES = 3
BREAK_TIES_OF_BLOCKS = 4


@njit(cache=True, inline="always")  # type: ignore[untyped-decorator]
def mix(x):  # type: ignore[no-untyped-def]
    """splitmix64's finaliser: a bijection of 64 bits whose output bits each depend on all of the input's."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(cache=True)  # type: ignore[untyped-decorator]
def draw(key_hash, number, purpose):  # type: ignore[no-untyped-def]
    """Return 64 random bits for a key's hash (uint64, `KeyIndex.hashes`), its event number and a purpose."""
    x = mix(np.uint64(key_hash) + GOLDEN * np.uint64(purpose))
    return mix(x + GOLDEN * np.uint64(number))


@njit(cache=True)  # type: ignore[untyped-decorator]
def uniform(key_hash, number, purpose):  # type: ignore[no-untyped-def]
    """Return a float uniform on [0, 1), from the upper 53 bits of `draw`."""
    return np.float64(draw(key_hash, number, purpose) >> np.uint64(11)) * (1.0 / 9007199254740992.0)
