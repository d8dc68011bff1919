"""Sensors: how far the latest subsequence is from the sensor's own Normal Model, and how often normal ones are as far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from detectors.normal_model import layout
from detectors.normal_model.blocks import describe_ring, leave_out, ranked_of
from detectors.normal_model.explain import explain
from detectors.normal_model.fold import ALARMS_FULL, AMPLITUDE, ARENA_FULL, DETAIL_HEAD, DONE, GONE, REGIME_DETAIL, SHAPE, score_then_learn
from detectors.normal_model.hand_over import put_in_force
from detectors.normal_model.kinds import ALERTS, FALSE, MOST_RANKED, REBUILDS, kinds_of, levels_of, table_of
from detectors.normal_model.ladder import Built, Recipe, change, climb
from detectors.normal_model.model import SAMPLE_RATE
from detectors.normal_model.state import NormalModelState, freeze, thaw
from detectors.protocol import ROW, SLOT, TEST, UNTIL_HEARD, Alarms, Build, Columns, Explanation, Ints, Verdicts
from state.keys import KeyIndex
from state.snapshot import Section

Floats = NDArray[np.float64]

FIRST_ALARMS = 64  # a batch's alarms that there is room for at first


class NormalModelDetector:
    """NorM over streams: each sensor's Normal Model, the distance of every subsequence to it before it is learned, changes of regime.

    Parameters
    ----------
    length
        ℓ, readings: about one period, or the length of the anomalies looked for. "auto": each sensor's own dominant period
        (`period`), found in its warm-up of 5,000 readings by default; 75 where it has none.
    normal_length
        ℓ_NM, readings; 3ℓ by default (None or 0), as in the paper.
    warm_up
        Readings of a regime that its first model is built from; by default (None or 0) 9 ℓ_NM, at least 2,000.
    rebuilds
        Readings of the regime from which it is built again (those above `warm_up` count).
    calibration
        Readings after a first hand-over whose scores, with those of the readings that the model was built from, later ones are ranked
        among, and before which nothing alarms; by default (None or 0) 4ℓ, at least 1,000.
    epsilon
        ε, the share of normal readings that may alert: the paper's own rule, which decides until the sensor's block maxima can serve the
        budget (`blocks`). Each channel is held against half.
    sample_rate
        r, share of a stretch that candidate windows cover (at least 12 windows, where there is room).
    centroids
        Most centroids kept; 1 is the paper's model, more are weighted as in the journal version.
    false_alarms_per_sensor_day
        F, the budget; 0: none, the paper's rule always decides.
    promise
        "alerts": every block is admitted to the ring, so F bounds alerts, true and false together; where anomalies fill a good part of
        the blocks it finds few of them. "false": blocks that people have confirmed as anomalies are left out.
    expected_anomaly_share
        With "false": the share of the ring that is set aside from its top as anomalies nobody has confirmed.
    given_hardness
        Whether the shape is judged given the hardness of the subsequence, how far a short autoregression is from it (`conditioning`);
        computed and shown in any case.
    hand_over_lag, hand_over_spread
        A model is in force from so many readings after those it is built from: lag + (hash mod spread).
    gap, silence
        In usual intervals of the sensor: after a longer gap the window begins anew; after a longer silence, by what the partition lives
        through, the sensor has fallen silent. 0: never.
    quiet_units
        Alarming blocks of ℓ_NM readings at most so many apart are one episode.
    key_limit
        Sensors that a partition keeps.
    classes
        Name and own settings of each class of sensors that differs (those of `Kind`), in the order of the codes in the column
        ``class``. A sensor is of the class of its first reading.

    Notes
    -----
    Readings are taken as they come: ℓ counts readings, not seconds. A reading that is late or repeated changes nothing. One that is not
    a number, or comes after a gap, interrupts the window: no score until ℓ readings have followed, and then the very scores that would
    have stood there without the interruption.

    A sensor has scores from its first model on (not ready before) and may alarm when the conformal set is complete; after a change
    of regime it is not ready again until the new one's is. A later rung of the ladder replaces the model and the set in one go.
    """

    name: ClassVar[str] = "normal_model"
    tests: ClassVar[tuple[str, ...]] = "shape", "amplitude", "regime", "silent"
    fields: ClassVar[Mapping[str, type]] = {"value": np.float64, "class": np.int64}
    unit: ClassVar[str] = "block"  # of ℓ_NM readings
    verdict_closes: ClassVar[bool] = False

    def __init__(
        self,
        *,
        length: int | str = 75,
        normal_length: int | None = None,
        warm_up: int | None = None,
        rebuilds: Sequence[int] = REBUILDS,
        calibration: int | None = None,
        epsilon: float = 0.01,
        sample_rate: float = SAMPLE_RATE,
        centroids: int = 1,
        false_alarms_per_sensor_day: float = 0.1,
        promise: str = ALERTS,
        expected_anomaly_share: float = 0.0,
        given_hardness: bool = False,
        hand_over_lag: int = 100,
        hand_over_spread: int = 100,
        gap: float = 20.0,
        silence: float = 20.0,
        quiet_units: int = 3,
        key_limit: int = 100_000,
        classes: Sequence[tuple[str, Mapping[str, Any]]] = (),
    ) -> None:
        common = {
            "length": length, "normal_length": normal_length, "warm_up": warm_up, "rebuilds": tuple(rebuilds), "calibration": calibration,
            "epsilon": epsilon, "sample_rate": sample_rate, "centroids": centroids,
            "false_alarms_per_sensor_day": false_alarms_per_sensor_day, "promise": promise,
            "expected_anomaly_share": expected_anomaly_share, "given_hardness": given_hardness,
        }  # fmt: skip
        self.kinds = kinds_of(common, classes)
        for setting, given, least in (
            ("hand_over_lag", hand_over_lag, 0), ("hand_over_spread", hand_over_spread, 1), ("quiet_units", quiet_units, 0),
            ("key_limit", key_limit, 1),
        ):  # fmt: skip
            if given < least:
                raise ValueError(f"{setting} = {given}: wanted a whole number of at least {least}")
        for setting, intervals in (("gap", gap), ("silence", silence)):
            if not 0.0 <= intervals < np.inf:
                raise ValueError(f"{setting} = {intervals}: wanted a number of usual intervals, 0 for never")
        self.hand_over_lag, self.hand_over_spread = hand_over_lag, hand_over_spread
        self.gap, self.silence, self.key_limit = float(gap), float(silence), key_limit
        self.quiet_units: tuple[int, ...] = quiet_units, quiet_units, 0, UNTIL_HEARD
        self._names = tuple(name for name, _ in classes)
        self._table = table_of(self.kinds)
        self._levels = levels_of(self.kinds)
        self._schedule = np.array([hand_over_lag, hand_over_spread], np.int64)
        self._limits = np.array([silence, gap])

    def new_state(self) -> NormalModelState:
        return NormalModelState(KeyIndex(self.key_limit), len(self.kinds))

    def process(self, state: NormalModelState, columns: Columns) -> Verdicts:
        n, rows = len(columns), state.rows
        state.fit()
        verdicts = Verdicts.blank(n)
        hardness, loudness = np.full(n, np.nan), np.full(n, np.nan)
        places, numbers, detail_stop = _alarm_room(FIRST_ALARMS)
        detail = np.empty(4 * (DETAIL_HEAD + 2 * self.kinds[0].longest + len(REGIME_DETAIL)))
        classes = columns.fields.get("class")
        classes = np.full(n, -1, np.int64) if classes is None else classes
        ends = np.zeros(2, np.int64)
        row, stopped = 0, ARENA_FULL
        while True:
            row, stopped = score_then_learn(
                row, columns.first_event, columns.slots, columns.at, columns.fields["value"], classes, state.keys.hashes,
                self._table, self._levels, self._schedule, self._limits,
                state.counts, state.clock, rows["whole"], rows["usual"], state.places["where"],
                state.arena.data, state.arena.header,
                state.pools.ring, state.pools.ordered, state.pools.counts, state.pools.names,
                verdicts.score, verdicts.threshold, verdicts.p_value, verdicts.alert,
                verdicts.seen, verdicts.needed, verdicts.unit, verdicts.reason, hardness, loudness,
                places, numbers, detail, detail_stop, ends,
            )  # fmt: skip
            if stopped == ARENA_FULL:
                state.arena.grow()
            elif stopped == ALARMS_FULL:
                more = _alarm_room(len(places))
                places, numbers, detail_stop = (np.concatenate(pair) for pair in zip((places, numbers, detail_stop), more, strict=True))
                detail = np.concatenate([detail, np.empty(len(detail))])
            else:
                break
        m = int(ends[0])
        verdicts.alarms = Alarms(places[:m], numbers[:m], detail[: ends[1]].copy(), detail_stop[:m])
        _in_order_of_keys(verdicts.alarms, state.keys)
        verdicts.evidence = {"hardness": hardness, "amplitude": loudness}
        if stopped != DONE:
            verdicts = verdicts.head(row)
            verdicts.waits_for = int(stopped)
        return verdicts

    def due(self, state: NormalModelState) -> list[Build]:
        if state.counts[0] == 0:
            return []
        whole = state.rows["whole"]
        waiting = np.flatnonzero(whole[:, layout.TASK] != layout.NONE)
        return [self._build(state, int(slot)) for slot in waiting[np.argsort(whole[waiting, layout.TRIGGERED], kind="stable")]]

    def hand_over(self, state: NormalModelState, build: Build, result: Built) -> None:
        slot = state.keys.find(build.key)
        if (
            slot < 0
            or state.rows["whole"][slot, layout.TASK] == layout.NONE
            or state.rows["whole"][slot, layout.TRIGGERED] != result.triggered
        ):
            return  # the sensor has gone, or has gone and come back
        put_in_force(state, slot, result, self.kinds[state.rows["whole"][slot, layout.KIND]].ladder)

    def adopt(self, state: NormalModelState, inputs: Mapping[str, Any]) -> Alarms:
        """Leave blocks that people have confirmed as anomalies out of the rings of `promise = "false"`: ``{"verdicts": […]}``."""
        for said in inputs.get("verdicts", ()):
            if said["verdict"] == "confirmed" and said["test"] in (SHAPE, AMPLITUDE):
                self._confirm(state, int(said["slot"]), int(said["first_unit"]), int(said["last_unit"]))
        return Alarms.none()

    def contribution(self, state: NormalModelState) -> None:
        return None

    def merged(self, contributions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {}

    def forget(self, state: NormalModelState, slots: Ints) -> None:
        state.fit()
        state.forget(slots)

    def freeze(self, state: NormalModelState) -> dict[str, Section]:
        return freeze(state)

    def thaw(self, sections: Mapping[str, Section]) -> NormalModelState:
        return thaw(sections, self.key_limit, len(self.kinds))

    def state_signature(self) -> dict[str, Any]:
        """All but ε, F and what only shapes alerts."""
        signature = self.kinds[0].signature() | {
            "hand_over_lag": self.hand_over_lag,
            "hand_over_spread": self.hand_over_spread,
            "gap": self.gap,
        }
        of_classes = {name: kind.signature() for name, kind in zip(self._names, self.kinds[1:], strict=True)}
        return signature | ({"classes": of_classes} if of_classes else {})

    def explain(self, alarms: Alarms, i: int) -> Explanation:
        return explain(int(alarms.places[i, TEST]), alarms.detail_of(i))

    def _confirm(self, state: NormalModelState, slot: int, first: int, last: int) -> None:
        whole, its = state.rows["whole"][slot], state.places["where"][slot]
        kind = self.kinds[whole[layout.KIND]]
        if kind.promise != FALSE or whole[layout.CENTROIDS] == 0:
            return
        if first <= whole[layout.SEEN] // whole[layout.NORMAL_LENGTH] <= last:
            whole[layout.CONFIRMED] = 1
        if whole[layout.BLOCKS] > 0:
            ring = state.arena.data, int(its[layout.RING]), int(its[layout.RING_ROOM])
            whole[layout.BLOCKS] = kept = leave_out(*ring, int(whole[layout.BLOCKS]), first, last)
            head = int(its[layout.LIVE]) + layout.block_head(int(whole[layout.LENGTH]), int(whole[layout.NORMAL_LENGTH]))
            its[layout.SINCE] = -1
            describe_ring(*ring, ranked_of(kept, kind.expected_anomaly_share), head)
        state.pools.leave_out(int(whole[layout.KIND]), int(state.keys.hashes[slot]), first, last)

    def _build(self, state: NormalModelState, slot: int) -> Build:
        if slot not in state.builds:
            whole, its = state.rows["whole"][slot], state.places["where"][slot]
            length, normal_length = int(whole[layout.LENGTH]), int(whole[layout.NORMAL_LENGTH])
            start, size = int(its[layout.HISTORY]), int(whole[layout.SIZE])
            stretch = state.arena.data[start : start + size].copy()
            many = int(whole[layout.CENTROIDS])
            known = [state.known(int(its[layout.MODEL]), many, length, normal_length)] if many > 0 else []
            kept = state.arena.data[start : start + int(whole[layout.KEPT])]
            first = int(whole[layout.SEEN] - np.count_nonzero(~np.isnan(kept)))
            kind = self.kinds[whole[layout.KIND]]
            recipe = Recipe(length, normal_length, kind.sample_rate, kind.centroids, MOST_RANKED - int(whole[layout.WANTED]), kind.longest)
            seed = {"first": first, "key_hash": int(state.keys.hashes[slot]), "triggered": int(whole[layout.TRIGGERED])}
            if whole[layout.TASK] == layout.CHANGE:
                stored = zip(its[layout.EARLIER :].tolist(), whole[layout.STORED_CENTROIDS :].tolist(), strict=False)
                known += [state.known(place, count, length, normal_length) for place, count in stored if place >= 0]
                run = partial(change, stretch, recipe, known, **seed)
            else:
                run = partial(climb, stretch, recipe, known, **seed)
            state.builds[slot] = Build(slot, state.keys.key(slot), first + size, run)
        return state.builds[slot]


def _alarm_room(count: int) -> tuple[Ints, Floats, Ints]:
    return (np.empty((count, 5), np.int64), np.empty((count, 4)), np.empty(count, np.int64))


def _in_order_of_keys(alarms: Alarms, keys: KeyIndex) -> None:
    """Put sensors that are found silent at one event in order of their keys: the order of their slots is an accident."""
    places = alarms.places
    gone = np.flatnonzero(places[:, TEST] == GONE)
    if len(gone) < 2 or len(np.unique(places[gone, ROW])) == len(gone):
        return
    name = {slot: keys.key(slot) for slot in set(places[gone, SLOT].tolist())}
    order = np.arange(len(places))
    order[gone] = sorted(gone.tolist(), key=lambda i: (places[i, ROW], name[int(places[i, SLOT])]))
    details = [alarms.detail_of(i) for i in order.tolist()]
    alarms.detail_stop[:] = np.cumsum([len(detail) for detail in details])
    alarms.detail = np.concatenate(details)
    alarms.places, alarms.numbers = places[order], alarms.numbers[order]
