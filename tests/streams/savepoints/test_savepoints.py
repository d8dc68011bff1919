"""Savepoints on the embedded broker: what is put in force goes on as if nothing had been between."""

from __future__ import annotations

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from config.load import load
from state import snapshot
from streams import topics
from streams.configured import definition
from streams.durable.manifest import CutPosition
from streams.errors import UserError
from streams.origins import HEADER
from streams.savepoints import savepoint
from streams.savepoints.repartition import placed, repartitioned
from streams.simulators.layout import table
from streams.simulators.postings import simulate_postings
from streams.transport.log import Log
from tests.streams.outside import Site, records_of

EMPLOYEES = {"streams.partitions": 2, "streams.enabled": ("employees",), "checkpoint.interval": 0.05}


@pytest.fixture(scope="module")
def postings(tmp_path_factory):
    file = tmp_path_factory.mktemp("postings") / "postings.parquet"
    pq.write_table(table(simulate_postings(employees=20, postings=2_000, seed=3)), file)
    settings = load(None, overrides=EMPLOYEES, environment={})
    return settings, records_of("employees", file, settings)


@pytest.fixture
def site(postings):
    with Site("employees", postings[0]) as site:
        yield site


def alerts(site):
    return [record.value for record in site.lying(topics.alerts("employees"))]


def test_a_replay_from_a_savepoint_says_what_was_said_again_and_ends_in_the_same_state(site, postings, tmp_path):
    records = postings[1]
    site.folded(records[:1_000])
    about = site.exported(tmp_path / "s")
    first = alerts(site)
    reference = site.folded(records[1_000:])
    whole, cuts = alerts(site), site.cuts()
    later = [alert for alert in whole if alert not in first]
    assert any(b"population" in cut for cut in cuts)
    assert len(later) >= 3
    site.imported(tmp_path / "s")
    where = site.broker.group("nilometer").positions
    assert [where["employee.postings", n].offset for n in range(2)] == [part.offset for part in about.parts]
    assert site.folded() == reference
    assert site.cuts() == cuts  # nothing was adopted twice
    again = list(alerts(site))
    for alert in whole:
        again.remove(alert)
    assert sorted(again) == sorted(later)


def test_a_savepoint_goes_to_a_source_that_was_made_anew(site, postings, tmp_path):
    settings, records = postings
    site.folded(records[:1_000])
    site.exported(tmp_path / "s")
    with Site("employees", settings) as other:
        with pytest.raises(UserError, match=r"holds 0 to 0, the savepoint goes on from \d+: .* --from-beginning"):
            other.imported(tmp_path / "s")
        other.imported(tmp_path / "s", from_beginning=True)
        after = other.folded(records[1_000:1_500])
    reference = site.folded(records[1_000:1_500])
    assert [rows(state) for state in after] == [rows(state) for state in reference]


def forwarded(site, records):
    """Produce postings as cards would forward them whose own topic has just begun."""
    for number, (key, value) in enumerate(records):
        site.broker.produce("employee.postings", key, value, headers=[(HEADER, b"card.transactions/0/%d/0" % number)])


@pytest.mark.parametrize("many", [2, 1])
def test_postings_of_transactions_whose_topic_was_made_anew_are_no_repeats(site, postings, tmp_path, many):
    records = postings[1]
    forwarded(site, records[:1_000])
    site.folded()
    site.exported(tmp_path / "s")
    file = tmp_path / "s" if many == 2 else repartitioned_file(site, tmp_path / "s", many)
    with Site("employees", load(None, overrides={**EMPLOYEES, "streams.partitions": many}, environment={})) as other:
        other.imported(file, from_beginning=many == 2)
        forwarded(other, records[1_000:1_500])
        after = thawed(other, other.folded())
    assert sum(part.counts.events for part in after) == 1_500
    assert sum(part.counts.skipped for part in after) == 0


def test_what_is_said_of_keys_in_topics_made_anew_is_news(site, postings, tmp_path):
    settings, records = postings
    key, limit = records[0][0], b'{"approval_limit": 50}'
    for _ in range(5):
        site.broker.produce(topics.EMPLOYEE_LIMITS, key, limit)
    assert max(part.through["limits"] for part in thawed(site, site.folded(records[:1_000]))) == 5
    site.exported(tmp_path / "s")
    with Site("employees", settings) as other:
        other.imported(tmp_path / "s", from_beginning=True)
        other.broker.produce(topics.EMPLOYEE_LIMITS, key, limit)
        assert sum(part.through["limits"] for part in thawed(other, other.folded(records[1_000:1_500]))) == 1


def rows(frozen):
    """What is kept of employees, without what depends on when the population was adopted."""
    arrays = snapshot.unpack(frozen)["benford"].arrays
    return {name: arrays[name].tobytes() for name in ("recent", "hits")}


def test_a_cut_log_that_is_not_the_savepoints_own_is_refused(site, postings, tmp_path):
    settings, records = postings
    site.folded(records[:500])
    site.exported(tmp_path / "s")
    with Site("employees", settings) as other:
        for key, value in records[:500]:
            other.broker.produce("employee.postings", key, value)
        with pytest.raises(UserError, match="is not the cut log that the savepoint was taken with"):
            other.imported(tmp_path / "s")


def test_what_is_of_something_else_is_refused_with_both_values(site, postings, tmp_path):
    site.folded(postings[1][:100])
    site.exported(tmp_path / "s")
    for more, both in (
        ({"benford.window": 90}, r"window=110.*the settings now say .*window=90"),
        ({"streams.partitions": 3}, "2 partitions, the source 3: nilometer state repartition employees FILE --to 3"),
    ):
        with Site("employees", load(None, overrides={**EMPLOYEES, **more}, environment={})) as other, pytest.raises(UserError, match=both):
            other.imported(tmp_path / "s")
    with Site("errors", load(None, overrides={**EMPLOYEES, "streams.enabled": ("errors",)}, environment={})) as other:
        with pytest.raises(UserError, match="of employees, not of errors"):
            other.imported(tmp_path / "s")


