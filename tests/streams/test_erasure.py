"""A key is forgotten: nothing of it stays, nobody else notices, and a replay forgets it at the same event."""

from __future__ import annotations

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from config.load import load
from detectors.protocol import Columns, Verdicts
from state.keys import KeyIndex, PackedKeys
from streams import erasure, topics
from streams.backtest import Backtest
from streams.configured import audit, definition
from streams.cuts import Cut
from streams.cuts import load as load_cuts
from streams.decoding.tabular import read
from streams.durable.manifest import Shelf
from streams.durable.store import Stored
from streams.erasure import Asked, Request, digest, slots_of
from streams.partition import Origins, Partition, run
from streams.simulators.layout import table
from streams.simulators.postings import simulate_postings
from tests import strategies
from tests.streams.outside import Site, records_of
from tests.test_contract import DETECTORS, bits, folded

KEY = b"the one to forget"


def stream(name, n=1500, seed=5):
    rng = np.random.default_rng(seed)
    keys = [(b"a", b"zz", KEY, b"c")[i] for i in rng.integers(0, 4, n)]
    at = (1_700_000_000 + np.cumsum(rng.integers(1, 100, n))) * 1_000_000
    return keys, Columns(PackedKeys.pack(keys), at.astype(np.int64), strategies.FIELDS[name](rng, n))


def take(columns, rows):
    return Columns(columns.keys.take(rows), columns.at[rows], {name: column[rows] for name, column in columns.fields.items()})


@pytest.mark.parametrize("name", DETECTORS)
def test_nothing_of_a_key_is_left_and_nobody_elses_verdict_is_another(name):
    keys, columns = stream(name)
    others = np.array([i >= 1000 and keys[i] != KEY for i in range(len(keys))])
    later = take(columns, np.flatnonzero(others))
    outcomes = {}
    for erased in (False, True):
        part = Partition("stream", "topic", 0, DETECTORS[name](), silence=1e9)
        folded(part, columns.span(0, 1000))
        if erased:
            assert KEY in part.freeze()
            part.adopt(Cut(0, 1000, {"erase": {"through": 7, "keys": [digest(KEY)]}}))
            assert KEY not in part.freeze()
            again = Partition("stream", "topic", 0, DETECTORS[name](), silence=1e9)
            again.thaw(part.freeze())
            assert again.freeze() == part.freeze()
            assert again.through["erase"] == 7
            assert len(part.state.keys) == 3
        outcomes[erased] = folded(part, later, 1000)
    computed, reference = (outcomes[each].verdicts for each in (True, False))
    assert bits(rows(computed)) == bits(rows(reference))


def rows(verdicts: Verdicts) -> Verdicts:
    """Without the alarms: that a forgotten sensor has fallen silent is not said any more."""
    return Verdicts(**{f: getattr(verdicts, f) for f in Verdicts.__slots__ if f not in ("alarms", "evidence")}, evidence=verdicts.evidence)


@pytest.mark.parametrize("name", DETECTORS)
def test_a_forgotten_key_begins_anew(name):
    _, columns = stream(name)
    mine = take(columns, np.flatnonzero([key == KEY.decode() or key == KEY for key in columns.keys.tolist()]))
    part = Partition("stream", "topic", 0, DETECTORS[name](), silence=1e9)
    folded(part, mine)
    part.adopt(Cut(0, len(mine), {"erase": {"through": 1, "keys": [digest(KEY)]}}))
    whole = part.detector.freeze(part.state)
    assert len(part.state.keys) == 0
    rest = Columns(mine.keys.span(0, 5), mine.at[-5:] + 10**9, {name: column[-5:] for name, column in mine.fields.items()})
    n = len(mine)
    run(part.fold(rest, Origins.of_record("topic", 0, np.arange(n, n + 5), np.zeros(5, np.int64)), n + 5))
    assert len(part.state.keys) == 1
    assert set(whole) == set(part.detector.freeze(part.state))


def test_an_open_episode_of_a_forgotten_key_ends():
    for seed in range(20):
        _, columns = stream("benford", seed=seed)
        part = Partition("stream", "topic", 0, DETECTORS["benford"](), silence=1e9)
        folded(part, columns)
        opened = part.episodes.open
        reports = part.adopt(Cut(0, 1500, {"erase": {"through": 1, "keys": [digest(KEY)]}}))
        assert all(report.transition.phase == "closed" and report.transition.key == KEY for report in reports)
        assert part.episodes.open == opened - len(reports)
        if reports:
            return
    raise AssertionError("no episode was open")


