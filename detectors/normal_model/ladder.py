"""Which model a sensor is judged by next: the ladder within a regime, and what follows a change.

A regime's models are built from its first readings, as many as each rung of the ladder says (9 ℓ_NM, at least 2,000; 5,000; 10,000).
A later one takes the earlier one's place only if it explains those readings better, by their median distance: five or seven windows
more now and then make a worse model. After a change, an earlier regime's model that explains the new stretch comes back; else one is
built from that stretch alone, with its own alignment reference.

Measured (ℓ = 75, P@k, mean / minimum over five starts): always the latest rung 14046_21 .934 / .759, 803 then 14046_21 .923 / .763;
the better of them .982 / .964 and .970 / .957; 803 and 805 do not care.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from detectors.hardness.null_models import fit_autoregression
from detectors.normal_model.amplitude import window_amplitudes
from detectors.normal_model.join import join_distances
from detectors.normal_model.kinds import FALLBACK, SHORTEST
from detectors.normal_model.model import NORMAL_LENGTHS, build_normal_model
from detectors.normal_model.period import propose_length
from detectors.normal_model.regimes import far_line
from detectors.normal_model.rolling import (
    AR,
    AR_ORDER,
    BUILT_FROM,
    BUILT_TO,
    CENTRE,
    CLIMBED,
    FLOOR_AT,
    HEAD,
    LINE,
    SPREAD,
    TRIED,
    USUAL_DISTANCE,
    model_block,
    model_of_block,
)

Floats = NDArray[np.float64]


OUTLYING = 20.0  # spreads from the centre at which readings are cut for the null model


@dataclass(frozen=True, slots=True)
class Recipe:
    """How models are built.

    Attributes
    ----------
    length, normal_length
        ℓ and ℓ_NM; 0 where they are still to be found.
    sample_rate, centroids
        r, the candidates' share of a stretch, and the most centroids kept.
    most_scores
        Scores handed over for the conformal set, at most.
    longest
        The greatest ℓ that may be found.
    """

    length: int
    normal_length: int
    sample_rate: float
    centroids: int
    most_scores: int
    longest: int


@dataclass(frozen=True, slots=True)
class Known:
    """A model that is there already: its block, and how many centroids it has."""

    block: Floats
    centroids: int


@dataclass(frozen=True, slots=True)
class Built:
    """What a build hands over.

    Attributes
    ----------
    recipe
        ℓ and ℓ_NM among it.
    model
        What will be in force; its dot products are still to be made.
    earlier
        The place of a model taken back among those stored; −1 where it is not one of them.
    tried
        Median distance of the stretch under the model in force before; NaN where there was none.
    distances, amplitudes
        Of the stretch's own subsequences, thinned, ascending: the first part of the conformal sets.
    triggered
        The partition's event at which the build was triggered.
    """

    recipe: Recipe
    model: Known
    earlier: int
    tried: float
    distances: Floats
    amplitudes: Floats
    triggered: int


def climb(stretch: Floats, recipe: Recipe, known: Sequence[Known], *, first: int, key_hash: int, triggered: int) -> Built:
    """Return the better of a new model of these readings and the one in force: a pure function, to be run anywhere.

    Parameters
    ----------
    stretch
        The regime's readings so far, shape (n,), with a NaN wherever two did not follow each other.
    known
        The model in force; empty before the first.
    first
        The sensor's own number of the first of them.
    """
    if recipe.length == 0:
        length = propose_length(stretch[~np.isnan(stretch)], min(SHORTEST, recipe.longest), recipe.longest).length or min(
            FALLBACK, recipe.longest
        )
        recipe = replace(recipe, length=length, normal_length=NORMAL_LENGTHS * length)
    found, distances = _built(stretch, recipe, first, key_hash)
    tried = np.nan
    for in_force in known:
        others = _joined(stretch, recipe, in_force)
        tried = float(np.median(others))
        if tried <= np.median(distances):
            found, distances = Known(in_force.block.copy(), in_force.centroids), others
    _usual(found, distances, len(stretch), recipe)
    return _handed_over(stretch, recipe, found, distances, -1, tried, triggered)


def change(stretch: Floats, recipe: Recipe, known: Sequence[Known], *, first: int, key_hash: int, triggered: int) -> Built:
    """Return the stored model that explains these readings best, a new one where none does.

    `known`: the model in force, then the stored ones. One explains the stretch whose median distance is not beyond its own line.
    """
    joined = [_joined(stretch, recipe, model) for model in known]
    tried, *medians = [float(np.median(distances)) for distances in joined]
    explaining = [i for i, median in enumerate(medians) if median <= known[1 + i].block[LINE]]
    if explaining:
        best = min(explaining, key=lambda i: medians[i])
        found = Known(known[1 + best].block.copy(), known[1 + best].centroids)
        return _handed_over(stretch, recipe, found, joined[1 + best], best, tried, triggered)
    found, distances = _built(stretch, recipe, first, key_hash)
    _usual(found, distances, len(stretch), recipe)
    return _handed_over(stretch, recipe, found, distances, -1, tried, triggered)


def seamless(stretch: Floats, length: int) -> tuple[Floats, NDArray[np.bool_]]:
    """The readings of a stretch without the NaNs between them, and which of their subsequences reach over none.

    Where fewer than ℓ of these do, all count: a model of torn pieces is better than none.

    >>> seamless(np.array([1.0, 2.0, np.nan, 3.0, 4.0, 5.0]), 2)
    (array([1., 2., 3., 4., 5.]), array([ True, False,  True,  True]))
    """
    seams = np.isnan(stretch)
    readings = stretch[~seams]
    torn = np.zeros(len(readings), np.int64)
    torn[(np.flatnonzero(seams) - np.arange(np.count_nonzero(seams)))] = 1  # the first reading behind each seam
    before = np.cumsum(torn)
    whole = before[length - 1 :] == before[: len(readings) - length + 1]
    return readings, whole if np.count_nonzero(whole) >= length else np.ones_like(whole)


def thinning(count: int, most: int) -> NDArray[np.int64]:
    """Which of `count` scores are kept: every s-th, at most `most` of them."""
    if most <= 0:
        return np.empty(0, np.int64)
    return np.arange(0, count, -(-count // most), dtype=np.int64)


def _built(stretch: Floats, recipe: Recipe, first: int, key_hash: int) -> tuple[Known, Floats]:
    readings, whole = seamless(stretch, recipe.length)
    number = first + len(readings)
    model = build_normal_model(
        readings, length=recipe.length, normal_length=recipe.normal_length, sample_rate=recipe.sample_rate, key_hash=key_hash, number=number
    ).most_normal(recipe.centroids)
    block = model_block(model, recipe.length)
    block[BUILT_FROM], block[BUILT_TO] = first, number
    return Known(block, len(model.centroids)), join_distances(readings, model, recipe.length)[whole]


def _joined(stretch: Floats, recipe: Recipe, model: Known) -> Floats:
    readings, whole = seamless(stretch, recipe.length)
    return join_distances(readings, model_of_block(model.block, model.centroids, recipe.length, recipe.normal_length), recipe.length)[whole]


def _usual(model: Known, distances: Floats, size: int, recipe: Recipe) -> None:
    """Note on how many readings of its regime the model stands, how far they usually are, and so which are far."""
    usual = float(np.median(distances))
    model.block[CLIMBED] = size
    model.block[USUAL_DISTANCE], model.block[LINE] = usual, far_line(usual, recipe.length)


def _handed_over(stretch: Floats, recipe: Recipe, model: Known, distances: Floats, earlier: int, tried: float, triggered: int) -> Built:
    block = model.block
    block[TRIED] = np.median(distances)
    readings, whole = seamless(stretch, recipe.length)
    outlying = OUTLYING * block[SPREAD]  # one reading of 1e9 would be all that the null model knows
    block[AR:HEAD] = fit_autoregression(np.clip(readings - block[CENTRE], -outlying, outlying), AR_ORDER)
    amplitudes = window_amplitudes(readings, recipe.length, block[SPREAD], block[FLOOR_AT])[whole]
    kept = thinning(len(distances), recipe.most_scores)
    return Built(recipe, model, earlier, tried, np.sort(distances[kept]), np.sort(amplitudes[kept]), triggered)
