from __future__ import annotations

import numpy as np
import pytest

from detectors.benford.detector import BenfordDetector
from detectors.normal_model.detector import NormalModelDetector
from detectors.protocol import Columns
from state import snapshot
from state.keys import PackedKeys
from state.snapshot import Section, SnapshotError
from streams.cuts import Cut
from streams.partition import Counts, Origins, Partition, run

NINES = {"mu": 2.5, "sigma": 0.6}


def postings(amounts, employee="e"):
    n = len(amounts)
    at = (1_700_000_000 + 60 * np.arange(n)) * 1_000_000
    fields = {"amount": np.array(amounts, np.int64), "limit": np.full(n, -1), "approval_limit": np.full(n, -1)}
    return Columns(PackedKeys.pack([employee] * n), at.astype(np.int64), fields)


def auditor(**more):
    return Partition("employees", "employee.postings", 3, BenfordDetector(window=40, minimum_expected=0.5, **more), silence=1e6)


def fed(part, columns, origins=None, first=0):
    rows = np.arange(first, first + len(columns))
    origins = origins or Origins.of_record(part.topic, part.number, rows, np.zeros_like(rows))
    return run(part.fold(columns, origins, first + len(columns)))


def test_the_position_is_what_the_fold_says_and_travels_with_its_state():
    part = auditor(**NINES)
    fed(part, postings([900] * 7))
    assert part.next == 7
    other = auditor(**NINES)
    other.thaw(part.freeze())
    assert other.next == 7
    assert other.counts == part.counts


def test_what_an_upstream_partition_has_brought_once_is_not_counted_again():
    part = auditor(**NINES)
    sources = [("card.transactions", 0), ("card.transactions", 1)]

    def brought(source, offsets):
        n = len(offsets)
        return Origins(sources, np.array(source), np.array(offsets), np.zeros(n, np.int64))

    assert fed(part, postings([900] * 4), brought([0, 0, 1, 0], [5, 6, 2, 7])).skipped == 0
    again = fed(part, postings([900] * 5), brought([0, 1, 0, 1, 0], [6, 2, 7, 3, 8]), first=4)
    assert again.skipped == 3
    assert again.rows.tolist() == [3, 4]
    assert part.counts.events == 6
    assert part.counts.skipped == 3
    thawed = auditor(**NINES)
    thawed.thaw(part.freeze())
    assert fed(thawed, postings([900]), brought([1], [3]), first=9).skipped == 1


def test_an_alert_is_named_by_where_its_event_was_born():
    amounts = [900 + i for i in range(40)]
    one, other = auditor(**NINES), auditor(**NINES)
    first = fed(one, postings(amounts)).reports[0]
    reborn = Origins([("card.transactions", 1)], np.zeros(40, np.int64), np.arange(100, 140), np.zeros(40, np.int64))
    second = fed(other, postings(amounts), reborn).reports[0]
    assert first.origin is not None
    assert second.origin is not None
    alarmed = first.origin.offset
    assert 0 < alarmed < 40
    assert first.origin.topic == "employee.postings"
    assert (second.origin.topic, second.origin.offset) == ("card.transactions", 100 + alarmed)
    assert first.episode != second.episode
    assert first.episode == fed(auditor(**NINES), postings(amounts)).reports[0].episode


def test_two_events_of_one_frame_never_share_an_id():
    amounts = [900 + i for i in range(40)]
    framed = Origins([("employee.postings", 3)], np.zeros(40, np.int64), np.full(40, 7), np.arange(40))
    other = Origins([("employee.postings", 3)], np.zeros(40, np.int64), np.full(40, 7), np.arange(1, 41))
    assert (
        fed(auditor(**NINES), postings(amounts), framed).reports[0].episode
        != fed(auditor(**NINES), postings(amounts), other).reports[0].episode
    )


def test_a_cut_takes_effect_before_the_event_it_names():
    part = auditor()
    assert fed(part, postings([900] * 3)).verdicts.reason.tolist() == [3, 3, 3]  # no reference yet
    part.adopt(Cut(3, 3, {"population": {"n": 1000, "mean": 2.5, "m2": 360.0}}))
    assert part.last_cut == 3
    assert 3 not in fed(part, postings([900] * 3), first=3).verdicts.reason


def test_a_state_of_other_settings_names_both():
    frozen = auditor(**NINES).freeze()
    with pytest.raises(SnapshotError, match=r"window=40.*window=50"):
        Partition("employees", "employee.postings", 3, BenfordDetector(window=50, **NINES), silence=1e6).thaw(frozen)


def test_the_fold_waits_for_a_model_and_goes_on_with_the_very_next_reading():
    detector = NormalModelDetector(length=8, warm_up=96, calibration=40, hand_over_lag=5, hand_over_spread=1)
    part = Partition("sensors", "sensor.readings", 0, detector, silence=3600)
    n = 300
    value = np.sin(np.arange(n) * 2 * np.pi / 8)
    columns = Columns(PackedKeys.pack(["s"] * n), np.arange(n, dtype=np.int64) * 1_000_000, {"value": value})
    rows = np.arange(n)
    folding = part.fold(columns, Origins.of_record(part.topic, 0, rows, np.zeros(n, np.int64)), n)
    build = next(folding)
    assert build.key == b"s"
    assert part.counts.events == 0  # counted when the batch is done, not while it waits
    with pytest.raises(StopIteration) as end:
        folding.send(build.run())
    assert len(end.value.value.verdicts) == n


def test_a_state_of_before_first_was_kept_is_read():
    part = auditor()
    sections = snapshot.unpack(part.freeze())
    own = sections["partition"]
    kept = {name: value for name, value in own.meta.items() if name not in ("first", "through")}
    meta = kept | {"verdicts_through": 0}
    old = sections | {"partition": Section(1, own.arrays, meta | {"counts": own.meta["counts"][:7]})}
    part.thaw(snapshot.pack(old))
    assert part.first == 0
    assert part.counts == Counts()