def test_what_a_register_says_of_a_forgotten_employee_is_forgotten():
    part = Partition("stream", "topic", 0, DETECTORS["benford"](), silence=1e9)
    part.adopt(Cut(0, 0, {"limits": {"through": 2, "items": [{"key": key, "limit": 500} for key in (KEY.decode(), "another")]}}))
    assert KEY in part.freeze()
    part.adopt(Cut(0, 0, {"erase": {"through": 1, "keys": [digest(KEY)]}}))
    assert KEY not in part.freeze()
    assert b"another" in part.freeze()


def test_all_that_belongs_to_a_source_is_meant_and_nothing_that_only_looks_like_it():
    keys = KeyIndex()
    names = [b"pump", b"pump\x1fnight", b"pump\x1fnight\x1fv2", b"pump2", b"pum", b"\x1fpump"]
    slots = keys.admit(PackedKeys.pack(names), 0)
    assert slots_of(keys, [digest(b"pump")]).tolist() == sorted(slots[:3].tolist())
    assert slots_of(keys, [digest(b"pump\x1fnight")]).tolist() == sorted(slots[1:3].tolist())
    assert len(slots_of(keys, [digest(b"nobody")])) == 0


def test_what_has_been_adopted_is_not_due_again():
    asked = Asked()
    assert asked.due(0) is None
    for offset, key in ((0, "aa"), (1, None), (2, "bb"), (5, "aa")):
        asked.add(offset, key)
    assert asked.due(0) == {"through": 6, "keys": ["aa", "bb"]}
    assert asked.due(1) == {"through": 6, "keys": ["aa", "bb"]}
    assert asked.due(3) == {"through": 6, "keys": ["aa"]}
    assert asked.due(6) is None


def test_a_cut_of_very_many_requests_stays_small(monkeypatch):
    monkeypatch.setattr(erasure, "AT_ONCE", 2)
    asked = Asked()
    for offset in range(3):
        asked.add(offset, f"{offset}")
    assert asked.due(0) == {"through": 2, "keys": ["0", "1"]}
    assert asked.due(2) == {"through": 3, "keys": ["2"]}


def test_workers_forget_a_key_in_every_checkpoint_though_nothing_comes_and_a_replay_forgets_it_too(tmp_path):
    file = tmp_path / "postings.parquet"
    pq.write_table(table(simulate_postings(employees=8, postings=1_200, seed=3)), file)
    settings = load(
        None, overrides={"streams.partitions": 2, "streams.enabled": ("employees",), "checkpoint.interval": 0.05}, environment={}
    )
    key = b"employee-3"
    with Site("employees", settings) as site:
        site.folded(records_of("employees", file, settings))
        site.exported(tmp_path / "before")
        assert any(key in state for state in lying(site).values())
        request = msgspec.json.encode(Request(digest(key), "2026-01-01T00:00:00Z"))
        site.broker.produce(topics.erasures("employees"), None, request, partition=0)
        site.broker.produce(topics.erasures("employees"), None, b"no request", partition=0)

        def forgotten(watcher):
            every = lying(site).values()
            return all(part.through["erase"] == 1 for part in watcher.partitions.values()) and not any(key in state for state in every)

        states = site.folded(until=forgotten)  # no event comes any more
        assert not any(key in state for state in states)
        assert not any(key in record.value for record in site.lying(topics.cuts("employees")))
        cuts = site.cuts()
        assert sum(b"erase" in cut for cut in cuts) == 2

        test = Backtest(
            definition("employees", settings), tmp_path / "out", audit(settings, definition("employees", settings)), 2, load_cuts(cuts)
        )
        for batch in read("employees", file, settings):
            test.feed(batch)
        test.close()
        for part in test.parts:
            for cut in load_cuts(cuts)[part.number]:
                if cut.n == part.next and "erase" in cut.inputs:  # before an event that has not come
                    part.adopt(cut)
        assert [part.freeze() for part in test.parts] == states

        site.imported(tmp_path / "before")  # a state that knows the key still
        assert site.folded(until=forgotten) == states
        assert site.cuts() == cuts


def lying(site):
    """The states of all checkpoints that are in the topic."""
    topic = topics.checkpoints(site.stream)
    found = {}
    for number in range(site.broker.partitions(topic)):
        shelf = Shelf(Stored(r.offset, r.key, r.value) for r in site.broker.read(topic, number))
        for name in shelf.parts:
            manifest = shelf.manifest(name)
            if manifest is not None and (data := shelf.data(name, manifest)) is not None:
                found[number, name] = bytes(data)
    return found
