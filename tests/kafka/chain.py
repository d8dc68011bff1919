"""Blows at workers whose cards feed their employees, on Apache Kafka: is every posting counted, and none twice?

    python -m tests.kafka.chain --kills 14

Transactions that name an employee go on to `employee.postings`, and the same workers fold both streams. One worker, then two, are
killed at random moments, some before they are up, and one is paused past its session and wakes as a zombie. In the end:

- what was said of cards is what `nilometer backtest --cuts` says (`tests.kafka.soak`);
- of each transaction that must go on there is a posting, perhaps in several copies, all of them alike;
- employees' states, verdicts and alerts are those of folds that get each posting's first copy alone and know nothing of origins: one
  that lay behind a later one, and was skipped for it, would be missing;
- `nilometer reconcile` finds every reading of both streams.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import re
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq

from streams import alerts, scores, topics
from streams.backtest import take
from streams.configured import audit, definition
from streams.cuts import Cut
from streams.definitions import Definition
from streams.durable.cut_log import counting
from streams.durable.manifest import Shelf
from streams.durable.store import Stored
from streams.origins import HEADER
from streams.partition import Partition, run
from streams.records import Decoded
from streams.simulators.cards import simulate_cards
from streams.simulators.layout import table
from streams.transport.broker import partition_of_key
from streams.transport.chunk import Chunk
from streams.transport.cutting import split_at
from streams.transport.kafka_logs import KafkaLogs
from tests.kafka import soak
from tests.kafka.broker import Kafka
from tests.kafka.commands import PARTITIONS, done, here, installation, nilometer
from tests.kafka.soak import LOOK
from tests.streams.live import COORDINATES

STREAMS = ("cards", "employees")
BURIED = 0.5  # of the kills are followed by word to the group that all its members have left: a session's ten seconds are spared
UNSEEN = 0.3  # of the workers that were started after a kill are killed while they start or restore


@dataclass
class Report(soak.Report):
    """What a run came to."""

    pauses: int = 0
    postings: int = 0  # transactions that must go on
    written: int = 0  # records that came of them
    lost: int = 0  # postings of which there is no record
    strange: int = 0  # records that nobody asked for, or that differ from another copy
    uncounted: int = 0  # postings that the states have counted too little or too often
    rows_wrong: int = 0  # verdicts on postings that are not those on their first copies
    told_wrong: int = 0  # alerts of employees, likewise
    told: int = 0  # alerts of employees
    folds_wrong: int = 0  # states of employees, likewise
    unbalanced: int = 0  # partitions in which `reconcile` finds a difference

    @property
    def again(self) -> int:
        """Records beyond each posting's first."""
        return self.written - (self.postings - self.lost)

    @property
    def faults(self) -> int:
        chain = self.lost, self.strange, self.uncounted, self.rows_wrong, self.told_wrong, self.folds_wrong, self.unbalanced
        return super().faults + sum(chain)

    def __str__(self) -> str:
        back = sorted(self.recoveries) or [0.0]
        return (
            f"{super().__str__()}\n"
            f"{self.pauses} pauses; back after {back[0]:.1f} to {back[-1]:.1f} s, half of the times within {back[len(back) // 2]:.1f} s\n"
            f"{self.postings:,} postings, {self.again:,} written again and skipped, {self.lost} lost, {self.strange} strange, "
            f"{self.uncounted} counted wrongly\n"
            f"employees, against each posting's first copy: {self.rows_wrong} verdicts, {self.told_wrong} of {self.told} alerts and "
            f"{self.folds_wrong} states are others; {self.unbalanced} partitions do not balance"
        )


class WithoutRule(Partition):
    """A fold that takes whatever it is given."""

    def _not_seen(self, origins: Any) -> Any:
        return np.ones_like(super()._not_seen(origins))