def test_a_stream_that_nobody_has_folded_cannot_be_exported(site, tmp_path):
    with pytest.raises(UserError, match=r"employee\.postings/0 has no checkpoint yet"):
        site.exported(tmp_path / "s")
    assert not list(tmp_path.iterdir())


def repartitioned_file(site, file, many):
    """What `nilometer state repartition` does."""
    about, what = savepoint.read(file), definition("employees", site.settings)
    olds = []
    for head, data in savepoint.states(file):
        olds.append(what.partition(head.partition))
        olds[-1].thaw(data)
    made = [
        placed(part, about.parts[part.number] if part.number < len(about.parts) else None, many > len(about.parts))
        for part in repartitioned(what, olds, many)
    ]
    new = file.with_suffix(f".{many}")
    savepoint.write(new, msgspec.structs.replace(about, partitions=many, parts=[head for head, _ in made]), [body for _, body in made])
    return new


@pytest.mark.parametrize("many", [1, 5])
def test_keys_go_on_in_other_partitions_of_topics_made_anew(site, postings, tmp_path, many):
    records = postings[1]
    before = sum(part.counts.events for part in thawed(site, site.folded(records[:1_000])))
    site.exported(tmp_path / "s")
    new = repartitioned_file(site, tmp_path / "s", many)
    with Site("employees", load(None, overrides={**EMPLOYEES, "streams.partitions": many}, environment={})) as other:
        if many > 2:  # they would have grown
            with pytest.raises(UserError, match="records are missing, or the topic was made anew"):
                other.imported(new)
        other.imported(new, from_beginning=many > 2)
        after = thawed(other, other.folded(records[1_000:1_500]))
    reference = thawed(site, site.folded(records[1_000:1_500]))
    assert sum(part.counts.events for part in after) == before + 500
    assert digits(after) == digits(reference)


def thawed(site, states):
    parts = []
    for number, state in enumerate(states):
        parts.append(definition("employees", site.settings).partition(number))
        parts[-1].thaw(state)
    return parts


def digits(parts):
    """Every employee's counts, whatever partition he is in."""
    return {
        part.state.keys.key(slot): part.state.rows["hits"][slot].tolist() for part in parts for slot in part.state.keys.slots().tolist()
    }


def written(file, states=(b"one" * 1000, b"two")):
    made = [savepoint.part(n, snapshot.pack({"x": snapshot.Section(1, {"a": np.frombuffer(data, np.uint8)})}), offset=n, cuts=CutPosition(),
                           checkpoint=f"ab/{n}") for n, data in enumerate(states)]  # fmt: skip
    about = savepoint.Savepoint(
        stream="cards", topic="card.transactions", build="b", made="2026-01-01", partitions=len(made), signatures={"detector": "x"},
        parts=[head for head, _ in made],
    )  # fmt: skip
    savepoint.write(file, about, [body for _, body in made])
    return about


def test_a_savepoint_comes_back_as_it_was_written(tmp_path):
    about = written(tmp_path / "s")
    assert savepoint.read(tmp_path / "s") == about
    parts = list(savepoint.states(tmp_path / "s"))
    assert [head for head, _ in parts] == about.parts
    assert snapshot.unpack(parts[0][1])["x"].arrays["a"].tobytes() == b"one" * 1000
    first, second = (tmp_path / "s").read_bytes().split(b"\n")[:2]
    assert first.startswith(b"nilometer savepoint 1 ")
    assert msgspec.json.decode(second)["stream"] == "cards"
    assert [each.name for each in tmp_path.iterdir()] == ["s"]


def test_every_damaged_byte_of_a_savepoint_is_found_or_does_no_harm(tmp_path):
    written(tmp_path / "s", (b"one", b"two"))
    whole, good = (tmp_path / "s").read_bytes(), list(savepoint.states(tmp_path / "s"))
    found = 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x15
        (tmp_path / "d").write_bytes(damaged)
        try:
            assert list(savepoint.states(tmp_path / "d")) == good
        except UserError:
            found += 1
    assert found >= len(whole) - 10  # a few bits of zstd's own say nothing
    for end in (0, 10, 60, len(whole) - 1):
        (tmp_path / "d").write_bytes(whole[:end])
        with pytest.raises(UserError):
            list(savepoint.states(tmp_path / "d"))
    (tmp_path / "d").write_bytes(whole + b"x")
    with pytest.raises(UserError, match="more bytes"):
        list(savepoint.states(tmp_path / "d"))


def test_a_newer_savepoint_is_refused_with_both_formats(tmp_path):
    written(tmp_path / "s")
    whole = (tmp_path / "s").read_bytes()
    (tmp_path / "s").write_bytes(whole.replace(b"savepoint 1 ", b"savepoint 9 ", 1))
    with pytest.raises(UserError, match="has format 9, this build reads up to 1"):
        savepoint.read(tmp_path / "s")


def test_partitions_that_are_parked_because_their_topic_grew_can_still_be_exported(site, postings, tmp_path):
    site.folded(postings[1][:300])
    grown = site.broker.partitions("employee.postings") + 1
    site.broker.topics["employee.postings"].logs.append(Log("employee.postings", 2))
    assert site.broker.partitions("employee.postings") == grown
    assert len(site.exported(tmp_path / "s").parts) == 2
