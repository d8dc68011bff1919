"""Blows at workers on Apache Kafka, and whether anybody can tell: all that was said is held against a backtest of the same files.

    python -m tests.kafka.soak --kills 25

Two streams on one worker, employees and cards. Their populations enter by cuts, and so do a model, which is trained from labels that
come a day late, and the verdicts of somebody who judges every alert. The worker is killed in mid-stream and started again. What its
topics hold in the end must be what `nilometer backtest --cuts` says with the run's own cut log: every row judged, a row that was
judged twice judged alike, the same alerts, and in the last checkpoints the same states.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import MemberToRemove

from config.load import load
from config.settings import Settings
from streams import topics
from streams.backtest import Backtest
from streams.cli import brokers
from streams.cli.replay import paced
from streams.configured import audit, definition
from streams.cuts import Cut
from streams.decoding.tabular import read
from streams.durable.cut_log import counting
from streams.durable.manifest import Shelf
from streams.durable.store import Stored
from streams.model_files import line
from streams.scores import decoded
from streams.simulators.cards import simulate_cards
from streams.simulators.layout import table
from streams.simulators.postings import simulate_postings
from streams.transport.broker import partition_of_key
from streams.transport.kafka_logs import KafkaLogs
from tests.kafka.broker import Kafka
from tests.kafka.commands import PARTITIONS, done, installation, nilometer
from tests.streams.live import COORDINATES

STREAMS = ("employees", "cards")
LABEL_DELAY = 86_400_000_000  # microseconds between a transaction and its label
LOOK = 0.1  # seconds between two looks at the group's commits
STILL = 90.0  # seconds in which something must have moved, however slow the machine


@dataclass
class Report:
    """What a run came to."""

    kills: int = 0
    rows: int = 0
    doubled: int = 0  # rows that were judged more than once
    contradictions: int = 0  # of which not alike
    missing: int = 0
    wrong: int = 0  # rows that the backtest judges otherwise
    alerts: int = 0
    alerts_again: int = 0  # said more than once, in the same words
    alerts_wrong: int = 0  # only here, only in the backtest, or in other words
    cuts: int = 0
    models: int = 0  # adopted, by any partition
    verdicts: int = 0  # of people on alerts, adopted
    states_wrong: int = 0
    left: list[int] = field(default_factory=list)  # rows not yet sent, at each kill
    recoveries: list[float] = field(default_factory=list)  # seconds from a kill to a commit of every partition

    @property
    def faults(self) -> int:
        return self.contradictions + self.missing + self.wrong + self.alerts_wrong + self.states_wrong

    def __str__(self) -> str:
        slowest = max(self.recoveries, default=0.0)
        return (
            f"{self.kills} kills, the last {min(self.left, default=0):,} rows before the end; slowest recovery {slowest:.1f} s\n"
            f"{self.rows:,} rows, {self.doubled:,} judged again, {self.contradictions} contradictions, {self.missing} missing, "
            f"{self.wrong} not as the backtest\n"
            f"{self.alerts:,} alerts, {self.alerts_again} said again, {self.alerts_wrong} not as the backtest; {self.cuts:,} cuts, "
            f"{self.models} models and {self.verdicts} verdicts among them; {self.states_wrong} states not as the backtest's"
        )


@dataclass
class Soak:
    """An installation with its files, the feed into its topics, and workers that come and go."""

    environment: dict[str, str]
    files: dict[str, Path]
    settings: Settings = field(init=False)
    report: Report = field(default_factory=Report)
    workers: list[Popen[str]] = field(default_factory=list)
    output: list[str] = field(default_factory=list)  # of workers that have ended
    sent: int = 0

    def __post_init__(self) -> None:
        self.settings = load(None, environment=self.environment)
        self.prefix = self.settings.kafka.prefix
        self.admin = KafkaAdminClient(bootstrap_servers=self.settings.kafka.bootstrap_servers)
        self.records: list[tuple[str, bytes | None, bytes]] = []
        batches = {name: [b.record(i) for b in read(name, file, self.settings) for i in range(len(b))] for name, file in self.files.items()}
        names = {name: self.prefix + topics.source(name) for name in self.files}
        if "cards" in self.files:
            rows = read("cards", self.files["cards"], self.settings)
            batches["labels"], names["labels"] = list(paced(rows, None, None, LABEL_DELAY)), self.prefix + topics.CARD_LABELS
        # All streams end together.
        order = sorted((place / len(rows), name, place) for name, rows in batches.items() for place in range(len(rows)))
        for _, name, place in order:
            self.records.append((names[name], *batches[name][place]))
        self.report.rows = sum(len(batches[name]) for name in self.files)
        self._halt, self._goal = threading.Event(), 0.0

    @property
    def streams(self) -> tuple[str, ...]:
        """What the workers fold: each is fed here, unless one feeds another."""
        return tuple(self.files)

    def start(self) -> Popen[str]:
        """A worker process."""
        worker = nilometer("worker", **self.environment)
        self.workers.append(worker)
        return worker

    def kill(self, worker: Popen[str]) -> None:
        """As a power cut would."""
        worker.kill()
        self.output.append(worker.communicate()[0])
        self.workers.remove(worker)

    def bury(self) -> None:
        """Tell the group that all its members have left, where a session's ten seconds are too long to wait."""
        gone = [MemberToRemove(member_id=member["member_id"]) for member in self.members()]
        self.admin.remove_group_members(f"{self.prefix}nilometer", gone)

    def members(self) -> list[dict[str, Any]]:
        """Of the group, the dead of the last ten seconds among them."""
        group = f"{self.prefix}nilometer"
        return list(brokers.patiently(lambda: self.admin.describe_groups([group]))[group]["members"])

    def wait_members(self, many: int) -> None:
        """Wait until so many are in the group, and have gone on folding since."""
        end = time.monotonic() + 60
        while len(self.members()) != many:
            assert time.monotonic() < end, f"{len(self.members())} members, not {many}"
            time.sleep(LOOK)
        self.wait_commits(3)  # one of each partition when it was given back

    @contextmanager
    def fed(self, share: float, seconds: float) -> Iterator[None]:
        """Send more and more of `share` of the records, two thirds of it in so many seconds; the rest when `flood` is called.

        The feed never comes to `share`, and never stands still: a partition without news makes no checkpoints.
        """
        producer = KafkaProducer(bootstrap_servers=self.settings.kafka.bootstrap_servers, linger_ms=5)
        begun = time.monotonic()

        def feed() -> None:
            while self.sent < len(self.records) and not self._halt.is_set():
                upto = len(self.records) * max(self._goal, share * -math.expm1((begun - time.monotonic()) / seconds))
                for topic, key, value in self.records[self.sent : int(upto)]:
                    producer.send(topic, value, key=key, partition=None if key is not None else 0)
                self.sent = max(self.sent, int(upto))
                self._halt.wait(0.05)
            producer.flush(60)
            producer.close()

        threads = [threading.Thread(target=feed), threading.Thread(target=self._judge_alerts)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._halt.set()
            for thread in threads:
                thread.join()

    def _judge_alerts(self) -> None:
        """Somebody who has a verdict on every alert as soon as it is opened."""
        servers = self.settings.kafka.bootstrap_servers
        reader = KafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False, auto_offset_reset="earliest")
        reader.assign([TopicPartition(self.prefix + topics.alerts(name), number) for name in self.streams for number in range(PARTITIONS)])
        writer = KafkaProducer(bootstrap_servers=servers)
        known = set()
        while not self._halt.is_set():
            for record in (record for records in reader.poll(200).values() for record in records):
                alert = msgspec.json.decode(record.value)
                if alert["data"]["phase"] != "opened" or alert["id"] in known:
                    continue
                known.add(alert["id"])
                verdict = ("cleared", "confirmed")[len(known) % 2]
                label = {"stream": alert["data"]["stream"], "key": alert["subject"], "alert_id": alert["id"], "verdict": verdict}
                writer.send(self.prefix + topics.ALERT_LABELS, msgspec.json.encode(label | {"at": alert["time"]}), key=record.key)
        writer.flush(60)
        writer.close()
        reader.close()

    def flood(self, goal: float = 1.0) -> None:
        """Send all that is left below this share of it, flat out."""
        self._goal = goal

    def commits(self) -> dict[tuple[str, int], tuple[int, str]]:
        """The group's offset and current checkpoint of each source partition."""
        places = [TopicPartition(self.prefix + topics.source(name), number) for name in self.streams for number in range(PARTITIONS)]
        group = f"{self.prefix}nilometer"
        found = brokers.patiently(lambda: self.admin.list_group_offsets({group: places}))[group]
        return {(tp.topic, tp.partition): (at.offset, at.metadata) for tp, at in found.items() if at.offset >= 0 and at.metadata}

    def wait_commits(self, many: int, seconds: float = 180.0) -> float:
        """Wait until every partition has been committed to so often by those who hold it now; how long until the first of each.

        In `seconds` at least one must have been that is still waited for.
        """
        begun, before, first = time.monotonic(), self.commits(), None
        end = begun + seconds
        last, counted = dict(before), dict.fromkeys(before, 0)
        while True:
            now = self.commits()
            for place, commit in now.items():
                if last.get(place) != commit:
                    last[place] = commit
                    counted[place] = counted.get(place, 0) + 1
                    if counted[place] <= many:
                        end = time.monotonic() + seconds
            complete = len(counted) == PARTITIONS * len(self.streams)
            if first is None and complete and min(counted.values()) >= 1:
                first = time.monotonic() - begun
            if first is not None and min(counted.values()) >= many:
                return first
            ended = [worker.returncode for worker in self.workers if worker.poll() is not None]
            assert not ended, f"a worker ended by itself: {self.workers[0].communicate()[0]}"
            assert time.monotonic() < end, f"no more commits in {seconds:g} s, wanted {many} of each partition: {counted}"
            time.sleep(LOOK)

    def wait_verdicts(self) -> None:
        """Send most of what is left, and then a little more until a person's verdict has been adopted: who judges may be slow."""
        for percent in range(90, 100):
            self.flood(percent / 100)
            end = time.monotonic() + 10
            while time.monotonic() < end:
                if asyncio.run(self._verdicts()):
                    return
                time.sleep(LOOK)
        raise AssertionError("no verdict was adopted")

    async def _verdicts(self) -> bool:
        """Whether a cut that counts has brought one."""
        async with KafkaLogs({"bootstrap_servers": self.settings.kafka.bootstrap_servers}) as logs:
            for name in self.streams:
                for number in range(PARTITIONS):
                    log = (await logs.read_to_end(self.prefix + topics.cuts(name), number)).records
                    cuts = counting(number, [(record.offset, record.value) for record in log])
                    if any(cut.inputs.get("verdicts", {}).get("items") for cut in cuts):
                        return True
        return False

    def drain(self) -> None:
        """Wait until every record is behind a commit."""
        wanted = {}
        sources = {self.prefix + topics.source(name) for name in self.files}
        for topic, key, _ in (record for record in self.records if record[0] in sources):
            place = topic, 0 if key is None else partition_of_key(key, PARTITIONS)
            wanted[place] = wanted.get(place, 0) + 1
        before: dict[tuple[str, int], int] = {}
        while (now := {place: offset for place, (offset, _) in self.commits().items()}) != wanted:
            if now != before:
                before, end = now, time.monotonic() + STILL
            assert time.monotonic() < end, f"not all is folded: {now} of {wanted}"
            time.sleep(LOOK)

    def stop(self) -> None:
        """End what runs, in order."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            self.output.append(done(worker))
        self.workers.clear()

    def close(self) -> None:
        """Leave nothing running."""
        for worker in self.workers:
            worker.kill()
            with suppress(Exception):
                self.output.append(worker.communicate(timeout=10)[0] or "")
        self.admin.close()

    def judge(self, folder: Path) -> Report:
        """Hold all that was said, by whomever, against the backtests."""
        for name in self.files:
            asyncio.run(self._judge(name, folder / name))
        return self.report

    async def _judge(self, stream: str, folder: Path) -> None:
        report, settings = self.report, self.settings
        what = definition(stream, settings)
        async with KafkaLogs({"bootstrap_servers": settings.kafka.bootstrap_servers}) as logs:

            async def values(topic: str) -> list[list[Any]]:
                return [(await logs.read_to_end(self.prefix + topic, number)).records for number in range(PARTITIONS)]

            said, told = await values(topics.scores(stream)), await values(topics.alerts(stream))
            versions = folder.with_suffix(".versions.jsonl")
            if what.train is not None:
                made = (await logs.read_to_end(self.prefix + topics.models(stream), 0)).records
                versions.write_bytes(b"".join(line(r.offset, r.value or b"{}") + b"\n" for r in made))
            log, shelves = await values(topics.cuts(stream)), await values(topics.checkpoints(stream))
        cuts = {number: list(counting(number, [(r.offset, r.value) for r in log[number]])) for number in range(PARTITIONS)}
        report.cuts += sum(map(len, cuts.values()))
        for inputs in (cut.inputs for own in cuts.values() for cut in own):
            report.models += "model" in inputs
            report.verdicts += len(inputs["verdicts"]["items"]) if "verdicts" in inputs else 0
        test = Backtest(what, folder, audit(settings, what), PARTITIONS, cuts, versions)
        for batch in read(stream, self.files[stream], settings, batch=997):
            test.feed(batch)
        test.close()

        rows: dict[tuple[int, int, int], dict[str, Any]] = {}
        for record in (record for part in said for record in part):
            columns = decoded(record.value)
            names = [name for name in columns if name not in COORDINATES]
            for i, offset in enumerate(columns["offset"]):
                row, place = {name: columns[name][i] for name in names}, (record.partition, offset, columns["index"][i])
                report.doubled += place in rows
                report.contradictions += rows.setdefault(place, row) != row
        self._compare(rows, folder)

        alerts: dict[str, bytes] = {}
        for alert in (record.value for part in told for record in part):
            name = msgspec.json.decode(alert)["id"]
            report.alerts_again += name in alerts
            report.contradictions += alerts.setdefault(name, alert) != alert
        wanted = {msgspec.json.decode(line)["id"]: line for line in (folder / "alerts.jsonl").read_bytes().splitlines()}
        report.alerts += len(wanted)
        report.alerts_wrong += sum(alerts.get(name) != wanted.get(name) for name in alerts | wanted)

        commits = self.commits()
        for part in test.parts:
            for cut in cuts[part.number]:
                if cut.n == part.next:  # adopted behind the last record, where a backtest has ended
                    part.adopt(Cut(cut.partition, cut.n, test.resolved(cut.inputs)))
            offset, name = commits[self.prefix + topics.source(stream), part.number]
            shelf = Shelf([Stored(r.offset, r.key, r.value) for r in shelves[part.number]])
            manifest = shelf.manifest(name)
            assert manifest is not None, f"checkpoint {name} is not there"
            assert manifest.offset == offset == part.next
            report.states_wrong += shelf.data(name, manifest) != part.freeze()

    def _compare(self, rows: dict[tuple[int, int, int], dict[str, Any]], folder: Path) -> None:
        table = pq.read_table(folder / "scores.parquet")
        columns = {name: table[name].to_pylist() for name in table.column_names if name not in ("at", "reason")}
        columns = {
            name: ["inf" if isinstance(value, float) and np.isinf(value) else value for value in column] for name, column in columns.items()
        }
        offsets = [0] * PARTITIONS
        for row, key in enumerate(columns["key"]):
            number = partition_of_key(key.encode(), PARTITIONS)
            found = rows.get((number, offsets[number], 0))
            offsets[number] += 1
            if found is None:
                self.report.missing += 1
            elif any(column[row] != found[name] for name, column in columns.items() if name in found):
                self.report.wrong += 1


@contextmanager
def soaking(kafka: str, folder: Path, *, cards: int, days: int, postings: int) -> Iterator[Soak]:
    """A run's installation and files, on the broker at this address."""
    made = {
        "employees": simulate_postings(employees=30, postings=postings, fraudsters=3, fraud_share=0.2, days=120.0, seed=4),
        "cards": simulate_cards(cards=cards, days=days, rate=2.0, seed=3, episode_probability=0.3),
    }
    files = {name: folder / f"{name}.parquet" for name in STREAMS}
    for name, columns in made.items():
        pq.write_table(table(columns), files[name])
    more = {
        "NILOMETER_STREAMS__ENABLED": '["employees", "cards"]',
        "NILOMETER_CHECKPOINT__INTERVAL": "1",
        "NILOMETER_CARDS__LABEL_DELAY_HOURS": "24",
        "NILOMETER_METRICS__PORT": "0",  # workers of one configuration, which stands in every alert
    }
    with installation(kafka, "employees", **more) as environment:
        done(nilometer("topics", "create", **environment))
        soak = Soak(environment, files)
        try:
            yield soak
        except BaseException:
            soak.close()
            for said in soak.output:
                print(f"A worker said:\n{said[-5_000:]}")
            raise
        soak.close()


