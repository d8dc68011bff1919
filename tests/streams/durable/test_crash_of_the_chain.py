"""Cards feed employees, and a worker of both crashes: no posting is counted twice and none is lost, whatever is written twice."""

from __future__ import annotations

import asyncio
import tempfile
from decimal import Decimal
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams import topics
from streams.configured import definition
from streams.cuts import stretches
from streams.durable.cut_log import counting
from streams.origins import HEADER
from streams.partition import run
from streams.scores import decoded
from streams.simulators.cards import simulate_cards
from streams.simulators.layout import table
from streams.transport.faults import LATE, Fault, line_of
from tests.streams.durable.test_crash_is_invisible import PARTITIONS, Scene, crash
from tests.streams.live import COORDINATES, at_rest

EMPLOYEES = 12


class Chain(Scene):
    """Cards, half of them employees', and one worker of both streams."""

    def folded(self) -> bool:
        """Whether the only worker alive has folded all transactions, and all postings that came of them."""
        living = [worker for worker in self.workers if line_of(worker.app).open]
        for stream in ("cards", "employees"):
            ends = {number: self.broker.end_offset(topics.source(stream), number) for number in range(PARTITIONS)}
            held = sorted((number, part.next) for worker in living for number, part in worker.watchers[stream].partitions.items())
            if held != sorted(ends.items()):
                return False
        return all(at_rest(worker.watchers[stream]) for worker in living for stream in ("cards", "employees"))

    def check_postings(self) -> tuple[int, int]:
        """How many postings there are, and how many were written again."""
        broker, what = self.broker, definition("employees", self.settings)
        wanted = set()  # origins
        for number in range(PARTITIONS):
            for record in broker.read(topics.source("cards"), number):
                transaction = msgspec.json.decode(record.value)
                if transaction.get("employee_id") and Decimal(str(transaction["amount"])) > 0:
                    wanted.add(f"card.transactions/{number}/{record.offset}/0".encode())
        told: dict[bytes, tuple] = {}
        written = skipped = 0
        for number in range(PARTITIONS):
            source = topics.source("employees")
            for record in broker.read(source, number):
                origin = dict(record.headers)[HEADER]
                written += 1
                assert told.setdefault(origin, (number, record.key, record.value)) == (number, record.key, record.value)
            part, end = what.partition(number), broker.end_offset(source, number)
            log = counting(number, ((r.offset, r.value) for r in broker.read(topics.cuts("employees"), number)))
            cuts = list(log)
            for _, last, adopted in stretches(0, end, cuts):
                for cut in adopted:
                    part.adopt(cut)
                while part.next < last:
                    chunk = broker.chunk(source, number, part.next, last - part.next, 1 << 20)
                    read = what.decode(chunk)
                    skipped += run(part.fold(read.columns, read.origins, chunk.next)).skipped
            for cut in cuts:
                if cut.n == part.next:
                    part.adopt(cut)
            (state,) = [
                w.watchers["employees"].partitions[number].freeze()
                for w in self.workers
                if line_of(w.app).open and number in w.watchers["employees"].partitions
            ]
            assert state == part.freeze(), f"partition {number} ends in another state than a fold of its log without crashes"
        assert set(told) == wanted
        assert skipped == written - len(wanted)
        rows: dict[bytes, dict] = {}
        for record in (record for number in range(PARTITIONS) for record in broker.read(topics.scores("employees"), number)):
            columns = decoded(record.value)
            for i, place in enumerate(zip(columns["source"], columns["offset"], columns["index"], strict=True)):
                row = {name: columns[name][i] for name in columns if name not in COORDINATES}
                assert rows.setdefault("/".join(map(str, place)).encode(), row) == row, f"{place} was judged twice, differently"
        assert set(rows) == wanted
        for number in range(PARTITIONS):
            for record in broker.read(topics.alerts("employees"), number):
                origin = msgspec.json.decode(record.value)["data"].get("origin")
                assert origin is None or origin["topic"] == topics.source("cards"), origin
        return len(wanted), skipped


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("chain") / "cards.parquet"
    pq.write_table(table(simulate_cards(cards=2 * EMPLOYEES, days=60, seed=2, employees=EMPLOYEES)), path)
    return path


MORE = {
    "streams.enabled": ("cards", "employees"),
    "cards.postings": True,
    "cards.epsilon": 0.02,
    "benford.scores": True,
    "benford.window": 60,
}
PLACES = {
    "a posting": ("produce", topics.source("employees"), 400),
    "scores of cards": ("produce", topics.scores("cards"), 12),
    "scores of employees": ("produce", topics.scores("employees"), 12),
    "an alert of cards": ("produce", topics.alerts("cards"), 40),
    "a checkpoint of cards": ("produce", topics.checkpoints("cards"), 20),
    "a checkpoint of employees": ("produce", topics.checkpoints("employees"), 20),
    "a commit": ("commit", "", 10),
    "a fetch": ("fetch", "", 30),
}


@st.composite
def faults(draw):
    operation, topic, many = PLACES[draw(st.sampled_from(sorted(PLACES)))]
    kinds = ["crash before", "crash after"] + (["lose", "unanswered"] if operation != "fetch" else [])
    kinds += [*LATE, *LATE] * (operation == "produce")
    return Fault(draw(st.sampled_from(kinds)), operation, topic, skip=draw(st.integers(0, many)), later=draw(st.integers(1, 20)))


def counted_once(file, fault, share, zombie, **more):
    scene = Chain("cards", file, MORE)

    async def whole():
        try:
            crashed = await crash(scene, fault, int(share * len(scene.records)), zombie, **more)
            found = crashed, *scene.check_postings()
            with tempfile.TemporaryDirectory() as folder:
                scene.check(Path(folder))  # of cards
            return found
        finally:
            await scene.end()

    return asyncio.run(whole())


def test_postings_that_a_crash_between_them_writes_again_are_counted_once(file):
    fault = Fault("crash after", "produce", topics.source("employees"), skip=150)
    crashed, postings, again = counted_once(file, fault, 0.3, False, patience=60.0)

    assert crashed
    assert postings > 500
    assert again > 0


@pytest.mark.parametrize("kind", LATE)
def test_a_posting_that_later_ones_overtake_is_neither_lost_nor_counted_twice(file, kind):
    fault = Fault(kind, "produce", topics.source("employees"), skip=150, later=3)
    _, postings, again = counted_once(file, fault, 0.3, False, patience=60.0)

    assert postings > 500
    assert again > 0


@settings(max_examples=5, suppress_health_check=list(HealthCheck))
@given(fault=faults(), share=st.floats(0.05, 0.7), zombie=st.booleans())
def test_no_crash_loses_a_posting_or_counts_it_twice(file, fault, share, zombie):
    counted_once(file, fault, share, zombie)


@pytest.mark.slow
@settings(max_examples=120, suppress_health_check=list(HealthCheck))
@given(fault=faults(), share=st.floats(0.0, 0.8), zombie=st.booleans())
def test_none_of_many_crashes_loses_a_posting_or_counts_it_twice(file, fault, share, zombie):
    counted_once(file, fault, share, zombie)
