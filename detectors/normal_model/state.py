"""What one partition knows of its sensors, and how it is frozen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.normal_model import layout
from detectors.normal_model.blocks import FIRST_BLOCKS, maxima_of, numbers_of
from detectors.normal_model.conditioning import LENGTH as MOMENTS
from detectors.normal_model.ladder import Known
from detectors.normal_model.pool import Pools
from detectors.normal_model.rolling import HEAD, NEAREST, PEAK, SD, centroid_size, describe_windows, model_size
from detectors.normal_model.silence import NEXT
from detectors.protocol import Build
from state.arena import Arena, block_size
from state.keys import KeyIndex
from state.slab import Slab
from state.snapshot import Section, Upgrade, upgraded

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
VERSION = 5
_NOWHERE = np.full(layout.WHERE, -1, np.int64)
_NOWHERE[[layout.ROOM, layout.RING_ROOM]] = 0


def _fresh_clock() -> Ints:
    return np.array([np.iinfo(np.int64).min, -1, 0], np.int64)


@dataclass(slots=True)
class NormalModelState:
    """Everything a partition knows of its sensors.

    Attributes
    ----------
    classes
        How many kinds of sensors there are: those without a class, and each class.
    rows
        Per sensor: `layout`'s whole numbers, and its usual interval in microseconds.
    places
        Where the sensor's blocks lie in the arena, and the room of its history: accidents of arrival, not frozen.
    clock
        The partition's event time and lived time, and when a sensor may next be found silent (`silence`).
    pools
        Of each class, the maxima of its sensors' latest blocks (`pool`).
    counts
        [sensors for which something is being built]; follows from the rows.
    builds
        What has been listed and not handed over, by slot; follows from the rows.
    """

    keys: KeyIndex
    classes: int
    pools: Pools = field(init=False)
    arena: Arena = field(default_factory=Arena)
    rows: Slab = field(default_factory=lambda: Slab(whole=np.zeros(layout.WHOLE, np.int64), usual=np.float64(0.0)))
    places: Slab = field(default_factory=lambda: Slab(where=_NOWHERE))
    clock: Ints = field(default_factory=_fresh_clock)
    counts: Ints = field(default_factory=lambda: np.zeros(1, np.int64))
    builds: dict[int, Build] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pools = Pools(self.classes)

    def fit(self) -> None:
        """Have a row for every slot of the index."""
        self.rows.fit(self.keys.capacity)
        self.places.fit(self.keys.capacity)

    def known(self, place: int, centroids: int, length: int, normal_length: int) -> Known:
        """A copy of the model that stands there."""
        return Known(self.arena.data[place : place + model_size(length, normal_length, centroids)].copy(), centroids)

    def release_history(self, slot: int) -> None:
        its = self.places["where"][slot]
        if its[layout.ROOM] > 0:
            self.arena.release(int(its[layout.HISTORY]), int(its[layout.ROOM]))
        its[layout.HISTORY], its[layout.ROOM] = -1, 0

    def release_ring(self, slot: int) -> None:
        its = self.places["where"][slot]
        if its[layout.RING_ROOM] > 0:
            self.arena.release(int(its[layout.RING]), 2 * int(its[layout.RING_ROOM]))
        its[layout.RING], its[layout.RING_ROOM], its[layout.SINCE] = -1, 0, -1
        self.rows["whole"][slot, layout.BLOCKS] = 0

    def forget(self, slots: Ints) -> None:
        """Give back the blocks of these sensors and clear their rows."""
        arena = self.arena
        for slot in slots.tolist():
            whole, its = self.rows["whole"][slot], self.places["where"][slot]
            length, normal_length = int(whole[layout.LENGTH]), int(whole[layout.NORMAL_LENGTH])
            self.release_history(slot)
            self.release_ring(slot)
            self.counts[0] -= whole[layout.TASK] != layout.NONE
            if whole[layout.CENTROIDS] > 0:
                arena.release(int(its[layout.LIVE]), layout.live_size(length, normal_length))
                arena.release(int(its[layout.MODEL]), model_size(length, normal_length, int(whole[layout.CENTROIDS])))
                arena.release(int(its[layout.CALIBRATION]), 2 * int(whole[layout.BASE] + whole[layout.WANTED]))
            for i in range(int(whole[layout.STORED])):
                arena.release(int(its[layout.EARLIER + i]), model_size(length, normal_length, int(whole[layout.STORED_CENTROIDS + i])))
            self.builds.pop(slot, None)
        self.rows.clear(slots)
        self.places.clear(slots)


def freeze(state: NormalModelState) -> dict[str, Section]:
    """Return the state in canonical form: sensors by key, rings from the oldest reading to the latest, models without what follows."""
    state.fit()
    order = state.keys.order()
    parts: dict[str, list[Floats]] = {name: [np.zeros(0)] for name in ("histories", "rings", "models", "conformal")}
    maxima, units = [np.zeros(0, np.float32)], [np.zeros(0, np.uint32)]
    data = state.arena.data
    for slot in order.tolist():
        whole, its = state.rows["whole"][slot], state.places["where"][slot]
        parts["histories"].append(data[its[layout.HISTORY] : its[layout.HISTORY] + whole[layout.KEPT]])
        if whole[layout.CENTROIDS] == 0:
            continue
        length, normal_length = int(whole[layout.LENGTH]), int(whole[layout.NORMAL_LENGTH])
        live, head = int(its[layout.LIVE]), int(whole[layout.SEEN]) % length
        times = data[live + 4 * length : live + 5 * length]
        parts["rings"] += [
            data[live + head : live + head + length],
            data[live + 2 * length + head : live + 3 * length + head],
            np.roll(times, -head),
            data[live + 5 * length : live + layout.live_size(length, normal_length)],
        ]
        base, held, conformal = int(whole[layout.BASE]), int(whole[layout.HELD]), int(its[layout.CALIBRATION])
        loud = conformal + base + int(whole[layout.WANTED])
        parts["conformal"] += [data[conformal : conformal + base + held], data[loud : loud + base + held]]
        for channel in range(2):
            ring = data, int(its[layout.RING]), int(its[layout.RING_ROOM]), channel
            maxima.append(maxima_of(*ring)[: whole[layout.BLOCKS]])
            units.append(numbers_of(*ring)[: whole[layout.BLOCKS]])
        for place, centroids, live_model in _models(whole, its):
            parts["models"] += _model_parts(data, place, centroids, length, normal_length, live_model)
    arrays = (
        state.rows.freeze(order)
        | {name: np.concatenate(found) for name, found in parts.items()}
        | {"maxima": np.concatenate(maxima), "units": np.concatenate(units), "clock": state.clock[:NEXT].copy()}
        | state.pools.freeze()
    )
    return {"normal_model.keys": Section(1, state.keys.freeze()), "normal_model": Section(VERSION, arrays)}


def thaw(sections: Mapping[str, Section], key_limit: int, classes: int) -> NormalModelState:
    """Return the state of frozen sections; `classes` as in `NormalModelState`."""
    upgrades: dict[int, Upgrade] = {3: partial(_with_pools, classes), 4: _with_conditioning}
    arrays: dict[str, NDArray[Any]] = dict(upgraded("normal_model", sections["normal_model"], VERSION, upgrades).arrays)
    keys = KeyIndex.thaw(dict(upgraded("normal_model.keys", sections["normal_model.keys"], 1, {}).arrays), key_limit)
    histories, rings, models, conformal = (_Reader(arrays.pop(name)) for name in ("histories", "rings", "models", "conformal"))
    maxima, units = _Reader(arrays.pop("maxima")), _Reader(arrays.pop("units"))
    pools = Pools.thaw(*(arrays.pop(name) for name in ("pooled", "pooled_names", "pooled_counts")))
    state = NormalModelState(keys, len(pools.counts))
    state.pools = pools
    state.clock[:NEXT] = arrays.pop("clock")
    state.rows.thaw(arrays)
    state.fit()
    arena = state.arena
    for slot in range(len(arrays["usual"])):
        whole, its = state.rows["whole"][slot], state.places["where"][slot]
        kept = int(whole[layout.KEPT])
        if kept > 0:
            its[layout.ROOM] = block_size(kept)
            its[layout.HISTORY] = arena.allocate(int(its[layout.ROOM]))
            _put(arena, int(its[layout.HISTORY]), histories.take(kept))
        state.counts[0] += whole[layout.TASK] != layout.NONE
        if whole[layout.CENTROIDS] == 0:
            continue
        length, normal_length = int(whole[layout.LENGTH]), int(whole[layout.NORMAL_LENGTH])
        head = int(whole[layout.SEEN]) % length
        readings, residuals, times = (np.roll(rings.take(length), head) for _ in range(3))
        trail = rings.take(layout.live_size(length, normal_length) - 5 * length)
        its[layout.LIVE] = arena.store(np.concatenate([readings, readings, residuals, residuals, times, trail]))
        base, held, wanted = int(whole[layout.BASE]), int(whole[layout.HELD]), int(whole[layout.WANTED])
        its[layout.CALIBRATION] = arena.allocate(2 * (base + wanted))
        _put(arena, int(its[layout.CALIBRATION]), conformal.take(base + held))
        _put(arena, int(its[layout.CALIBRATION]) + base + wanted, conformal.take(base + held))
        blocks = int(whole[layout.BLOCKS])
        if blocks > 0:
            its[layout.RING_ROOM] = room = max(int(block_size(blocks)), FIRST_BLOCKS)
            its[layout.RING] = ring = arena.allocate(2 * room)
            for channel in range(2):
                maxima_of(arena.data, ring, room, channel)[:blocks] = maxima.take(blocks)
                numbers_of(arena.data, ring, room, channel)[:blocks] = units.take(blocks)
        thawed = [
            _thaw_model(arena, models, centroids, length, normal_length, live_model) for _, centroids, live_model in _models(whole, its)
        ]
        its[layout.MODEL] = thawed[0]
        its[layout.EARLIER : layout.EARLIER + len(thawed) - 1] = thawed[1:]
    return state


def _models(whole: Ints, its: Ints) -> Iterator[tuple[int, int, bool]]:
    """Place, centroids, and whether it is in force, of a sensor's models: the one in force, then the stored ones."""
    yield int(its[layout.MODEL]), int(whole[layout.CENTROIDS]), True
    for i in range(min(int(whole[layout.STORED]), layout.STORED_MOST)):
        yield (int(its[layout.EARLIER + i]), int(whole[layout.STORED_CENTROIDS + i]), False)


