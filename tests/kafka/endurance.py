"""Hours under load on Apache Kafka, with kills and rebalances: what memory, tasks and lag come to, and where every reading went.

    python -m tests.kafka.endurance --minutes 60

Two workers on all four streams are fed at half of what they were measured to take. One of them is left in peace, and its memory is
what is watched; the other is killed every few minutes, in turn with a third that joins and leaves in order. In the end the feed's own
numbers, the logs and the folds' counts must agree, to a reading (`nilometer reconcile`).

State grows until it holds what it is meant to hold: labels for a month of event time, merchants' shares of as long, what sensors'
models are built from. The warm-up lasts until all of that has been reached once, so event time is made to pass at a stated speed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import statistics
import tempfile
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from config.load import load
from detectors.aggregation.features import MERCHANT_DAYS
from streams import topics
from tests.kafka import feeding
from tests.kafka.broker import Kafka, free_ports
from tests.kafka.commands import done, here, installation, nilometer

PARTITIONS = 4
LOOK = 5.0  # seconds between two looks
CALM = 45.0  # seconds after a blow before memory is looked at again
PERIOD = 150.0  # seconds from blow to blow
STREAMS = ("sensors", "cards", "employees", "errors")
SPEED = 8_000.0  # seconds of event time in one second: a day in eleven, the longest horizon in less than six minutes
LABEL_DELAY_HOURS = 24
SENSOR_GROWS = 12_000  # readings of a sensor after which its last model is built, calibrated and handed over
KEPT = 192 << 20, 1 << 30  # bytes of a partition's outputs that lie on the disk: an hour of all would take tens of gigabytes
PARTS = 6  # of the time after the warm-up, whose first and last are compared


@dataclass
class Worker:
    """A worker process and its port."""

    process: Popen[str]
    port: int

    def metrics(self) -> dict[str, float]:
        """Sums over all labels of what it tells Prometheus; nothing where it does not answer."""
        found: dict[str, float] = {}
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            for line in answer.read().decode().splitlines():
                if not line.startswith("#"):
                    name, _, value = line.rpartition(" ")
                    name = name.partition("{")[0]
                    found[name] = found.get(name, 0.0) + float(value)
        return found

    def look(self) -> dict[str, float]:
        """Resident MiB, threads and open files as the kernel sees them, tasks and lag as the worker does."""
        folder = Path(f"/proc/{self.process.pid}")
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        metrics = self.metrics()
        return {
            "MiB": int(status["VmRSS"].split()[0]) / 1024,
            "of state": metrics.get("nilometer_state_bytes", float("nan")) / 2**20,
            "threads": float(status["Threads"]),
            "files": float(len(list((folder / "fd").iterdir()))),
            "tasks": metrics.get("nilometer_tasks", float("nan")),
            "lag": metrics.get("nilometer_fold_lag_records", float("nan")),
            "events": metrics.get("nilometer_events_total", float("nan")),
        }


@dataclass
class Endurance:
    """An installation, its feed and its workers."""

    address: str
    environment: dict[str, str]
    log: Any  # a file for what workers say
    looks: list[tuple[float, bool, dict[str, float]]] = field(default_factory=list)  # when, whether in calm, of the first worker
    kills: int = 0
    rebalances: int = 0
    calm_from: float = 0.0
    started: list[Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.settings = load(None, environment=self.environment)
        context = multiprocessing.get_context("spawn")
        self.rate, self.step = context.Value("d", 0.0), context.Value("i", feeding.STEP)
        self.halt, self.result = context.Event(), context.Queue()
        arguments = (self.address, self.settings.kafka.prefix, PARTITIONS, self.rate, self.step, self.halt, self.result)
        self.feed = context.Process(target=feeding.run, args=arguments)
        self.feed.start()
        self.admin = KafkaAdminClient(bootstrap_servers=self.address)

    def forget_outputs(self) -> None:
        """Let the broker keep only so much of what is said: of scores of cards what a trainer reads again, of all else little."""
        for topic in [topic for name in STREAMS for topic in (topics.scores(name), topics.alerts(name))]:
            kept = {"retention.bytes": str(KEPT[topic == topics.scores("cards")]), "segment.bytes": str(64 << 20)}
            self.admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, self.settings.kafka.prefix + topic, kept)])

    def start(self) -> Worker:
        """One more worker."""
        port = free_ports(1)[0]
        process = nilometer("worker", stdout=self.log, **{**self.environment, "NILOMETER_METRICS__PORT": str(port)})
        self.started.append(process)
        return Worker(process, port)

    def committed(self) -> tuple[int, int]:
        """Records behind a commit, and records in the logs, over all sources."""
        from kafka import KafkaConsumer, TopicPartition

        places = [TopicPartition(self.settings.kafka.prefix + topics.source(name), n) for name in STREAMS for n in range(PARTITIONS)]
        group = f"{self.settings.kafka.prefix}nilometer"
        offsets = self.admin.list_group_offsets({group: places})[group]
        consumer = KafkaConsumer(bootstrap_servers=self.address)
        ends = consumer.end_offsets(places)
        consumer.close()
        return sum(max(0, at.offset) for at in offsets.values()), sum(ends.values())

    def drained(self, seconds: float) -> float:
        """Seconds until every record is behind a commit."""
        begun = time.monotonic()
        while True:
            done_, there = self.committed()
            if done_ == there > 0:
                return time.monotonic() - begun
            assert time.monotonic() - begun < seconds, f"{there - done_:,} of {there:,} records are not behind a commit after {seconds:g} s"
            time.sleep(0.5)

    def capacity(self, workers: list[Worker], warm: float, rate: float) -> float:
        """Readings a second that the workers take, the dear ones among them: counted until a backlog of half a minute is folded."""
        begun = time.monotonic()
        while not all(worker.metrics().get("nilometer_ready") for worker in workers):
            assert time.monotonic() - begun < 300.0, "the workers are not ready after five minutes"
            time.sleep(0.5)
        self.rate.value = rate
        time.sleep(warm)
        self.rate.value = 0.0
        self.drained(600.0)
        before, begun = sum(worker.metrics()["nilometer_events_total"] for worker in workers), time.monotonic()
        self.rate.value = 1e6  # as fast as it can
        time.sleep(30.0)
        self.rate.value = 0.0
        time.sleep(2.0)
        while sum(worker.metrics()["nilometer_fold_lag_records"] for worker in workers):
            assert time.monotonic() - begun < 900.0, "a backlog of half a minute has not been folded in a quarter of an hour"
            time.sleep(0.5)
        taken = (sum(worker.metrics()["nilometer_events_total"] for worker in workers) - before) / (time.monotonic() - begun)
        assert [worker.process.poll() for worker in workers] == [None, None], "a worker ended by itself"
        return taken

    def feed_at(self, rate: float) -> float:
        """Feed so many readings a second from now on; after how many seconds state has stopped to grow."""
        self.rate.value = rate
        self.step.value = max(1, round(SPEED * feeding.UNIT * feeding.SENSORS / (10 * feeding.MIX["sensors"] * rate)))
        cards = self.settings.cards
        days = max((LABEL_DELAY_HOURS + cards.relabel_hours) / 24, LABEL_DELAY_HOURS / 24 + MERCHANT_DAYS[-1], cards.windows[-1])
        readings = rate * feeding.MIX["sensors"] / sum(feeding.MIX.values()) / feeding.SENSORS  # of a sensor, in a second
        return max(days * 86_400 / SPEED, SENSOR_GROWS / readings)

    def watch(self, first: Worker, seconds: float) -> None:
        """Look at the first worker for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            now = time.monotonic()
            assert first.process.poll() is None, "the first worker ended by itself"
            self.looks.append((now, now > self.calm_from, first.look()))
            time.sleep(LOOK)

    def blows(self, first: Worker, second: Worker, seconds: float) -> Worker:
        """Kill the second worker, let a third one come and go, in turn, for so long; the second as it is in the end."""
        end = time.monotonic() + seconds
        self.watch(first, min(PERIOD, seconds))
        while time.monotonic() + PERIOD < end:
            if self.kills <= self.rebalances:
                assert second.process.poll() is None, "the second worker ended by itself"
                second.process.kill()
                second.process.wait()
                self.kills += 1
                second = self.start()
            else:
                self.calm_from = float("inf")
                third = self.start()
                self.watch(first, 60.0)
                third.process.terminate()
                assert third.process.wait(60) == 0
                self.rebalances += 1
            now = time.monotonic()
            self.calm_from = now + CALM
            self.watch(first, min(PERIOD, end - now))
        return second


