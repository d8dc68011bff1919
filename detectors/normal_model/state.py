"""What one partition knows of its sensors, and how it is frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.normal_model.fold import live_size
from detectors.normal_model.rolling import HEAD, NEAREST, centroid_size, describe_windows, model_size
from detectors.protocol import Build
from state.arena import Arena, block_size
from state.keys import KeyIndex
from state.slab import Slab
from state.snapshot import Section, upgraded

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
VERSION = 1


@dataclass(frozen=True, slots=True)
class Shape:
    """What says how large a sensor's blocks are: ℓ, ℓ_NM, warm-up, distances collected in all, and those after the hand-over."""

    length: int
    normal_length: int
    warm_up: int
    collected: int
    calibration: int

    @property
    def windows(self) -> int:
        return self.normal_length - self.length + 1


@dataclass(slots=True)
class NormalModelState:
    """Everything a partition knows of its sensors.

    Attributes
    ----------
    rows
        Per sensor: readings folded, the latest's time, the partition's event that triggered the build, from which reading on the
        model is in force, centroids (0: none yet), distances collected since, and how many of all distances later ones are ranked among.
    places
        Where the sensor's blocks lie in the arena, and the room of its history: accidents of arrival, not frozen.
    counts
        [sensors whose model is being built]; follows from the rows.
    builds
        What has been listed and not handed over, by slot; follows from the rows.
    """

    keys: KeyIndex
    arena: Arena = field(default_factory=Arena)
    rows: Slab = field(
        default_factory=lambda: Slab(
            seen=np.int64(0),
            last_at=np.int64(0),
            triggered=np.int64(0),
            in_force=np.int64(0),
            centroids=np.int64(0),
            held=np.int64(0),
            ranked=np.int64(0),
        )
    )
    places: Slab = field(
        default_factory=lambda: Slab(
            history=np.int64(-1), room=np.int64(0), live=np.int64(-1), model=np.int64(-1), calibration=np.int64(-1)
        )
    )
    counts: Ints = field(default_factory=lambda: np.zeros(1, np.int64))
    builds: dict[int, Build] = field(default_factory=dict)

    def fit(self) -> None:
        """Have a row for every slot of the index."""
        self.rows.fit(self.keys.capacity)
        self.places.fit(self.keys.capacity)

    def release_history(self, slot: int) -> None:
        self.arena.release(int(self.places["history"][slot]), int(self.places["room"][slot]))
        self.places["history"][slot], self.places["room"][slot] = -1, 0

    def forget(self, slots: Ints, shape: Shape) -> None:
        """Give back the blocks of these sensors and clear their rows."""
        rows, places, arena = self.rows, self.places, self.arena
        for slot in slots.tolist():
            centroids = int(rows["centroids"][slot])
            if places["room"][slot] > 0:
                self.release_history(slot)
            if places["live"][slot] >= 0:
                arena.release(int(places["live"][slot]), live_size(shape.length))
                self.counts[0] -= centroids == 0
            if centroids > 0:
                arena.release(int(places["model"][slot]), model_size(shape.length, shape.normal_length, centroids))
                arena.release(int(places["calibration"][slot]), shape.collected)
            self.builds.pop(slot, None)
        rows.clear(slots)
        places.clear(slots)


def freeze(state: NormalModelState, shape: Shape) -> dict[str, Section]:
    """Return the state in canonical form: sensors by key, rings from the oldest reading to the latest, models without what follows."""
    state.fit()
    order = state.keys.order()
    rows = state.rows.freeze(order)
    histories, rings, models, conformal = [], [], [], []
    length, data = shape.length, state.arena.data
    for slot, seen, centroids, held in zip(order.tolist(), *(rows[name].tolist() for name in ("seen", "centroids", "held")), strict=True):
        history, live, model, calibration = (int(state.places[name][slot]) for name in ("history", "live", "model", "calibration"))
        if centroids == 0:
            histories.append(data[history : history + min(seen, shape.warm_up)])
        else:
            size = shape.collected - shape.calibration + held
            conformal.append(data[calibration : calibration + size])
            models.extend(_model_parts(data, model, centroids, shape))
        if live >= 0:
            head = seen % length
            times = data[live + 4 * length : live + 5 * length]
            rings += [
                data[live + head : live + head + length],
                data[live + 2 * length + head : live + 3 * length + head],
                np.concatenate([times[head:], times[:head]]),
            ]
    arrays = rows | {
        name: np.concatenate([np.zeros(0), *parts])
        for name, parts in (("histories", histories), ("rings", rings), ("models", models), ("conformal", conformal))
    }
    return {"normal_model.keys": Section(1, state.keys.freeze()), "normal_model": Section(VERSION, arrays)}


def thaw(sections: Mapping[str, Section], shape: Shape, key_limit: int) -> NormalModelState:
    """Return the state of frozen sections."""
    arrays: dict[str, NDArray[Any]] = dict(upgraded("normal_model", sections["normal_model"], VERSION, {}).arrays)
    histories, rings, models, conformal = (_Reader(arrays.pop(name)) for name in ("histories", "rings", "models", "conformal"))
    state = NormalModelState(KeyIndex.thaw(dict(sections["normal_model.keys"].arrays), key_limit))
    state.rows.thaw(arrays)
    state.fit()
    length, arena, places = shape.length, state.arena, state.places
    for slot, (seen, centroids, held) in enumerate(zip(*(arrays[name].tolist() for name in ("seen", "centroids", "held")), strict=True)):
        if centroids == 0 and seen > 0:
            collected = min(seen, shape.warm_up)
            room = int(block_size(collected))
            places["history"][slot], places["room"][slot] = arena.allocate(room), room
            _put(arena, int(places["history"][slot]), histories.take(collected))
        if seen >= shape.warm_up:
            live = places["live"][slot] = arena.allocate(live_size(length))
            head = seen % length
            readings, residuals, times = (np.roll(rings.take(length), head) for _ in range(3))
            _put(arena, live, np.concatenate([readings, readings, residuals, residuals, times]))
            state.counts[0] += centroids == 0
        if centroids > 0:
            model = places["model"][slot] = arena.allocate(model_size(length, shape.normal_length, centroids))
            _put(arena, model, models.take(HEAD))
            for k in range(centroids):
                part = models.take(1 + shape.normal_length + shape.windows)
                _put(arena, model + HEAD + k * centroid_size(length, shape.normal_length), part)
            describe_windows(arena.data, model, centroids, length, shape.normal_length)
            places["calibration"][slot] = arena.allocate(shape.collected)
            _put(arena, int(places["calibration"][slot]), conformal.take(shape.collected - shape.calibration + held))
    return state


class _Reader:
    """Takes an array's elements one stretch after another."""

    def __init__(self, values: NDArray[Any]) -> None:
        self.values, self.place = values.astype(np.float64), 0

    def take(self, count: int) -> Floats:
        self.place += count
        return self.values[self.place - count : self.place]


def _put(arena: Arena, start: int, values: Floats) -> None:
    arena.data[start : start + len(values)] = values


def _model_parts(data: Floats, model: int, centroids: int, shape: Shape) -> list[Floats]:
    """Head, and of each centroid weight, itself and dot products; what is known of its windows is made again."""
    head = data[model : model + HEAD].copy()
    head[NEAREST] = 0.0  # scratch of the latest distance
    size = centroid_size(shape.length, shape.normal_length)
    starts = [model + HEAD + k * size for k in range(centroids)]
    return [head, *(data[start : start + 1 + shape.normal_length + shape.windows] for start in starts)]
