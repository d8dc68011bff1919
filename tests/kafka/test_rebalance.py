"""Workers come and go while a stream flows: whatever happens to one, the others have its partitions soon, and nothing is lost."""

from __future__ import annotations

import re
import signal
import time
import urllib.request

import msgspec
import pytest

from tests.kafka.commands import PARTITIONS, here, installation, nilometer, wait_ready
from tests.kafka.test_looking import lying
from tests.kafka.test_never_deaf import STANDS, Commits, fed

pytestmark = pytest.mark.slow


class Fleet:
    """Workers of one installation, in the order in which they came."""

    def __init__(self, environment):
        self.environment, self.workers = environment, []
        self.commits = Commits(environment)

    def start(self):
        first = not self.workers
        self.workers.append(nilometer("worker", **(self.environment if first else {**self.environment, "NILOMETER_METRICS__PORT": "0"})))
        if first:
            wait_ready(self.workers[0], self.environment)

    def wait_members(self, many):
        end = time.monotonic() + 120
        while len(self.commits.members()) != many:
            assert time.monotonic() < end, f"{len(self.commits.members())} members, not {many}"
            time.sleep(0.1)

    def moved(self):
        """Seconds until every partition has been committed beyond where it stands now."""
        self.commits.look()
        begun, before = time.monotonic(), [offset for offset, _ in self.commits.moved.values()]
        self.commits.wait(lambda offsets: all(now > then for now, then in zip(offsets, before, strict=True)), 120.0)
        return time.monotonic() - begun

    def take(self, sign):
        """Tell the oldest worker to end, and wait until it has."""
        worker = self.workers.pop(0)
        worker.send_signal(sign)
        worker.communicate(timeout=120)
        return worker.returncode

    def end(self):
        for worker in self.workers:
            worker.kill()
            worker.wait()
            worker.stdout.close()


def judged(environment, number):
    """The offsets that have a verdict; whoever judged one twice said the same."""
    rows = {}
    for record in lying(environment, "scores.errors", number):
        columns = msgspec.json.decode(record.value)
        for i, offset in enumerate(columns["offset"]):
            row = {name: columns[name][i] for name in ("key", "score", "p_value", "is_alert")}
            assert rows.setdefault(offset, row) == row
    return sorted(rows)


def test_one_worker_three_and_two_while_a_stream_flows(kafka):
    with installation(kafka, "errors", NILOMETER_CHECKPOINT__INTERVAL="1") as environment:
        here("topics", "create", **environment)
        fleet = Fleet(environment)
        try:
            fleet.start()
            with fed(environment) as taken:
                fleet.moved()
                fleet.start()
                fleet.start()
                fleet.wait_members(3)
                joined = fleet.moved()
                # One of those who have a partition is killed; its session must pass first.
                fleet.take(signal.SIGKILL)
                killed = fleet.moved()
                fleet.wait_members(2)
                # Another is stopped in order: it leaves the group when it has committed for the last time.
                assert fleet.take(signal.SIGTERM) == 0
                stopped = fleet.moved()
                fleet.wait_members(1)
                reached = list(taken)
            reached = list(taken)
            fleet.commits.wait(lambda offsets: offsets == reached, 60.0)
            print(f"joined by two: {joined:.1f} s, one killed: {killed:.1f} s, one stopped: {stopped:.1f} s without news of some partition")
            assert max(joined, killed, stopped) < STANDS
            for number in range(PARTITIONS):
                assert judged(environment, number) == list(range(reached[number]))
        finally:
            fleet.end()


def restores(environment):
    """How many partitions the first worker has restored."""
    with urllib.request.urlopen(f"http://127.0.0.1:{environment['NILOMETER_METRICS__PORT']}/metrics", timeout=20) as answer:
        (count,) = re.findall(r'^nilometer_restore_seconds_count\{stream="errors"\} (\S+)$', answer.read().decode(), re.MULTILINE)
    return float(count)


def test_a_worker_restores_no_partition_that_stays_with_it(kafka):
    with installation(kafka, "errors", NILOMETER_CHECKPOINT__INTERVAL="1") as environment:
        here("topics", "create", **environment)
        fleet = Fleet(environment)
        try:
            fleet.start()
            with fed(environment):
                fleet.moved()
                alone = restores(environment)
                fleet.start()
                fleet.wait_members(2)
                fleet.moved()
                shared = restores(environment)
                second = fleet.workers.pop()
                second.send_signal(signal.SIGTERM)
                second.communicate(timeout=120)
                fleet.wait_members(1)
                fleet.moved()
                again = restores(environment)
            print(f"restored: {alone:.0f} alone, {shared:.0f} when one of them went to another, {again:.0f} when it came back")
            assert (alone, shared, again) == (PARTITIONS, PARTITIONS, PARTITIONS + 1)
        finally:
            fleet.end()