@dataclass
class FirstCopies:
    """What there is to be said of employees, told of each posting's first copy alone."""

    what: Definition
    audit: alerts.Audit
    prefix: str
    rows: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)
    alerts: dict[str, bytes] = field(default_factory=dict)

    def fold(self, number: int, chunks: Iterable[Chunk], first: set[int], cuts: list[Cut]) -> Partition:
        """Fold the records at these offsets, from cut to cut."""
        what, due = self.what, list(cuts)
        part = WithoutRule(what.name, topics.source(what.name), number, what.detector, what.silence)
        for chunk in chunks:
            rest: Chunk | None = chunk
            while rest is not None:
                while due and due[0].n == part.next:
                    self._tell(part, part.adopt(due.pop(0)))
                here, rest = split_at(rest, due[0].n) if due else (rest, None)
                self._take(part, here, what.decode(here), first)
        while due and due[0].n == part.next:
            self._tell(part, part.adopt(due.pop(0)))
        assert not due, f"cuts before {due[0].n}, the log ends at {part.next}"
        return part

    def _take(self, part: Partition, chunk: Chunk, decoded: Decoded, first: set[int]) -> None:
        assert not decoded.dead
        new = np.array([offset in first for offset in chunk.offsets.tolist()], np.bool_)
        part.counts.skipped += int(np.count_nonzero(~new))
        columns, origins = take(decoded.columns, np.flatnonzero(new)), decoded.origins.take(new)
        origins.sources = [(topic.removeprefix(self.prefix), number) for topic, number in origins.sources]
        outcome = run(part.fold(columns, origins, chunk.next))
        self._tell(part, outcome.reports)
        for value in scores.records(part.stream, part.number, 0, columns, origins, outcome.verdicts):
            self.rows |= rows_of(part.number, value)

    def _tell(self, part: Partition, reports: Iterable[Any]) -> None:
        for report in reports:
            event = alerts.cloud_event(
                report, stream=part.stream, partition=part.number, last_cut=part.last_cut, detector=part.detector,
                promise=self.what.promise, audit=self.audit, parts=self.what.parts(report.transition.key),
            )  # fmt: skip
            self.alerts[event["id"]] = alerts.encode(event)


def rows_of(partition: int, value: bytes) -> dict[tuple[Any, ...], dict[str, Any]]:
    """What a score record says of each posting, by its origin."""
    columns = scores.decoded(value)
    names = [name for name in columns if name not in COORDINATES]
    places = zip(columns["source"], columns["offset"], columns["index"], strict=True)
    return {(partition, *place): {name: columns[name][i] for name in names} for i, place in enumerate(places)}


@dataclass
class Chain(soak.Soak):
    """Cards are fed, and employees get what comes of them."""

    report: Report = field(default_factory=Report)

    @property
    def streams(self) -> tuple[str, ...]:
        return STREAMS

    def drain(self) -> None:
        """Wait until every transaction, and every posting that came of one, is behind a commit."""
        end = time.monotonic() + 120
        cards, employees = (self.prefix + topics.source(name) for name in STREAMS)
        sent: dict[tuple[str, int], int] = {}
        for key in (key for topic, key, _ in self.records if topic == cards):
            place = cards, partition_of_key(key or b"", PARTITIONS)
            sent[place] = sent.get(place, 0) + 1
        while True:
            told = {place: offset for place, (offset, _) in self.commits().items()}
            if sent.items() <= told.items() and told == sent | asyncio.run(self._ends(employees)):
                return
            assert time.monotonic() < end, f"not all is folded: {told} of {sent}"
            time.sleep(LOOK)

    async def _ends(self, topic: str) -> dict[tuple[str, int], int]:
        async with KafkaLogs({"bootstrap_servers": self.settings.kafka.bootstrap_servers}) as logs:
            return {(topic, number): await logs.end(topic, number) for number in range(PARTITIONS)}

    def judge(self, folder: Path) -> soak.Report:
        """Hold cards against a backtest, employees against each posting's first copy, and the books against the logs."""
        super().judge(folder)
        asyncio.run(self._judge_postings())
        for line in here("reconcile", **self.environment).splitlines():
            if re.match(r"\s+\d+ ", line):
                self.report.unbalanced += line.split()[-1] != "0"
        return self.report

    async def _judge_postings(self) -> None:
        report, prefix, what = self.report, self.prefix, definition("employees", self.settings)
        reference = FirstCopies(what, audit(self.settings, what), prefix)
        wanted, first = set(), {}
        async with KafkaLogs({"bootstrap_servers": self.settings.kafka.bootstrap_servers}) as logs:

            async def records(topic: str) -> list[list[Any]]:
                return [(await logs.read_to_end(prefix + topic, number)).records for number in range(PARTITIONS)]

            for record in itertools.chain(*await records(topics.source("cards"))):
                transaction = msgspec.json.decode(record.value)
                if transaction.get("employee_id") and Decimal(str(transaction["amount"])) > 0:
                    wanted.add(b"%s/%d/%d/0" % (topics.source("cards").encode(), record.partition, record.offset))
            for record in itertools.chain(*await records(topics.source("employees"))):
                copied = first.setdefault(dict(record.headers)[HEADER], record)
                report.strange += (copied.partition, copied.key, copied.value) != (record.partition, record.key, record.value)
                report.written += 1
            report.postings, report.lost = len(wanted), len(wanted - first.keys())
            report.strange += len(first.keys() - wanted)

            commits, counted = self.commits(), 0
            cuts, shelves = await records(topics.cuts("employees")), await records(topics.checkpoints("employees"))
            for number in range(PARTITIONS):
                offset, name = commits[prefix + topics.source("employees"), number]
                chunks = [chunk async for chunk in logs.chunks(prefix + topics.source("employees"), number, 0, offset)]
                own = {record.offset for record in first.values() if record.partition == number}
                part = reference.fold(number, chunks, own, list(counting(number, ((r.offset, r.value) for r in cuts[number]))))
                shelf = Shelf([Stored(r.offset, r.key, r.value) for r in shelves[number]])
                manifest = shelf.manifest(name)
                assert manifest is not None, f"checkpoint {name} is not there"
                data = shelf.data(name, manifest)
                report.folds_wrong += data != part.freeze()
                held = what.partition(number)
                held.thaw(data or b"")
                counted += held.counts.events
            report.uncounted = abs(counted - report.postings)
            said, told = await records(topics.scores("employees")), await records(topics.alerts("employees"))
        rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        for record in itertools.chain(*said):
            for place, row in rows_of(record.partition, record.value).items():
                report.doubled += place in rows
                report.contradictions += rows.setdefault(place, row) != row
        report.rows_wrong = sum(rows.get(place) != reference.rows.get(place) for place in rows | reference.rows)
        names = {msgspec.json.decode(record.value)["id"]: record.value for record in itertools.chain(*told)}
        report.told = len(names)
        report.told_wrong = sum(names.get(name) != reference.alerts.get(name) for name in names | reference.alerts)


