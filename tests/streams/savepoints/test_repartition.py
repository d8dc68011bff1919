"""The number of partitions changes: every key is judged on as if it had not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from detectors.normal_model.detector import NormalModelDetector
from detectors.protocol import Columns
from state import snapshot
from state.keys import PackedKeys
from streams.alerts import Promise
from streams.cuts import Cut
from streams.definitions import Definition
from streams.errors import UserError
from streams.partition import Origins, Partition, run
from streams.savepoints.by_key import lengths
from streams.savepoints.repartition import repartitioned
from streams.transport.broker import partition_of_key
from tests import strategies
from tests.golden import make
from tests.test_contract import DETECTORS

KEYS = [f"key {i}" for i in range(9)] + ["ключ", "key 3\x1fnight", "key 31"]
# A card is ranked among its partition's scores, a sensor among the partition's maxima of its class: that is not their own.
OF_CARDS = ("score", "unit", "reason")
OF_SENSORS = ("score", "unit", "reason", "seen", "needed")
OF_KEYS = ("score", "threshold", "p_value", "alert", "seen", "needed", "unit", "reason")


EVERY = {
    **DETECTORS,
    "tiles": make.DETECTORS["aggregation_tiles"],
    "auto": lambda: NormalModelDetector(length="auto"),
}
FAMILY = {"tiles": "aggregation", "auto": "normal_model"}


def definition(name):
    detector = EVERY[name]()
    promise = Promise(words="", budget={}, unit="event", guarantee="", basis="own")
    made = Definition(name=name, detector=detector, decode=lambda chunk: None, silence=7200.0, promise=promise, rate=0.1, scores=False)
    return made


class Stream(Definition):
    """Its partitions need no topic's name."""

    def partition(self, number):
        return Partition("stream", "topic", number, self.detector, self.silence)


def stream(name):
    return Stream(**{field.name: getattr(definition(name), field.name) for field in dataclasses.fields(Definition)})


def events(name, n=2600):
    rng = np.random.default_rng(3)
    keys = [KEYS[i] for i in rng.integers(0, len(KEYS), n)]
    at = (1_700_000_000 + np.cumsum(rng.integers(1, 40, n))) * 1_000_000
    return keys, Columns(PackedKeys.pack(keys), at.astype(np.int64), strategies.FIELDS[FAMILY.get(name, name)](rng, n))


def dealt(parts, keys, columns, first, last):
    """Fold events first … last − 1, each in its key's partition; what was said of each, by event."""
    where = np.array([partition_of_key(key.partition("\x1f")[0].encode(), len(parts)) for key in keys[first:last]])
    said = {}
    for part in parts:
        rows = first + np.flatnonzero(where == part.number)
        batch = Columns(columns.keys.take(rows), columns.at[rows], {name: column[rows] for name, column in columns.fields.items()})
        offsets = part.next + np.arange(len(rows))
        origins = Origins.of_record("topic", part.number, offsets, np.zeros_like(offsets))
        verdicts = run(part.fold(batch, origins, part.next + len(rows))).verdicts
        said |= {int(row): (verdicts, place) for place, row in enumerate(rows)}
    return said


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("many", [1, 3, 7])
def test_every_key_goes_on_as_if_it_had_not_moved(name, many):
    what, (keys, columns) = stream(name), events(name)
    parts = [what.partition(number) for number in range(4)]
    dealt(parts, keys, columns, 0, 2000)
    moved = repartitioned(what, parts, many)
    assert [part.number for part in moved] == list(range(many))
    assert sum(len(part.state.keys) for part in moved) == sum(len(part.state.keys) for part in parts)
    assert sum(part.counts.events for part in moved) == 2000
    for part in moved:
        thawed = what.partition(part.number)
        thawed.thaw(part.freeze())
        assert thawed.freeze() == part.freeze()
    reference, computed = dealt(parts, keys, columns, 2000, 2600), dealt(moved, keys, columns, 2000, 2600)
    for row, (verdicts, place) in reference.items():
        others, there = computed[row]
        for column in {"aggregation": OF_CARDS, "normal_model": OF_SENSORS}.get(FAMILY.get(name, name), OF_KEYS):
            np.testing.assert_array_equal(getattr(others, column)[there], getattr(verdicts, column)[place], f"{keys[row]}, {column}")
        for column in verdicts.evidence.keys() - {"decision"}:
            values = verdicts.evidence[column]
            np.testing.assert_array_equal(others.evidence[column][there], values[place], f"{keys[row]}, {column}")


@pytest.mark.parametrize("name", EVERY)
def test_what_moves_there_and_back_is_what_it_was(name):
    what, (keys, columns) = stream(name), events(name)
    parts = [what.partition(number) for number in range(4)]
    dealt(parts, keys, columns, 0, 2000)
    back = repartitioned(what, repartitioned(what, parts, 3), 4)
    for before, after in zip(parts, back, strict=True):
        old, new = snapshot.unpack(before.freeze()), snapshot.unpack(after.freeze())
        for section, arrays in lengths(what.detector, old).items():
            for array in arrays:
                if (section.rpartition(".")[2], array) not in {("keys", "touched"), ("normal_model", "whole")}:  # by the partition's clocks
                    assert old[section].arrays[array].tobytes() == new[section].arrays[array].tobytes(), (section, array)


def test_what_all_partitions_have_counted_together_stays_the_same():
    what, (keys, columns) = stream("aggregation"), events("aggregation")
    parts = [what.partition(number) for number in range(4)]
    dealt(parts, keys, columns, 0, 2000)

    def together(parts):
        return what.detector.merged([what.detector.contribution(part.state) for part in parts])

    for many in (1, 3, 7):
        assert together(repartitioned(what, parts, many)) == together(parts)


def test_what_a_register_says_of_employees_goes_where_they_go():
    what = stream("benford")
    parts = [what.partition(number) for number in range(2)]
    for number, key in ((partition_of_key(key.encode(), 2), key) for key in KEYS[:8]):
        parts[number].adopt(Cut(number, 0, {"limits": {"through": 9, "items": [{"key": key, "limit": 100 + int(key[4:])}]}}))
    moved = repartitioned(what, parts, 3)
    known = [{key: part.state.limits._known[key] for key in sorted(part.state.limits._known)} for part in moved]
    assert known == [{k.encode(): (100 + int(k[4:]), -1) for k in KEYS[:8] if partition_of_key(k.encode(), 3) == n} for n in range(3)]
    assert [part.through["limits"] for part in moved] == [9, 9, 0]


def test_a_stream_that_is_keyed_otherwise_is_refused():
    what, (keys, columns) = stream("benford"), events("benford")
    parts = [what.partition(number) for number in range(2)]
    run(parts[0].fold(columns, Origins.of_record("topic", 0, np.arange(2600), np.zeros(2600, np.int64)), 2600))
    with pytest.raises(UserError, match="is in partition 0, murmur2 puts it into 1 of 2"):
        repartitioned(what, parts, 3)
    assert len(set(keys)) == len(KEYS)
