"""Putting a finished build in force, between two readings of its sensor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detectors.normal_model import layout
from detectors.normal_model.ladder import Built
from detectors.normal_model.ranking import alike
from detectors.normal_model.rolling import CLIMBED, TRIED, model_size, refresh
from detectors.normal_model.state import NormalModelState


def put_in_force(state: NormalModelState, slot: int, built: Built, ladder: Sequence[int]) -> None:
    """Judge a sensor by what was built for it, from its next reading on."""
    whole, its, arena = state.rows["whole"][slot], state.places["where"][slot], state.arena
    length, normal_length = built.recipe.length, built.recipe.normal_length
    changed = whole[layout.TASK] == layout.CHANGE
    if whole[layout.CENTROIDS] == 0:
        whole[layout.LENGTH], whole[layout.NORMAL_LENGTH] = length, normal_length
        _begin(state, slot)
    else:
        arena.release(int(its[layout.CALIBRATION]), 2 * int(whole[layout.BASE] + whole[layout.WANTED]))
        if changed:
            _store(state, slot, built)
        else:
            arena.release(int(its[layout.MODEL]), model_size(length, normal_length, int(whole[layout.CENTROIDS])))

    state.release_ring(slot)  # its scores were another model's
    whole[layout.JUDGED] = whole[layout.CONFIRMED] = 0
    block, live = built.model.block, int(its[layout.LIVE])
    its[layout.MODEL] = model = arena.store(block)
    whole[layout.CENTROIDS] = built.model.centroids
    refresh(arena.data, live + int(whole[layout.SEEN]) % length, model, built.model.centroids, length, normal_length)
    arena.data[live + 5 * length : live + layout.live_size(length, normal_length)] = 0.0

    base, wanted = len(built.distances), int(whole[layout.WANTED])
    its[layout.CALIBRATION] = start = arena.allocate(2 * (base + wanted))
    arena.data[start : start + base] = built.distances
    arena.data[start + base + wanted : start + 2 * base + wanted] = built.amplitudes
    whole[layout.BASE], whole[layout.HELD], whole[layout.RANKED] = base, 0, alike(arena.data, start, base, length)

    whole[layout.RUNG] = np.searchsorted(ladder, block[CLIMBED], side="right")
    whole[layout.PAGE] = whole[layout.TRAILED] = 0
    if changed:
        whole[layout.NEWS] = layout.BACK if built.earlier >= 0 else layout.NEW
    else:
        whole[layout.ONSET] = whole[layout.ONSET_AT] = 0
    if whole[layout.RUNG] == len(ladder):
        whole[layout.KEPT] = 0
        state.release_history(slot)
    whole[layout.TASK] = layout.NONE
    state.counts[0] -= 1
    state.builds.pop(slot, None)


def _begin(state: NormalModelState, slot: int) -> None:
    """Lay the last ℓ readings of the history out as the ring."""
    whole, its, arena = state.rows["whole"][slot], state.places["where"][slot], state.arena
    length, seen = int(whole[layout.LENGTH]), int(whole[layout.SEEN])
    its[layout.LIVE] = live = arena.allocate(layout.live_size(length, int(whole[layout.NORMAL_LENGTH])))
    arena.data[live : live + layout.live_size(length, int(whole[layout.NORMAL_LENGTH]))] = 0.0
    start = int(its[layout.HISTORY])
    history = arena.data[start : start + int(whole[layout.KEPT])]
    ring = np.roll(history[~np.isnan(history)][-length:], seen % length)
    arena.data[live : live + length] = arena.data[live + length : live + 2 * length] = ring


def _store(state: NormalModelState, slot: int, built: Built) -> None:
    """Keep the model that was in force with those of earlier regimes; one that comes back leaves them, and so does a fourth."""
    whole, its, arena = state.rows["whole"][slot], state.places["where"][slot], state.arena
    arena.data[its[layout.MODEL] + TRIED] = built.tried
    many = int(whole[layout.STORED])
    models = list(
        zip(
            its[layout.EARLIER : layout.EARLIER + many].tolist(),
            whole[layout.STORED_CENTROIDS : layout.STORED_CENTROIDS + many].tolist(),
            strict=True,
        )
    )
    gone = [models.pop(built.earlier)] if built.earlier >= 0 else []
    models.append((int(its[layout.MODEL]), int(whole[layout.CENTROIDS])))
    gone += models[: -layout.STORED_MOST]
    models = models[-layout.STORED_MOST :]
    for place, centroids in gone:
        arena.release(place, model_size(built.recipe.length, built.recipe.normal_length, centroids))
    its[layout.EARLIER :], whole[layout.STORED_CENTROIDS : layout.STORED_CENTROIDS + layout.STORED_MOST] = -1, 0
    for i, (place, centroids) in enumerate(models):
        its[layout.EARLIER + i], whole[layout.STORED_CENTROIDS + i] = place, centroids
    whole[layout.STORED] = len(models)