@contextmanager
def chaining(kafka: str, folder: Path, *, cards: int, days: int) -> Iterator[Chain]:
    """A run's installation and its file, on the broker at this address; every other card is an employee's."""
    files = {"cards": folder / "cards.parquet"}
    columns = simulate_cards(cards=cards, days=days, rate=2.0, seed=3, episode_probability=0.3, employees=cards // 2)
    pq.write_table(table(columns), files["cards"])
    more = {
        "NILOMETER_STREAMS__ENABLED": '["employees", "cards"]',
        "NILOMETER_BENFORD__SCORES": "true",
        "NILOMETER_BENFORD__WINDOW": "60",
        "NILOMETER_BENFORD__ALPHA": "0.5",  # so that there are alerts
        "NILOMETER_CHECKPOINT__INTERVAL": "1",
        "NILOMETER_CARDS__LABEL_DELAY_HOURS": "24",
        "NILOMETER_METRICS__PORT": "0",  # workers of one configuration, which stands in every alert
    }
    with installation(kafka, "cards", **more) as environment:
        done(nilometer("topics", "create", **environment))
        chain = Chain(environment, files)
        try:
            yield chain
        finally:
            chain.close()


def beaten(chain: Chain, folder: Path, *, kills: int, share: float, seconds: float, seed: int = 0) -> soak.Report:
    """Half of the kills with one worker; then two, of which one is paused past its session; the other half. Judge what came of it."""
    draws, report = random.Random(seed), chain.report
    chain.start()
    with chain.fed(share, seconds):
        chain.wait_commits(1)
        for _ in range(kills // 2):
            kill(chain, draws)
        chain.start()
        chain.wait_members(2)
        pause(chain)
        while report.kills < kills:
            kill(chain, draws)
        chain.wait_verdicts()
        chain.flood()
        while chain.sent < len(chain.records):
            time.sleep(LOOK)
        chain.drain()
    chain.stop()
    return chain.judge(folder)


def kill(chain: Chain, draws: random.Random) -> None:
    """Kill one of the workers at some moment and start another; with luck, that one too before it is up."""
    report = chain.report
    time.sleep(draws.uniform(0.0, 3.0))
    while True:
        chain.kill(draws.choice(chain.workers))
        report.kills += 1
        report.left.append(len(chain.records) - chain.sent)
        if not chain.workers and draws.random() < BURIED:
            chain.bury()
        chain.start()
        if draws.random() >= UNSEEN:
            break
        time.sleep(draws.uniform(2.0, 6.0))
    report.recoveries.append(chain.wait_commits(1))
    print(f"kill {report.kills}: {report.left[-1]:,} rows to go, back after {report.recoveries[-1]:.1f} s", flush=True)


def pause(chain: Chain) -> None:
    """Let the first of two workers stand still until the other has all partitions, and then go on."""
    begun = time.monotonic()
    chain.workers[0].send_signal(signal.SIGSTOP)
    chain.wait_commits(3)
    chain.report.recoveries.append(time.monotonic() - begun)
    assert len(chain.members()) == 1
    chain.workers[0].send_signal(signal.SIGCONT)
    chain.wait_members(2)
    chain.report.pauses += 1
    print(f"paused, and back after {chain.report.recoveries[-1]:.1f} s", flush=True)


def main() -> None:
    """One run on a broker of its own, reported."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=14)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        Kafka() as kafka,
        chaining(kafka.address, Path(name), cards=400, days=120) as chain,
    ):
        report = beaten(chain, Path(name), kills=arguments.kills, share=0.75, seconds=14.0 * arguments.kills, seed=arguments.seed)
    print(report)
    raise SystemExit(report.faults > 0)


if __name__ == "__main__":
    main()