def _model_parts(data: Floats, model: int, centroids: int, length: int, normal_length: int, in_force: bool) -> list[Floats]:
    """Head, and of each centroid weight, itself and, in force, its dot products; what is known of its windows is made again."""
    head = data[model : model + HEAD].copy()
    head[NEAREST] = head[SD] = 0.0  # scratch of the latest distance
    if not in_force:
        head[PEAK] = 0.0
    size, kept = centroid_size(length, normal_length), 1 + normal_length + (normal_length - length + 1 if in_force else 0)
    starts = [model + HEAD + k * size for k in range(centroids)]
    return [head, *(data[start : start + kept] for start in starts)]


def _thaw_model(arena: Arena, models: _Reader, centroids: int, length: int, normal_length: int, in_force: bool) -> int:
    model = arena.allocate(model_size(length, normal_length, centroids))
    _put(arena, model, models.take(HEAD))
    kept = 1 + normal_length + (normal_length - length + 1 if in_force else 0)
    for k in range(centroids):
        _put(arena, model + HEAD + k * centroid_size(length, normal_length), models.take(kept))
    describe_windows(arena.data, model, centroids, length, normal_length)
    return model


def _with_pools(classes: int, section: Section) -> Section:
    """Version 4 pools block maxima by class (empty at first), and keeps of each sensor what its own are measured by.

    That is found at the end of the sensor's next block: until then 0, not known.
    """
    return Section(4, {**section.arrays, "rings": _lengthened(section, 8, 4), **Pools(classes).freeze()}, section.meta)


def _with_conditioning(section: Section) -> Section:
    """Version 5 keeps how a sensor's distances hang together with hardness: nothing is known of it yet."""
    return Section(5, {**section.arrays, "rings": _lengthened(section, 12, MOMENTS)}, section.meta)


def _lengthened(section: Section, known: int, more: int) -> Floats:
    """Rings whose live blocks end in `known` numbers of the present block (`blocks`), with so many zeros behind them."""
    rings, parts = _Reader(section.arrays["rings"]), [np.zeros(0)]
    for whole in section.arrays["whole"]:
        if whole[layout.CENTROIDS] > 0:
            length, normal_length = int(whole[layout.LENGTH]), int(whole[layout.NORMAL_LENGTH])
            parts += [rings.take(layout.block_head(length, normal_length) - 2 * length + known), np.zeros(more)]
    return np.concatenate(parts)


class _Reader:
    """Takes an array's elements one stretch after another."""

    def __init__(self, values: NDArray[Any]) -> None:
        self.values, self.place = values.astype(np.float64), 0

    def take(self, count: int) -> Floats:
        self.place += count
        return self.values[self.place - count : self.place]


def _put(arena: Arena, start: int, values: Floats) -> None:
    arena.data[start : start + len(values)] = values
