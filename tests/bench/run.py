"""``make bench``: one Kafka, the same topics for everyone, contenders in turns; ratios first.

``make bench ARGS="--messages 200000 --rounds 1"`` is a quick look; ``--write`` puts the tables into tests/bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from statistics import median
from typing import Any

from tests.bench import events, fill, latency, report
from tests.bench.machine import Cores, cores, described, pin
from tests.kafka import broker
from tests.kafka.broker import Kafka

LIMIT = 300  # seconds for one contender
HELD = 1.5  # a topic's messages, of those that are counted: the rest is under way before and after

# Share of the messages that each reads: enough for some seconds, as fast as each of them is.
SHARES = {"stock Faust": 0.04, "Quix Streams": 0.2}
CONTENDERS = ("ours", "floor", "aiokafka getmany", "confluent-kafka", "ours, records mode", "Quix Streams", "stock Faust")
CLIENTS = ("ours", "floor", "aiokafka getmany")
ONE_BY_ONE = "one record a batch"
PROFILES = 3  # runs of the profiled reading, averaged: each is over in a second


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000, help="that each counts (default: 1,000,000)")
    parser.add_argument("--rounds", type=int, default=5, help="in which everybody has a turn (default: 5)")
    parser.add_argument("--events", type=int, default=400_000, help="for each detector (default: 400,000)")
    parser.add_argument("--no-detectors", action="store_true", help="measure reading alone")
    parser.add_argument("--no-latency", action="store_true", help="leave the latency out")
    parser.add_argument("--write", action="store_true", help="put the tables into tests/bench/README.md")
    given = parser.parse_args()
    divided = cores()
    lines = described(f"Apache Kafka {broker.VERSION}, one node")
    # A broker as one runs it: the tests' own has one compiler tier, to start fast.
    os.environ.setdefault("NILOMETER_TEST_KAFKA_JAVA", "-Xms1g -Xmx1g -XX:+UseG1GC")
    pin(divided.broker)
    say(f"{divided}")
    with Kafka() as kafka:
        bench = Bench(kafka.address, divided, given.messages, given.rounds)
        tables = [report.reading(bench.plain()), report.codecs(bench.codecs()), report.profile("Reading", bench.profile())]
        if not given.no_detectors:
            detectors = bench.detectors(given.events)
            tables += [report.detectors(detectors), *(report.profile(f"`{name}`", found["profile"]) for name, found in detectors.items())]
        if not given.no_latency:
            say("latency")
            tables.append(report.latency(latency.measure(kafka.address, divided)))
    text = "\n\n".join([report.heading(lines, divided, given.messages, given.rounds, os.getloadavg()[0]), *tables])
    print("\n" + text)
    if given.write:
        report.write(text)


class Bench:
    """The contenders' turns on one broker."""

    def __init__(self, address: str, divided: Cores, messages: int, rounds: int) -> None:
        self._address, self._cores, self._messages, self._rounds = address, divided, messages, rounds

    def plain(self) -> dict[str, list[dict[str, Any]]]:
        """Every contender's results on uncompressed batches."""
        self._fill("plain")
        return self._turns("plain", CONTENDERS)

    def codecs(self) -> dict[str, dict[str, list[dict[str, Any]]]]:
        """The clients' results on other batches."""
        found = {}
        for codec in ("zstd", "lz4"):
            self._fill(codec, compression_type=codec)
            found[codec] = self._turns(codec, CLIENTS)
        few = self._messages // 8  # such a producer takes its time
        say(f"filling {few:,} messages, {ONE_BY_ONE}")
        fill.make_topic(self._address, "one")
        fill.produce_one_by_one(self._address, "one", fill.readings(int(HELD * few)))
        found[ONE_BY_ONE] = self._turns("one", CLIENTS, few)
        return found

    def profile(self) -> dict[str, float]:
        """Shares of the CPU time of reading, averaged."""
        return _averaged([self._run("ours", "plain", self._messages, profile=True)["profile"] for _ in range(PROFILES)])

    def detectors(self, many: int) -> dict[str, dict[str, Any]]:
        """A worker a stream: rates (median), alerts and the profile of the last."""
        found: dict[str, dict[str, Any]] = {}
        for stream, source in events.SOURCES.items():
            records = list(events.records(stream, many))
            results = []
            for turn in range(min(3, self._rounds)):
                say(f"{stream}, turn {turn + 1}")
                prefix = f"{stream}-{turn}."
                fill.make_topic(self._address, prefix + source)
                fill.produce(self._address, prefix + source, records)
                given = {"address": self._address, "prefix": prefix, "messages": len(records), "cores": self._cores.client}
                results.append(answer(["-m", "tests.bench.worker", stream, json.dumps(given)]))
            found[stream] = {
                "rate": median(result["rate"] for result in results),
                "per_cpu_second": median(result["per_cpu_second"] for result in results),
                "alerts": results[-1]["alerts"],
                "profile": _averaged([result["profile"] for result in results]),
            }
        return found

    def _fill(self, topic: str, **settings: Any) -> None:
        say(f"filling {self._messages:,} messages, {topic}")
        fill.make_topic(self._address, topic)
        fill.produce(self._address, topic, fill.readings(int(HELD * self._messages)), **settings)

    def _turns(self, topic: str, contenders: tuple[str, ...], messages: int = 0) -> dict[str, list[dict[str, Any]]]:
        """Round after round, each contender once a round."""
        found: dict[str, list[dict[str, Any]]] = {contender: [] for contender in contenders}
        for turn in range(self._rounds):
            for contender in contenders:
                result = self._run(contender, topic, messages or self._messages)
                found[contender].append(result)
                say(f"{topic}, round {turn + 1}: {contender} {result['rate']:,.0f} messages/s")
        return found

    def _run(self, contender: str, topic: str, messages: int, profile: bool = False) -> dict[str, Any]:
        given = {"address": self._address, "topic": topic, "messages": int(messages * SHARES.get(contender, 1.0))}
        given |= {"cores": self._cores.client, "profile": profile}
        return answer(["-m", "tests.bench.contenders", contender, json.dumps(given)])


def answer(arguments: list[str]) -> dict[str, Any]:
    """The last line that a process of ours prints."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=LIMIT, check=False)
    if done.returncode or not done.stdout:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _averaged(profiles: list[dict[str, float]]) -> dict[str, float]:
    works = {work for profile in profiles for work in profile}
    return {work: sum(profile.get(work, 0.0) for profile in profiles) / len(profiles) for work in works}


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