def summary(looks: list[tuple[float, bool, dict[str, float]]]) -> list[str]:
    """Medians of the calm looks, by name, in each sixth of the time; how far the last is from the first."""
    begin, end = looks[0][0], looks[-1][0]
    parts: list[list[dict[str, float]]] = [[] for _ in range(PARTS)]
    for when, quiet, look in looks:
        if quiet:
            parts[min(PARTS - 1, int(PARTS * (when - begin) / max(end - begin, LOOK)))].append(look)
    lines = []
    for name in ("MiB", "of state", "threads", "files", "tasks", "lag"):
        medians = [statistics.median(look[name] for look in part) if part else float("nan") for part in parts]
        change = f" ({medians[-1] / medians[0] - 1:+.1%})" if medians[0] else ""
        lines.append(f"{name:>8}: {', '.join(f'{median:,.1f}' for median in medians)}{change}")
    return lines


def endured(address: str, minutes: float, share: float, warm: float = 120.0, rate: float = 20_000.0) -> list[str]:
    """A run; what came of it, a line each. Raises `AssertionError` where something was lost."""
    more = {
        "NILOMETER_STREAMS__ENABLED": '["sensors", "cards", "employees", "errors"]',
        "NILOMETER_STREAMS__PARTITIONS": str(PARTITIONS),
        "NILOMETER_CHECKPOINT__INTERVAL": "10",
        "NILOMETER_CARDS__LABEL_DELAY_HOURS": str(LABEL_DELAY_HOURS),
    }
    with installation(address, "sensors", **more) as environment, tempfile.TemporaryFile("w+") as log:
        done(nilometer("topics", "create", **environment))
        run = Endurance(address, environment, log)
        run.forget_outputs()
        workers = [run.start(), run.start()]
        try:
            taken = run.capacity(workers, warm, rate)
            print(f"two workers take {taken:,.0f} readings a second; they now get {share * taken:,.0f}", flush=True)
            settling = run.feed_at(share * taken)
            print(f"state grows for {settling:,.0f} s more: the warm-up, not looked at", flush=True)
            workers[1] = run.blows(*workers, settling)
            run.looks.clear()
            workers[1] = run.blows(*workers, 60.0 * minutes)
            run.rate.value = 0.0
            back = run.drained(900.0)
            for worker in workers:
                worker.process.terminate()
            assert [worker.process.wait(60) for worker in workers] == [0, 0]
            run.halt.set()
            sent: dict[str, Any] = run.result.get(timeout=60)
            said = here("reconcile", **environment)
        except BaseException:
            log.seek(0)
            print(log.read()[-20_000:], flush=True)
            raise
        finally:
            run.halt.set()
            for process in run.started:
                process.kill()
            run.feed.join(10)
            run.feed.kill()
            run.admin.close()
    came = {name: 0 for name in STREAMS}
    stream = ""
    for line in said.splitlines():
        if head := re.match(r"(\w+): \d+ of", line):
            stream = head[1]
        elif (cells := line.split()) and cells[0].isdigit():
            came[stream] += int(cells[3].replace(",", ""))
    assert came == sent, f"{sent} were sent, {came} are in the logs"
    return [
        f"{minutes:g} minutes at {share * taken:,.0f} readings a second ({share:.0%} of {taken:,.0f}), {run.kills} kills, "
        f"{run.rebalances} times a third worker that came and went; all was folded and committed {back:.1f} s after the feed's end",
        f"{sum(sent.values()):,} readings sent, {sum(came.values()):,} in the logs, all accounted for:",
        said,
        *summary(run.looks),
    ]


def main() -> None:
    """One run on a broker of its own, reported."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--share", type=float, default=0.5, help="of what two workers take")
    parser.add_argument("--warm", type=float, default=120.0, help="seconds of warm-up before that is measured")
    arguments = parser.parse_args()
    with Kafka() as kafka:
        for line in endured(kafka.address, arguments.minutes, arguments.share, arguments.warm):
            print(line, flush=True)


if __name__ == "__main__":
    main()
