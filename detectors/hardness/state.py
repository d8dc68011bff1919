"""What one partition knows of its calibration keys, and how it is frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.hardness.curves import LEVELS
from detectors.hardness.fold import ROWS
from detectors.hardness.tracking import KNOTS, fill_bins, forget
from detectors.protocol import Build, Ints
from state.arena import Arena
from state.keys import KeyIndex
from state.slab import Slab
from state.snapshot import Section, upgraded

VERSION = 3


@dataclass(slots=True)
class HardnessState:
    """Everything a partition knows of its calibration keys.

    Attributes
    ----------
    bins, size
        K, and N: events that a key's ring holds.
    slab
        Per key: events seen, the partition's event that triggered the build, from which of its own events on the curves are in force,
        whether they are there; where its block lies in the arena; ends of the bins among the sorted scores; edges of the bins; knots and
        curves; [S, t]; the level's factors; the martingale's capital; the evidence of the episode under way.
    arena
        Rings in order of arrival, and in order of size: the second follows from the first.
    builds
        What has been listed and not handed over, by slot; follows from the rows.
    counted
        Shape (2, bins): events judged in each bin of hardness, of all keys that there have been, and those that lay beyond the budget.
    """

    keys: KeyIndex
    bins: int
    size: int
    slab: Slab = field(init=False)
    arena: Arena = field(default_factory=lambda: Arena(np.float32))
    builds: dict[int, Build] = field(default_factory=dict)
    counted: Ints = field(init=False)

    def __post_init__(self) -> None:
        self.counted = np.zeros((2, self.bins), np.int64)
        self.slab = Slab(
            seen=np.int64(0),
            triggered=np.int64(0),
            in_force=np.int64(0),
            fitted=np.int64(0),
            start=np.int64(-1),
            stops=np.zeros(self.bins, np.int64),
            edges=np.full(self.bins - 1, np.inf, np.float32),
            knots=np.zeros(KNOTS),
            theta=np.zeros((len(LEVELS), KNOTS)),
            scale=np.zeros(2),
            factors=np.ones(self.bins),
            capital=np.full(3, 1.0 / 3.0),
            evidence=np.float64(0.0),
        )

    def rows_of(self, slot: int) -> NDArray[np.float32]:
        """Shape (4, N): a key's ring of hardness, of scores, and both in order of size; a view."""
        first = int(self.slab["start"][slot])
        return self.arena.data[first : first + ROWS * self.size].reshape(ROWS, self.size)

    def held(self, slot: int) -> int:
        """How many events a key's ring holds: those of the warm-up, then those that are ranked."""
        seen, in_force = int(self.slab["seen"][slot]), int(self.slab["in_force"][slot])
        return min(seen, in_force, self.size) if self.slab["fitted"][slot] == 0 else min(seen - in_force, self.size)

    def take_out(self, slot: int, first: int, last: int) -> None:
        """Take a key's events first … last out of its ring, as far as they are still there: people have said what they were."""
        seen, in_force = int(self.slab["seen"][slot]), int(self.slab["in_force"][slot])
        if self.slab["fitted"][slot] == 0:
            return
        ring_h, ring_s, ordered, ordered_h = self.rows_of(slot)
        for number in range(max(first, in_force, seen - self.size), min(last + 1, seen)):
            place = (number - in_force) % self.size
            forget(place, ring_h, ring_s, ordered, ordered_h, self.slab["stops"][slot], self.slab["edges"][slot])
            ring_h[place] = ring_s[place] = np.nan

    def forget(self, slots: Ints) -> None:
        """Give back what evicted keys had."""
        for slot in slots.tolist():
            if self.slab["start"][slot] >= 0:
                self.arena.release(int(self.slab["start"][slot]), ROWS * self.size)
            self.builds.pop(slot, None)
        self.slab.clear(slots)

    def freeze(self) -> dict[str, Section]:
        """In canonical form: keys in byte order, rings from the oldest event to the latest."""
        self.slab.fit(self.keys.capacity)
        order = self.keys.order()
        arrays = self.slab.freeze(order)
        for derived in ("start", "stops"):
            del arrays[derived]
        rings = []
        for slot in order.tolist():
            if self.slab["seen"][slot]:
                held, turned = self.held(slot), 0
                if self.slab["fitted"][slot] and held == self.size:
                    turned = int(self.slab["seen"][slot] - self.slab["in_force"][slot]) % self.size
                rings.append(np.roll(self.rows_of(slot)[:2, :held], -turned, axis=1).ravel())
        arrays["rings"] = np.concatenate([np.empty(0, np.float32), *rings])
        arrays["counted"] = self.counted.copy()
        return {"hardness.keys": Section(1, self.keys.freeze()), "hardness": Section(VERSION, arrays)}

    @classmethod
    def thaw(cls, sections: Mapping[str, Section], key_limit: int, bins: int, size: int) -> HardnessState:
        """The state of frozen sections."""
        arrays: dict[str, NDArray[Any]] = dict(upgraded("hardness", sections["hardness"], VERSION, {2: _not_counted}).arrays)
        rings = arrays.pop("rings")
        state = cls(KeyIndex.thaw(dict(upgraded("hardness.keys", sections["hardness.keys"], 1, {}).arrays), key_limit), bins, size)
        state.counted = arrays.pop("counted")
        n = len(arrays["seen"])
        state.slab.fit(state.keys.capacity)
        state.slab.thaw(arrays | {"start": np.full(n, -1, np.int64), "stops": np.zeros((n, bins), np.int64)})
        state.slab.fit(state.keys.capacity)
        place = 0
        for slot in range(n):
            if state.slab["seen"][slot] == 0:
                continue
            state.slab["start"][slot] = state.arena.allocate(ROWS * size)
            held, turned = state.held(slot), 0
            ring = rings[place : place + 2 * held].reshape(2, held)
            place += 2 * held
            rows = state.rows_of(slot)
            if state.slab["fitted"][slot] and held == size:
                turned = int(state.slab["seen"][slot] - state.slab["in_force"][slot]) % size
            rows[:2, :held] = np.roll(ring, turned, axis=1)
            if state.slab["fitted"][slot]:
                fill_bins(rows[0], rows[1], held, rows[2], state.slab["stops"][slot], state.slab["edges"][slot])
                hardness = rows[0][:held]
                kept = np.sort(hardness[~np.isnan(hardness)])
                rows[3][: len(kept)] = kept
        return state


def _not_counted(section: Section) -> Section:
    """Version 2: nothing was counted by bin."""
    bins = section.arrays["edges"].shape[1] + 1
    return Section(3, {**section.arrays, "counted": np.zeros((2, bins), np.int64)}, section.meta)
