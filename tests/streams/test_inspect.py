"""`nilometer inspect`: what a checkpoint holds of a key, for a person and for a program."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest

from streams.cli.inspect import seen, show
from streams.durable.manifest import CutPosition, Manifest
from streams.savepoints.exports import Current
from tests.golden import make
from tests.streams.savepoints.test_repartition import stream

ASKED = {
    "normal_model": ("class", "readings", "length", "model", "block_maxima", "conformal_set", "may_alert"),
    "hardness": ("events", "ranked", "expected_error", "levels_of_the_bins", "odds_of_drift"),
    "aggregation": ("transactions", "usual_amount", "usual_gap_seconds", "in_the_last", "last_at", "paid_by"),
    "aggregation_tiles": ("transactions", "usual_amount", "cells_of_a_quarter_day"),
    "benford": ("postings", "first_digits", "tests", "repeated_amounts"),
}


def looked_at(name, key):
    part = make.partition(name)
    make.fold(part, make.events(name))
    what = stream(name.removesuffix("_tiles"))
    object.__setattr__(what, "detector", part.detector)
    manifest = Manifest(
        offset=part.next, chunks=1, bytes=0, digest="", partitions=4, cuts=CutPosition(), before=None, signatures={"detector": "x"}
    )
    return part, seen(what, 3, Current("ab/7", manifest, b"", bytearray(part.freeze())), key)


@pytest.mark.parametrize("name", make.DETECTORS)
def test_what_is_kept_of_a_key_can_be_read(name, capsys):
    part, (found,) = looked_at(name, "the third")
    assert found["key"] == "the third"
    assert set(ASKED[name]) <= set(found)
    assert found["from"] == {
        "partition": 3, "offset": make.LEARNT + make.NEXT, "checkpoint": "ab/7", "last_cut": -1, "event_time": found["from"]["event_time"]
    }  # fmt: skip
    assert json.loads(msgspec.json.encode(found)) == json.loads(json.dumps(found, allow_nan=False))
    show(found)
    said = capsys.readouterr().out
    for label in ASKED[name]:
        assert label.replace("_", " ") in said
    assert part.state.keys.find(b"nobody") < 0
    assert looked_at(name, "nobody")[1] == []


def test_what_is_shown_of_an_employee_is_what_the_fold_went_by():
    part, (found,) = looked_at("benford", "a")
    again = make.partition("benford")
    columns = make.events("benford")
    said = make.fold(again, columns)
    last = max(row for row, key in enumerate(columns.keys.tolist()) if key == b"a")
    for test, told in found["tests"].items():
        assert told["evidence"] == pytest.approx(said.evidence[test][last])
    most = max(told["evidence"] / told["alerts_at"] for told in found["tests"].values())
    assert most == pytest.approx(said.score[last])
    every = [each for key in ("a", "b", "the third", "ключ") for each in looked_at("benford", key)[1][0]["episodes"]]
    assert part.episodes.open == sum(each["open"] for each in every)


def test_what_is_shown_of_a_card_is_what_was_paid():
    _, (found,) = looked_at("aggregation", "b")
    columns = make.events("aggregation")
    mine = np.flatnonzero([key == b"b" for key in columns.keys.tolist()])
    seconds, amounts = columns.at[mine] // 1_000_000, columns.fields["amount"][mine]
    for days in (1, 3):
        inside = seconds > seconds[-1] - days * 86_400
        assert found["in_the_last"][f"{days} days"]["all"] == f"{inside.sum():,} of {amounts[inside].sum() / 100:,.2f} in all"


def test_all_that_a_source_is_told_apart_by_is_shown():
    from tests.streams.savepoints.test_repartition import dealt, events

    what, (keys, columns) = stream("hardness"), events("hardness")
    part = what.partition(0)
    dealt([part], keys, columns, 0, 2000)
    manifest = Manifest(
        offset=part.next, chunks=1, bytes=0, digest="", partitions=1, cuts=CutPosition(), before=None, signatures={"detector": "x"}
    )
    found = seen(what, 0, Current("ab/7", manifest, b"", bytearray(part.freeze())), "key 3")
    assert [each["key"] for each in found] == ["key 3", "key 3\x1fnight"]  # and not key 31
