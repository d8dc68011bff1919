"""What of a frozen state is each key's, and by which rule the rest is shared out when keys move to other partitions.

A frozen state is sections of arrays. An array that is the keys' own has, key by key in byte order, a stretch of entries on its first
axis; `lengths` says how long each is. What is the partition's own has a rule; an array that has neither is refused, so a new one
cannot be forgotten here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.normal_model import layout
from detectors.normal_model.rolling import HEAD
from detectors.normal_model.silence import LIVED
from detectors.protocol import Detector, Ints
from state.rings import HELD
from state.snapshot import Section

Sections = Mapping[str, Section]
Lengths = dict[str, dict[str, Ints]]


class Rule(StrEnum):
    """How new partition j of M comes to what was of old partitions i of N."""

    SUM = "sum"  # counts: those of the old partitions i = j modulo M are added up, so that the stream's stay what they were
    MOMENTS = "moments"  # the same of (n, mean, M2)
    SAMPLE = "sample"  # memories of what passed lately: that of old partition j modulo N, as fair a sample of the stream as any
    NEWEST = "newest"  # what was adopted: that of the old partition whose event time is furthest
    LATEST = "latest"  # clocks: the largest
    PERIODS = "periods"  # the latest period of any; the earliest that all have been compared at


RULES: Mapping[tuple[str, str], Rule] = {
    ("episodes", "event_time"): Rule.LATEST,
    ("normal_model", "clock"): Rule.LATEST,
    **{("normal_model", name): Rule.SAMPLE for name in ("pooled", "pooled_names", "pooled_counts")},
    ("hardness", "counted"): Rule.SUM,
    ("aggregation", "turned_away"): Rule.SUM,
    **{("aggregation", name): Rule.SAMPLE for name in ("scores", "pace", "head")},
    **{("aggregation.population", name): Rule.SUM for name in ("seen", "counts")},
    **{("aggregation.population", name): Rule.NEWEST for name in ("adopted_seen", "adopted_counts")},
    **{("benford", name): Rule.SUM for name in ("histogram", "fills")},
    ("benford", "moments"): Rule.MOMENTS,
    ("benford", "clock"): Rule.PERIODS,
    **{("benford", f"population{name}"): Rule.NEWEST for name in ("", "_histogram", "_scatters", "_repeats")},
}
WHOLE_SECTIONS = {"aggregation.shares": Rule.NEWEST, "aggregation.model": Rule.NEWEST}
NAMED = {"benford.limits": "limits"}  # sections of keys of their own: names, and what is known of each
# What stands in a key's rows by its partition's clock goes on from the new partition's: (section, array, column; the clock's array, place).
STAMPS = (("normal_model", "whole", layout.HEARD, "clock", LIVED),)


def rule_of(section: str, array: str) -> Rule:
    """The rule of what is a partition's own.

    Raises
    ------
    KeyError
        There is none.
    """
    return WHOLE_SECTIONS.get(section) or RULES[section, array]


def lengths(detector: Detector, sections: Sections) -> Lengths:
    """How many entries of each array are each key's."""
    keys = sections[f"{detector.name}.keys"].arrays
    one = np.ones(len(keys["lengths"]), np.int64)
    has = np.zeros(len(one), np.int64)
    episodes = sections["episodes"].arrays
    has[episodes["place"]] = 1
    own = _OF_DETECTORS[detector.name](detector, sections[detector.name].arrays, one)
    found: Lengths = {
        f"{detector.name}.keys": {"keys": keys["lengths"].astype(np.int64), "lengths": one, "touched": one},
        "episodes": {name: has for name in episodes if ("episodes", name) not in RULES},
        detector.name: own,
    }
    for section, arrays in found.items():
        for name, each in arrays.items():
            if int(each.sum()) != len(sections[section].arrays[name]):
                raise ValueError(f"{section}.{name} has {len(sections[section].arrays[name])} entries, its keys account for {each.sum()}")
    return found


def _rest(detector: str, arrays: Mapping[str, NDArray[Any]], one: Ints, ragged: dict[str, Ints]) -> dict[str, Ints]:
    """Of arrays with a row a key, and those named in `ragged`, how many entries are each key's."""
    return {name: ragged.get(name, one) for name in arrays if (detector, name) not in RULES}


def _of_sensors(detector: Any, arrays: Mapping[str, NDArray[Any]], one: Ints) -> dict[str, Ints]:
    whole = arrays["whole"].T
    length, normal_length, modelled = whole[layout.LENGTH], whole[layout.NORMAL_LENGTH], whole[layout.CENTROIDS] > 0
    live = np.array([layout.live_size(a, b) - 2 * a for a, b in zip(length.tolist(), normal_length.tolist(), strict=True)], np.int64)
    models = HEAD + whole[layout.CENTROIDS] * (1 + normal_length + normal_length - length + 1)
    for i in range(layout.STORED_MOST):
        models = models + (whole[layout.STORED] > i) * (HEAD + whole[layout.STORED_CENTROIDS + i] * (1 + normal_length))
    ragged = {
        "histories": whole[layout.KEPT],
        "rings": modelled * live,
        "conformal": modelled * 2 * (whole[layout.BASE] + whole[layout.HELD]),
        "maxima": modelled * 2 * whole[layout.BLOCKS],
        "units": modelled * 2 * whole[layout.BLOCKS],
        "models": modelled * models,
    }
    return _rest("normal_model", arrays, one, ragged)


def _of_errors(detector: Any, arrays: Mapping[str, NDArray[Any]], one: Ints) -> dict[str, Ints]:
    seen, in_force, size = arrays["seen"], arrays["in_force"], detector.bins * detector.width
    held = np.where(arrays["fitted"] == 0, np.minimum(np.minimum(seen, in_force), size), np.minimum(seen - in_force, size))
    return _rest("hardness", arrays, one, {"rings": np.where(seen > 0, 2 * held, 0)})


def _of_cards(detector: Any, arrays: Mapping[str, NDArray[Any]], one: Ints) -> dict[str, Ints]:
    held = arrays["rings"][:, HELD]
    return _rest("aggregation", arrays, one, dict.fromkeys(("times", "amounts", "groups", "transactions", "cells"), held))


def _of_employees(detector: Any, arrays: Mapping[str, NDArray[Any]], one: Ints) -> dict[str, Ints]:
    return _rest("benford", arrays, one, {})


_OF_DETECTORS: Mapping[str, Callable[[Any, Mapping[str, NDArray[Any]], Ints], dict[str, Ints]]] = {
    "normal_model": _of_sensors,
    "hardness": _of_errors,
    "aggregation": _of_cards,
    "benford": _of_employees,
}


def place_of(lengths: Ints) -> Ints:
    """Where each key's stretch begins."""
    starts: Ints = np.cumsum(lengths) - lengths
    return starts


def stretches(starts: Ints, lengths: Ints) -> Ints:
    """The places of the entries of these stretches, one stretch behind another."""
    places: Ints = np.repeat(starts - place_of(lengths), lengths) + np.arange(int(lengths.sum()))
    return places


def cut_out(sections: Sections, lengths: Lengths, row: int) -> dict[str, Section]:
    """The sections of the key in this place of the byte order, alone; what is the partition's own stays as it is."""
    found = dict(sections)
    for name, own in lengths.items():
        arrays = dict(sections[name].arrays)
        for array, each in own.items():
            start = int(place_of(each)[row])
            arrays[array] = arrays[array][start : start + int(each[row])]
        found[name] = Section(sections[name].version, arrays, sections[name].meta)
    return found
