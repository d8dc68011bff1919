"""Sensors: how far the latest subsequence is from the sensor's own Normal Model, and how often normal ones are as far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from detectors.hardness.null_models import fit_autoregression
from detectors.normal_model.explain import explain
from detectors.normal_model.fold import ARENA_FULL, DETAIL_FULL, DETAIL_HEAD, DONE, score_then_learn
from detectors.normal_model.join import join_distances
from detectors.normal_model.model import NORMAL_LENGTHS, SAMPLE_RATE, NormalModel, build_normal_model
from detectors.normal_model.rolling import AR_ORDER, model_block, refresh
from detectors.normal_model.state import NormalModelState, Shape, freeze, thaw
from detectors.protocol import Alarms, Build, Columns, Explanation, Ints, Verdicts
from state.keys import KeyIndex
from state.snapshot import Section

Floats = NDArray[np.float64]

LEAST_WARM_UP = 2000  # readings, and
WARM_UP = 12  # ℓ_NM: see NormalModelDetector
CALIBRATION = 1000  # readings, at least
MOST_RANKED = 4096  # distances that a sensor's conformal set holds at most: 32 KiB


@dataclass(frozen=True, slots=True)
class Built:
    """What a build hands over.

    Attributes
    ----------
    model
        With the centroids that will be used.
    coefficients
        Shape (6,): AR null model of the warm-up relative to the model's level, intercept first.
    distances
        Of the warm-up's own subsequences, thinned, ascending: the first part of the conformal set.
    triggered
        The partition's event at which the build was triggered.
    """

    model: NormalModel
    coefficients: Floats
    distances: Floats
    triggered: int


class NormalModelDetector:
    """NorM over streams: a Normal Model from each sensor's warm-up, the distance of every later subsequence to it, a conformal threshold.

    Parameters
    ----------
    length
        ℓ, readings: about one period, or the length of the anomalies looked for.
    normal_length
        ℓ_NM, readings; 3ℓ by default (None or 0), as in the paper.
    warm_up
        Readings of a sensor that its model is built from; by default (None or 0) 12 ℓ_NM, at least 2,000.
    calibration
        Readings after the hand-over whose distances, with those of the warm-up itself, later ones are ranked among; by default
        (None or 0) 4ℓ, at least 1,000.
    epsilon
        ε, the share of normal readings that may alert: the paper's own rule, until budgets decide.
    sample_rate
        r, share of the warm-up that candidate windows cover (at least 12 windows, where there is room).
    centroids
        Most centroids kept; 1 is the paper's model, more are weighted as in the journal version.
    hand_over_lag, hand_over_spread
        The model is in force from the sensor's reading warm_up + lag + (hash mod spread) on.
    quiet_units
        Alerting blocks of ℓ_NM readings at most so many apart are one episode.
    key_limit
        Sensors that a partition keeps.

    Notes
    -----
    A sensor is not ready before warm_up + lag + spread + calibration readings; a shorter stream never alerts.

    The conformal set holds the warm-up's own distances too. They are a little small, being of what the model was made of; without
    them a calibration of 1,000 readings is a dozen heartbeats. Measured (ℓ = 75, ε = 1 %, five starts, static model; share of label
    segments with an alert / share of alerting readings among those whose subsequence touches no label):

    | warm-up, calibration | 803 | 805 | 14046_13 | 14046_21 |
    |---|---|---|---|---|
    | 2,025, 1,000, calibration alone | .993 / .003 | .995 / .085 | .998 / .058 | .761 / .018 |
    | 2,025, 1,000, with the warm-up's | 1.000 / .000 | .989 / .025 | .998 / .046 | .721 / .009 |
    | 3,000, 1,000, calibration alone | .986 / .006 | .997 / .375 | .998 / .051 | .791 / .002 |
    | 3,000, 1,000, with the warm-up's | .993 / .000 | .987 / .000 | .998 / .048 | .910 / .001 |
    | 5,000, 2,000, with the warm-up's | .993 / .000 | .989 / .001 | .998 / .040 | .852 / .000 |

    It holds anomalies, too: three beats of 803 are a tenth of it, so that its 99th percentile is an anomaly's own peak, and whether
    later ones are above is luck (14046_21: .59 of the segments in the worst of thirty runs). So what lies √ℓ or farther from the
    model, as far as a flat line from any shape, is left out, if it is no more than a sixteenth of the set (where it is more, the
    sensor has no shape, and that is its normal):

    | 2,700, 1,000, thirty runs | 803 | 805 | 14046_13 | 14046_21 |
    |---|---|---|---|---|
    | all | 1.000 / .000 | .987 / .000 | 1.000 / .057 | .844 / .005 |
    | **without what is not alike** | 1.000 / .003 | .989 / .002 | 1.000 / .057 | 1.000 / .006 |

    The price is paid by sensors with few shapeless stretches of their own: of 33 runs on NAB, 2 rise from 2–4 % to 6–8 % of alerting
    readings. A cut by quartiles (1.5 or 3 interquartile ranges) was worse: 1–60 % of the normal readings alert. 14046_13 keeps
    4–6 % false readings however long the calibration: its normal changes.
    """

    name: ClassVar[str] = "normal_model"
    tests: ClassVar[tuple[str, ...]] = ("shape",)
    fields: ClassVar[Mapping[str, type]] = {"value": np.float64}
    unit: ClassVar[str] = "block"  # of ℓ_NM readings
    verdict_closes: ClassVar[bool] = False

    def __init__(
        self,
        *,
        length: int = 75,
        normal_length: int | None = None,
        warm_up: int | None = None,
        calibration: int | None = None,
        epsilon: float = 0.01,
        sample_rate: float = SAMPLE_RATE,
        centroids: int = 1,
        hand_over_lag: int = 100,
        hand_over_spread: int = 100,
        quiet_units: int = 3,
        key_limit: int = 100_000,
    ) -> None:
        if not AR_ORDER < length <= MOST_RANKED:
            raise ValueError(f"length = {length}: wanted between {AR_ORDER + 1} and {MOST_RANKED} readings")
        normal_length = normal_length or NORMAL_LENGTHS * length
        if normal_length < length:
            raise ValueError(f"normal_length = {normal_length}: wanted at least length = {length} readings")
        warm_up = warm_up or max(LEAST_WARM_UP, WARM_UP * normal_length)
        if warm_up < 2 * normal_length:
            raise ValueError(f"warm_up = {warm_up}: wanted at least two windows of normal_length = {normal_length} readings")
        calibration = calibration or min(max(CALIBRATION, 4 * length), MOST_RANKED)
        if not length <= calibration <= MOST_RANKED:
            raise ValueError(f"calibration = {calibration}: wanted between length = {length} and {MOST_RANKED} readings")
        if not 0.0 < epsilon < 1.0:
            raise ValueError(f"epsilon = {epsilon}: wanted a probability strictly between 0 and 1")
        if not 0.0 < sample_rate <= 1.0:
            raise ValueError(f"sample_rate = {sample_rate}: wanted a share in (0, 1]")
        for setting, given, least in (
            ("centroids", centroids, 1), ("hand_over_lag", hand_over_lag, 0), ("hand_over_spread", hand_over_spread, 1),
            ("quiet_units", quiet_units, 0), ("key_limit", key_limit, 1),
        ):  # fmt: skip
            if given < least:
                raise ValueError(f"{setting} = {given}: wanted a whole number of at least {least}")
        self.length, self.normal_length, self.warm_up, self.calibration = length, normal_length, warm_up, calibration
        self.epsilon, self.sample_rate, self.centroids = epsilon, sample_rate, centroids
        self.hand_over_lag, self.hand_over_spread = hand_over_lag, hand_over_spread
        self.quiet_units, self.key_limit = (quiet_units,) * len(self.tests), key_limit
        collected = calibration + len(_thinning(warm_up - length + 1, MOST_RANKED - calibration))
        self._shape = Shape(length, normal_length, warm_up, collected, calibration)
        self._sizes = np.array([length, normal_length, warm_up, calibration, hand_over_lag, hand_over_spread, collected], np.int64)

    def new_state(self) -> NormalModelState:
        return NormalModelState(KeyIndex(self.key_limit))

    def process(self, state: NormalModelState, columns: Columns) -> Verdicts:
        n, rows, places = len(columns), state.rows, state.places
        state.fit()
        verdicts = Verdicts.blank(n)
        hardness, critical, detail_stop = np.full(n, np.nan), np.zeros(n, np.bool_), np.zeros(n, np.int64)
        width = DETAIL_HEAD + 2 * self.length
        detail = np.empty((1 + n // 64) * width)
        row, stopped = 0, ARENA_FULL
        while True:
            row, stopped = score_then_learn(
                row, columns.first_event, columns.slots, columns.at, columns.fields["value"], state.keys.hashes, self._sizes, self.epsilon,
                state.counts,
                rows["seen"], rows["last_at"], rows["triggered"], rows["in_force"], rows["centroids"], rows["held"], rows["ranked"],
                places["history"], places["room"], places["live"], places["model"], places["calibration"],
                state.arena.data, state.arena.header, verdicts.score, verdicts.threshold, verdicts.p_value, verdicts.alert,
                critical, verdicts.seen, verdicts.needed, verdicts.unit, verdicts.reason, hardness, detail, detail_stop,
            )  # fmt: skip
            if stopped == ARENA_FULL:
                state.arena.grow(2 * max(self.warm_up, 5 * self.length))
            elif stopped == DETAIL_FULL:
                detail = np.concatenate([detail, np.empty(max(len(detail), width))])
            else:
                break
        verdicts.evidence = {"hardness": hardness}
        verdicts.alarms = Alarms.of_rows(
            verdicts.alert, columns.slots, verdicts.unit, verdicts.score, verdicts.threshold, verdicts.p_value, critical,
            detail[: detail_stop[row - 1] if row else 0].copy(), detail_stop,
        )  # fmt: skip
        if stopped != DONE:
            verdicts = verdicts.head(row)
            verdicts.waits_for = int(stopped)
        return verdicts

    def due(self, state: NormalModelState) -> list[Build]:
        if state.counts[0] == 0:
            return []
        rows = state.rows
        waiting = np.flatnonzero((rows["seen"] >= self.warm_up) & (rows["centroids"] == 0))
        return [self._build(state, int(slot)) for slot in waiting[np.argsort(rows["triggered"][waiting], kind="stable")]]

    def hand_over(self, state: NormalModelState, build: Build, result: Built) -> None:
        slot, rows, places, arena = state.keys.find(build.key), state.rows, state.places, state.arena
        if slot < 0 or rows["seen"][slot] < self.warm_up or rows["centroids"][slot] > 0 or rows["triggered"][slot] != result.triggered:
            return  # the sensor has gone, or has gone and come back
        count = len(result.model.centroids)
        state.release_history(slot)
        places["model"][slot] = arena.store(model_block(result.model, self.length, result.coefficients))
        window = int(places["live"][slot] + rows["seen"][slot] % self.length)
        refresh(arena.data, window, int(places["model"][slot]), count, self.length, self.normal_length)
        places["calibration"][slot] = start = arena.allocate(self._shape.collected)
        arena.data[start : start + len(result.distances)] = result.distances
        rows["centroids"][slot] = count
        state.counts[0] -= 1
        state.builds.pop(slot, None)

    def adopt(self, state: NormalModelState, inputs: Mapping[str, Any]) -> Alarms:
        """Nothing from outside bears on a sensor's own model."""
        return Alarms.none()

    def contribution(self, state: NormalModelState) -> None:
        return None

    def merged(self, contributions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {}

    def forget(self, state: NormalModelState, slots: Ints) -> None:
        state.fit()
        state.forget(slots, self._shape)

    def freeze(self, state: NormalModelState) -> dict[str, Section]:
        return freeze(state, self._shape)

    def thaw(self, sections: Mapping[str, Section]) -> NormalModelState:
        return thaw(sections, self._shape, self.key_limit)

    def state_signature(self) -> dict[str, Any]:
        """All but ε and what only shapes alerts."""
        return {
            "length": self.length,
            "normal_length": self.normal_length,
            "warm_up": self.warm_up,
            "calibration": self.calibration,
            "sample_rate": self.sample_rate,
            "centroids": self.centroids,
            "hand_over_lag": self.hand_over_lag,
            "hand_over_spread": self.hand_over_spread,
        }

    def explain(self, alarms: Alarms, i: int) -> Explanation:
        return explain(alarms.detail_of(i), self.length, self.epsilon)

    def _build(self, state: NormalModelState, slot: int) -> Build:
        if slot not in state.builds:
            start = int(state.places["history"][slot])
            run = partial(
                build_for_sensor,
                state.arena.data[start : start + self.warm_up].copy(),
                length=self.length,
                normal_length=self.normal_length,
                sample_rate=self.sample_rate,
                centroids=self.centroids,
                most_distances=MOST_RANKED - self.calibration,
                key_hash=int(state.keys.hashes[slot]),
                triggered=int(state.rows["triggered"][slot]),
            )
            state.builds[slot] = Build(slot, state.keys.key(slot), self.warm_up, run)
        return state.builds[slot]


def build_for_sensor(
    history: Floats,
    *,
    length: int,
    normal_length: int,
    sample_rate: float,
    centroids: int,
    most_distances: int,
    key_hash: int,
    triggered: int,
) -> Built:
    """Build what a sensor is judged by from its warm-up, shape (n,): a pure function, to be run anywhere."""
    whole = build_normal_model(
        history, length=length, normal_length=normal_length, sample_rate=sample_rate, key_hash=key_hash, number=len(history)
    )
    model = whole.most_normal(centroids)
    distances = join_distances(history, model, length)
    coefficients = fit_autoregression(history - model.level, AR_ORDER)
    return Built(model, coefficients, np.sort(distances[_thinning(len(distances), most_distances)]), triggered)


def _thinning(count: int, most: int) -> Ints:
    """Which of `count` distances are kept: every s-th, at most `most` of them."""
    if most <= 0:
        return np.empty(0, np.int64)
    return np.arange(0, count, -(-count // most), dtype=np.int64)