def killed(
    soak: Soak, folder: Path, *, kills: int, share: float, seconds: float, commits: int, bury: bool = False, seed: int = 0
) -> Report:
    """Kill the worker so many times, each after so many commits of every partition and a moment more; judge what came of it."""
    draws = random.Random(seed)
    soak.start()
    with soak.fed(share, seconds):
        for number in range(kills):
            soak.wait_commits(commits)
            time.sleep(draws.uniform(0.0, 1.5))
            soak.kill(soak.workers[0])
            if bury:
                soak.bury()
            soak.report.kills += 1
            soak.report.left.append(len(soak.records) - soak.sent)
            soak.start()
            soak.report.recoveries.append(soak.wait_commits(1))
            print(f"kill {number + 1}: {soak.report.left[-1]:,} rows to go, back after {soak.report.recoveries[-1]:.1f} s", flush=True)
        soak.wait_verdicts()
        soak.flood()
        while soak.sent < len(soak.records):
            time.sleep(LOOK)
        soak.drain()
    soak.stop()
    return soak.judge(folder)


def paused(soak: Soak, folder: Path, *, share: float, seconds: float) -> Report:
    """One worker, two, one of them paused past its session and awake again, one: judge what came of it."""
    first = soak.start()
    with soak.fed(share, seconds):
        soak.wait_commits(2)
        second = soak.start()
        soak.wait_members(2)
        begun = time.monotonic()
        first.send_signal(signal.SIGSTOP)
        soak.wait_commits(3)  # the second has all partitions
        soak.report.recoveries.append(time.monotonic() - begun)
        assert len(soak.members()) == 1
        first.send_signal(signal.SIGCONT)
        soak.wait_members(2)
        second.terminate()
        soak.output.append(done(second))
        soak.workers.remove(second)
        soak.wait_members(1)
        soak.flood()
        while soak.sent < len(soak.records):
            time.sleep(LOOK)
        soak.drain()
    soak.stop()
    return soak.judge(folder)


def main() -> None:
    """One soak on a broker of its own, reported."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        Kafka() as kafka,
        soaking(kafka.address, Path(name), cards=300, days=120, postings=30_000) as soak,
    ):
        report = killed(soak, Path(name), kills=arguments.kills, share=0.75, seconds=12.0 * arguments.kills, commits=3, seed=arguments.seed)
    print(report)
    raise SystemExit(report.faults > 0)


if __name__ == "__main__":
    main()
